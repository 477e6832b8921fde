"""Write the results of the README and docs/results.md from the records under results/.

  python -m comparison.report.readme results/<device> [results/<other device> …]

A folder holds the records of comparisons (`<scale>/records.jsonl`) and of single runs (`runs/<table>/<name>/`: the
config.json and eval.jsonl of a workdir; about.json says on which device). The comparison is that of the first folder
that has one. Run from the root of the repository.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence

from comparison import records, report
from comparison.report import headline, markdown, tally
from comparison.report.page import Page

BEGIN, END = '<!-- results: generated from results/ -->', '<!-- /results -->'
RESULTS = pathlib.Path('docs/results.md')
SCALES = ('overnight', 'accelerator', 'laptop')  # the first that is there is shown


def main(folders: Sequence[pathlib.Path]) -> None:
  readme = pathlib.Path('README.md')
  readme.write_text(with_results(readme.read_text('utf-8'), folders), 'utf-8')
  RESULTS.write_text(details(folders), 'utf-8')


def with_results(readme: str, folders: Sequence[pathlib.Path]) -> str:
  """Return the README with the picture, the table of ratios and the tally of verdicts between its two marks."""
  before, _, rest = readme.partition(BEGIN)
  _, _, after = rest.partition(END)
  folder, page = compared(folders)
  table = headline.table(page.records)
  parts = [
    f'![{headline.TITLE}]({folder}/{report.HEADLINE})',
    f'{table.title} on {page.records[0]["device_kind"]}. {table.note}',
    f'**{headline.sentence(page.records)}**',
    markdown.grid(table.columns, table.rows),
    f'{tally.sentence(page)}{elsewhere(folders, page)} [All verdicts and tables]({RESULTS}); [every plot and '
    f'protocol]({folder}/report.md).',
  ]
  return f'{before}{BEGIN}\n\n' + '\n\n'.join(parts) + f'\n\n{END}{after}'


def details(folders: Sequence[pathlib.Path]) -> str:
  """Return docs/results.md: header, the article's tables, verdicts, and the tables of single runs."""
  folder, page = compared(folders)
  runs = [table for place in folders for table in sorted((place / 'runs').glob('*')) if table.is_dir()]
  parts = [
    f'<!-- Generated: python -m comparison.report.readme {" ".join(map(str, folders))} -->',
    '# Results',
    f'## The article on {page.records[0]["device_kind"]}',
    f'With plots, protocols and thresholds: [{folder}/report.md](../{folder}/report.md).',
    markdown.header(page),
    f'![{headline.TITLE}](../{folder}/{report.HEADLINE})',
    *(markdown.table(table, '###') for table in page.tables),
    '### Verdicts',
    tally.sentence(page),
    markdown.verdicts(page),
    *(markdown.table(table, '###') for table in (page.missing,) if table.rows),
    *others(folders, page),
    *map(run_table, runs),
  ]
  return '\n\n'.join(parts) + '\n'


def compared(folders: Sequence[pathlib.Path]) -> tuple[pathlib.Path, Page]:
  """Return the folder of the comparison that is shown, and its page."""
  folder = comparisons(folders)[0]
  return folder, assembled(folder)


def comparisons(folders: Sequence[pathlib.Path]) -> list[pathlib.Path]:
  return [path for place in folders for scale in SCALES if (path := place / scale).is_dir()]


def assembled(folder: pathlib.Path) -> Page:
  return report.assemble(records.select(records.read_all(folder), folder.name))


def others(folders: Sequence[pathlib.Path], shown: Page) -> list[str]:
  """Return a section of each comparison that is not shown: its tally, and the verdicts that the shown one lacks."""
  parts = []
  for folder in comparisons(folders)[1:]:
    page = assembled(folder)
    more = beyond(page, shown)
    parts.append(f'### Measured on {page.records[0]["device_kind"]}, {folder.name}')
    parts.append(f'{tally.sentence(page)} [Every plot and protocol](../{folder}/report.md).')
    if more.sections:
      parts += ['Those without a verdict above:', markdown.verdicts(more)]
  return parts


def beyond(page: Page, shown: Page) -> Page:
  """Return the page with those claims only that have a verdict there and none on the page that is shown."""
  missing = {section.claim.number for section in shown.sections if section.verdict.status in tally.OPEN}
  kept = (s for s in page.sections if s.verdict.status not in tally.OPEN and s.claim.number in missing)
  return dataclasses.replace(page, sections=tuple(kept))


def elsewhere(folders: Sequence[pathlib.Path], shown: Page) -> str:
  """Return how many of the statements without a verdict on the shown page have one on another device."""
  found: dict[int, str] = {}
  for page in map(assembled, comparisons(folders)[1:]):
    for section in beyond(page, shown).sections:
      found.setdefault(section.claim.number, page.records[0]['device_kind'])
  devices = ' or '.join(dict.fromkeys(found.values()))
  have = 'has' if len(found) == 1 else 'have'
  return f' {len(found)} of those without a verdict here {have} one on {devices}.' if found else ''


def run_table(folder: pathlib.Path) -> str:
  """Return a table of single runs: model, learning rate, evaluations from the restored checkpoint; then baselines."""
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
  return f'## {about["title"]}\n\n{text}\n\n{grid}\n\n```\n{about["command"]}\n```'


if __name__ == '__main__':
  main([pathlib.Path(name) for name in sys.argv[1:]])
