"""Write the table of docs/tasks.md: what single runs reach on each task, from what their workdirs hold.

  python -m benchmarks.task_runs results/<device>/tasks [WORKDIR …]

Each WORKDIR of main.py, evaluated before (`--mode=eval`), is first taken over as `<its name>/`: config.json, the
evaluations of its newest checkpoint, and run.json with its command, its time, its size and the baselines. about.json
lists the rows of the table in their order: which runs a row shows, which score of theirs, and what was published. Runs
that stand in a list of their own are shown as one, by the mean of their scores, the lowest and the highest. A run of
another device is named by its path from the folder. One that is not there yet has its command in `commands` of the row,
and is shown as not measured until its workdir is taken over. Run from the root of the repository.
"""

import json
import pathlib
import re
import shlex
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.overhead import load
from comparison.report import markdown
from seqmodels.errors import InputError
from training import goodput
from training import workdir as workdirs

BEGIN, END = '<!-- tasks: generated from results/ -->', '<!-- /tasks -->'
PAGE = pathlib.Path('docs/tasks.md')
COLUMNS = (
  'task, data', 'examples of training / validation / test', 'metric', 'trivial', 'here', 'published', 'device', 'seeds',
  'command',
)  # fmt: skip
ARCHITECTURE = re.compile(r'configs/\w+\.py:(\w+)')

Json = dict[str, Any]


def main(folder: pathlib.Path, workdirs: Sequence[pathlib.Path]) -> None:
  for workdir in workdirs:
    take_over(workdir, folder)
  PAGE.write_text(with_table(PAGE.read_text('utf-8'), folder), 'utf-8')


