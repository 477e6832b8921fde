"""Writes the README's results from what is committed under results/.

  python -m comparison.report.readme README.md results/<device> [results/<other device> …]

A results folder holds the records of comparisons (`<scale>/records.jsonl`) and of single runs (`runs/<table>/<name>/`:
the config.json and eval.jsonl of a workdir; about.json says on which device). The comparison shown is that of the
first folder that has one.
"""

import json
import pathlib
import sys
from collections.abc import Sequence

from comparison import records
from comparison.report import markdown, summary

BEGIN, END = '<!-- results: generated from results/ -->', '<!-- /results -->'
SCALES = ('overnight', 'accelerator', 'laptop')  # what to show first


def main(readme: pathlib.Path, folders: Sequence[pathlib.Path]) -> None:
  before, _, rest = readme.read_text().partition(BEGIN)
  _, _, after = rest.partition(END)
  compared = next(folder for folder in folders if any((folder / scale).is_dir() for scale in SCALES))
  tables = [table for folder in folders for table in sorted((folder / 'runs').glob('*')) if table.is_dir()]
  parts = [comparison(compared), *map(run_table, tables)]
  readme.write_text(f'{before}{BEGIN}\n\n' + '\n\n'.join(parts) + f'\n\n{END}{after}')


def comparison(folder: pathlib.Path) -> str:
  """The verdicts of the largest scale that is there."""
  scale = next(scale for scale in SCALES if (folder / scale).is_dir())
  rows = records.select(records.read_all(folder / scale), scale)
  where = f'[{folder / scale}]({folder / scale}/report.md)'
  return (
    f'### The article on {rows[0]["device_kind"]}\n\nEverything, with plots and protocols: {where}.\n\n{summary(rows)}'
  )


def run_table(folder: pathlib.Path) -> str:
  """One line a run: its model, learning rate, and its evaluations from the restored checkpoint; then the baselines."""
  about = json.loads((folder / 'about.json').read_text())
  lines = []
  for path in sorted(folder.glob('*/config.json')):
    config = json.loads(path.read_text())
    rows = [json.loads(line) for line in (path.parent / 'eval.jsonl').read_text().splitlines()]
    found = next(row for row in rows if row['split'] == about['split'])
    model = config['model']
    name = f'{path.parent.name} ({model["depth"]} × {"+".join(model["pattern"])}, {model["block"]})'
    lines.append([name, f'{config["train"]["learning_rate"]:g}', *(f'{found[m]:.4f}' for m in about['metrics'])])
  lines.sort(key=lambda line: float(line[2]))
  lines += [[name, '–', *(f'{values[m]:.4f}' for m in about['metrics'])] for name, values in about['beside'].items()]
  grid = markdown.grid(('model', 'learning rate', *about['metrics']), lines)
  text = f'On {about["device"]}. {about["text"]}'
  return f'### {about["title"]}\n\n{text}\n\n{grid}\n\n```\n{about["command"]}\n```'


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]), [pathlib.Path(name) for name in sys.argv[2:]])