def take_over(workdir: pathlib.Path, folder: pathlib.Path) -> None:
  """Copy what the table needs of a workdir. Raises InputError where its newest checkpoint is not evaluated."""
  loaded = workdirs.load(workdir)
  path = workdir / 'eval.jsonl'
  rows = [json.loads(line) for line in path.read_text('utf-8').splitlines()] if path.exists() else []
  rows = [row for row in rows if row['step'] == loaded.step]
  if not rows:
    raise InputError(f'{workdir}: checkpoint {loaded.step} is not evaluated: python main.py --mode=eval')
  made = json.loads((workdir / 'provenance.json').read_text('utf-8'))[0]
  run = {
    'command': command(made['command'], workdir.name, loaded.config),
    'minutes': round(goodput.read(workdir / goodput.NAME).total / 60, 1),
    'device': made['device_kind'],
    'parameters': made['model']['non_embedding'],
    'commit': made['commit'],
    'versions': made['versions'],
    'baselines': loaded.task.baselines(),
  }
  own = folder / workdir.name
  own.mkdir(parents=True, exist_ok=True)
  (own / 'config.json').write_text((workdir / 'config.json').read_text('utf-8'), 'utf-8')
  (own / 'eval.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows), 'utf-8')
  (own / 'run.json').write_text(json.dumps(run, indent=1) + '\n', 'utf-8')


def command(given: str, name: str, config: Json) -> str:
  """Return the command of a run as it is typed in the repository today, with the workdir `runs/<name>`.

  config: of the workdir; where a default has changed since, its value is added.
  """
  words = [word for word in shlex.split(given) if not word.startswith(('--workdir', '--downloads_dir', '--mesh'))]
  start = next(i for i, word in enumerate(words) if word.endswith('main.py'))
  argument = next(word.removeprefix('--config=') for word in words if word.startswith('--config='))
  said = [word.removeprefix('--').partition('=')[0] for word in words]
  today = dict(_fields(workdirs.plain(load(argument))))
  changed = {field: value for field, value in _fields(config) if field in today and today[field] != value}
  added = [f'--{field}={value}' for field, value in changed.items() if field not in said]
  return shlex.join(['python', 'main.py', *words[start + 1 :], *added, f'--workdir=runs/{name}'])


def _fields(config: Json) -> Iterator[tuple[str, Any]]:
  """Yield what the flags of a config are called, without its mesh, and their values."""
  for section, values in config.items():
    if section != 'mesh' and isinstance(values, dict):
      yield from (
        (f'config.{section}.{field}', value) for field, value in values.items() if not isinstance(value, dict)
      )


def with_table(page: str, folder: pathlib.Path) -> str:
  """Return the page with the table and the commands between its two marks."""
  before, _, rest = page.partition(BEGIN)
  _, _, after = rest.partition(END)
  rows = json.loads((folder / 'about.json').read_text('utf-8'))['rows']
  shown = list(dict.fromkeys(name for row in rows for group in groups(row) for name in group))
  runs = {name: json.loads(path.read_text('utf-8')) for name in shown if (path := folder / name / 'run.json').exists()}
  if unused := sorted({path.parent.name for path in folder.glob('*/run.json')} - set(shown)):
    raise InputError(f'{folder}: no row of about.json shows {", ".join(unused)}')
  typed = {name: command for row in rows for name, command in row.get('commands', {}).items()}
  typed |= {name: run['command'] for name, run in runs.items()}
  if missing := [name for name in shown if name not in typed]:
    raise InputError(f'{folder}: {missing[0]} has neither a run.json nor a command in about.json')
  numbers = {name: str(i + 1) for i, name in enumerate(shown)}
  table = markdown.grid(COLUMNS, [line(row, folder, runs, typed, numbers) for row in rows])
  commands = '\n'.join(f'{typed[name]}  # {numbers[name]}' for name in shown)
  return f'{before}{BEGIN}\n\n{table}\n\n```bash\n{commands}\n```\n\n{END}{after}'


def line(
  row: Json, folder: pathlib.Path, runs: Mapping[str, Json], typed: Mapping[str, str], numbers: Mapping[str, str]
) -> list[str]:
  """Return the cells of a row. typed: the command of each run; numbers: by which the list of commands names it."""
  entries = [[(name, runs.get(name)) for name in group] for group in groups(row)]
  first = [run for _, run in entries[0] if run is not None] if entries else []
  trivial = [part if isinstance(part, str) else of_baseline(row, part, first) for part in row['trivial']]
  here = []
  for entry in entries:
    name = named(row, entry[0][0], typed[entry[0][0]])
    done = [(folder / of, run) for of, run in entry if run is not None]
    here.append(shown(row, name, done) if len(done) == len(entry) else f'{name} not measured')
  if 'baselines' in row:
    here += [of_baseline(row, part, first) for part in row['baselines']]
  here += row.get('more', [])
  measured = [run for entry in entries for _, run in entry if run is not None]
  devices = dict.fromkeys(run['device'] for run in measured)
  commands = ', '.join(numbers[of] for entry in entries for of, _ in entry)
  cells = '; '.join(trivial), '; '.join(here), row['published']
  return [row['task'], row['examples'], row['metric'], *cells, '; '.join(devices), '1' if devices else '', commands]


def groups(row: Json) -> list[list[str]]:
  """Return the names of a row's runs, those together that are shown as one."""
  return [[entry] if isinstance(entry, str) else entry for entry in row.get('runs', ())]


def named(row: Mapping[str, Any], name: str, command: str) -> str:
  """Return what the table calls a run: its label, or its architecture."""
  found = ARCHITECTURE.search(command)
  return row.get('labels', {}).get(name) or (f'`{found[1]}`' if found else name)


def of_baseline(row: Mapping[str, Any], part: Mapping[str, str], runs: Sequence[Json]) -> str:
  """Return the scores of a baseline, and its name: `name` is what the task calls it, `label` what the table does."""
  assert runs, row['task']
  values = [run['baselines'][part['name']] for run in runs]
  own = ((of.rpartition('/')[2], form) for of, form in row['scores'])
  scores = [one_or_mean([value[metric] for value in values], form) for metric, form in own if metric in values[0]]
  return f'{", ".join(scores)} {part.get("label", part["name"])}'


def shown(row: Mapping[str, Any], name: str, runs: Sequence[tuple[pathlib.Path, Json]]) -> str:
  """Return the scores of runs that are shown as one, their name, their size and their time."""
  splits = []
  for folder, _ in runs:
    evaluations = [json.loads(line) for line in (folder / 'eval.jsonl').read_text('utf-8').splitlines()]
    splits.append({evaluation['split']: evaluation for evaluation in evaluations})
  scores = []
  for of, form in row['scores']:
    split, metric = of.split('/')
    scores.append(one_or_mean([of_run[split][metric] for of_run in splits], form))
  about = [size(runs[0][1]['parameters'])]
  if all('minutes' in run for _, run in runs):
    minutes = sum(run['minutes'] for _, run in runs)
    about.append(f'{minutes:.0f} min' if minutes >= 1 else f'{60 * minutes:.0f} s')
  return f'{", ".join(scores)} {name} ({", ".join(about)})'


def one_or_mean(values: Sequence[float], form: str) -> str:
  """Return a number; of several the mean, with the lowest and the highest."""
  if len(values) == 1:
    return f'{values[0]:{form}}'
  return f'{statistics.fmean(values):{form}} ({min(values):{form}} to {max(values):{form}})'


def size(parameters: int) -> str:
  return f'{parameters / 1e6:.2g}M' if parameters >= 1e6 else f'{parameters / 1e3:.0f}k'


if __name__ == '__main__':
  try:
    main(pathlib.Path(sys.argv[1]), [pathlib.Path(name) for name in sys.argv[2:]])
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)
