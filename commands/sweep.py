"""--mode=sweep: train one config with other values of some fields and several seeds, and rank the settings."""

import json
import logging
import os
import pathlib
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from commands import compare, interrupts
from comparison import records
from configs import space as spaces
from seqmodels.errors import InputError
from training import files, kinds, runtime

SPACE = kinds.SPACE  # what the records of a workdir are a sweep of
FORMATS = ('markdown', 'latex', 'csv', 'json')
Load = Callable[[Mapping[str, str]], Any]


def main(
  config: Any,
  workdir: str,
  axes: Sequence[str],
  load: Load,
  budget: int | None = None,
  sweep_seed: int = 0,
  shard: tuple[int, int] = (0, 1),
) -> None:
  """Train the trials that are not finished, then print the table and write it into the workdir.

  Args:
    config: what the trials have in common.
    workdir: folder of the records, and of a folder for each trial.
    axes: `field=form`; see `configs.space`.
    load: makes the config with other fields, dotted name → text.
    budget: draws, or trials of a product; None: the whole product.
    sweep_seed: of what is drawn.
    shard: (i, n): every n-th trial, beginning with the i-th.

  Raises:
    InputError: a field, a value, a range or a budget that is not allowed, a run that cannot be made, or a workdir that
      cannot be used or is of something else. Nothing is written.
  """
  space = spaces.parse(config, axes)
  trials = space.trials(budget, sweep_seed)
  made = [load(trial.overrides) for trial in trials]
  folder = files.resolve('workdir', workdir)
  interrupts.hint = f'; go on with: {runtime.command()}'

  import train  # imports JAX, which takes seconds
  from comparison.experiments import runner
  from comparison.experiments.sweep import Sweep
  from training.goodput import Ledger
  from training.stop import leaving
  from training.workdir import plain

  cells = [{**trial.values, 'seed': trial.seed, 'config': plain(own)} for trial, own in zip(trials, made, strict=True)]
  about = describe(space, plain(config), budget, sweep_seed, len(trials), load)
  check_folder(folder, about)

  def fit(own: dict[str, Any], place: pathlib.Path) -> Mapping[str, float]:
    with quiet():
      return train.train(own, place, ledger=Ledger(), show=False)

  sweep = Sweep(cells, folder, fit)
  check_places(sweep, workdir)
  check_runs(sweep, distinct(space, trials))
  about['cells'] = [planned.content for planned in runner.plan([sweep], 'config')]
  if about['part']:
    print(about['part'])
  write_space(compare.writable(workdir), about)
  with leaving():
    try:
      tally = runner.run([sweep], 'config', folder, shard, kind=kinds.SWEEP)
    except files.WriteError as error:
      sys.exit(f'error: {error}; the trials that had finished are kept')
  print(f'{tally.run} trials run, {tally.skipped} were finished already, {tally.failed} failed')
  publish(folder)
  compare.leave_if_all_failed(tally, 'trials')


def distinct(space: spaces.Space, trials: Sequence[spaces.Trial]) -> list[int]:
  """Return the indices of trials whose runs are made before any is trained.

  They are the first trial, and the first ones with each value of each axis; of grids and draws, their ends.
  """
  found = {0}
  for axis in space.axes:
    values = [trial.values[axis.path] for trial in trials]
    is_spaced = axis.form in (*spaces.GRIDS, *spaces.DRAWN)
    ends = (min(values), max(values)) if is_spaced else dict.fromkeys(values)
    if axis.path != 'train.learning_rate':  # which no model depends on
      found |= {values.index(value) for value in ends}
  return sorted(found)


def check_places(sweep: Any, workdir: str) -> None:
  """Raise InputError for a workdir in which trials cannot have their own."""
  places = [sweep.place(cell) for cell in sweep.cells('config')]
  files.check_writable('workdir', workdir, places[0].parent)
  for place in places:
    files.resolve('workdir', place)


def check_runs(sweep: Any, numbers: Sequence[int]) -> None:
  """Raise InputError for trials that could not begin: their runs are made, and the step of the first one is traced."""
  import train
  from training.metrics import held

  cells = sweep.cells('config')
  with held():
    for number in numbers:
      run, _ = train.build(cells[number]['config'], sweep.place(cells[number]))
      if number == 0:
        run.trace_step()


def describe(
  space: spaces.Space, config: dict[str, Any], budget: int | None, sweep_seed: int, count: int, load: Load
) -> dict[str, Any]:
  """Return what space.json holds: the config without the swept fields, the axes with what lies beyond them, the part.

  `below` and `above` are null where the axis has no further values, such as a dropout below 0.
  """
  shown = []
  for axis in space.axes:
    ends = axis.beyond() or (None, None)
    below, above = (None if end is None or not is_possible(load, axis.path, end) else end for end in ends)
    shown.append({'field': axis.path, 'text': axis.text, 'numeric': axis.is_numeric, 'below': below, 'above': above})
  part = ''
  if space.is_drawn:
    settings = count // len(space.seeds.values)
    part = f'{budget} draws of sweep_seed {sweep_seed} ({settings} different), each with every seed'
  elif count < space.size:
    part = f'--budget={budget}: {count} of the {space.size} trials of the product, drawn with sweep_seed {sweep_seed}'
  from training.workdir import flat

  swept = {spaces.SEED, *(axis.path for axis in space.axes)}
  return {
    'config': {name: value for name, value in flat(config).items() if name not in swept},
    'axes': shown,
    'seeds': {'field': spaces.SEED, 'text': space.seeds.text},
    'part': part,
  }


def is_possible(load: Load, path: str, value: spaces.Value) -> bool:
  """Return whether a field may have the value."""
  try:
    load({path: spaces.as_text(value)})
  except InputError:
    return False
  return True


def check_folder(folder: pathlib.Path, about: Mapping[str, Any]) -> None:
  """Raise InputError where a workdir is of another kind, of another config or of other swept fields."""
  kinds.check(folder, kinds.SWEEP)
  if not (folder / SPACE).exists():
    return
  before = read_space(folder)
  old, new = ({axis['field'] for axis in one['axes']} for one in (before, about))
  if old != new:
    fields = '; now: '.join(', '.join(sorted(names)) or 'the seed alone' for names in (old, new))
    raise InputError(f'--workdir={folder} is of a sweep over other fields ({fields}); use another workdir')
  names = before['config'].keys() | about['config'].keys()
  differing = [name for name in sorted(names) if before['config'].get(name) != about['config'].get(name)]
  if differing:
    was, now = before['config'], about['config']
    values = '; '.join(f'{name} is {was.get(name)!r} there and {now.get(name)!r} now' for name in differing)
    raise InputError(f'--workdir={folder} is of a sweep of another config: {values}; use another workdir')


def read_space(folder: pathlib.Path) -> dict[str, Any]:
  """Return space.json of a workdir. Raises InputError where it is damaged."""
  path = folder / SPACE
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError, RecursionError):
    found = None
  if not is_whole(found):
    raise InputError(f'{path} is damaged; delete it and run the same --mode=sweep again')
  return found


def is_whole(found: Any) -> bool:
  """Return whether the content of space.json has all that is read from it."""
  if not isinstance(found, dict) or not isinstance(found.get('config'), dict):
    return False
  axes, cells = found.get('axes'), found.get('cells')
  if not isinstance(axes, list) or not isinstance(cells, list):
    return False
  fields = (*axes, found.get('seeds'))
  return (
    all(isinstance(one, dict) and isinstance(one.get(name), str) for one in fields for name in ('field', 'text'))
    and all({'numeric', 'below', 'above'} <= axis.keys() for axis in axes)
    and all(isinstance(key, str) for key in cells)
  )


def write_space(folder: pathlib.Path, about: Mapping[str, Any]) -> None:
  """Write space.json where it differs; several shards may do so at a time. Raises WriteError."""
  text = json.dumps(about, indent=1) + '\n'
  path = folder / SPACE
  if path.exists() and path.read_text(encoding='utf-8') == text:
    return
  own = folder / f'{SPACE}.{socket.gethostname()}.{os.getpid()}'
  files.write_text(own, text)
  with files.writing(path):
    own.replace(path)


@contextmanager
def quiet() -> Iterator[None]:
  """Keep back what a trial logs: only warnings are shown, and after a signal how to go on."""
  from training.metrics import held, log

  kept: list[logging.LogRecord] = []
  shown: list[logging.LogRecord] = []
  try:
    with held() as kept:
      yield
  except SystemExit:
    shown = [record for record in kept if runtime.command() in record.getMessage()]
    raise
  finally:
    for record in (*(r for r in kept if r.levelno > logging.INFO), *shown):
      log.handle(record)


def report(folder: pathlib.Path, kind: str | None = None) -> None:
  """Print and write the tables of a sweep again, from its records alone."""
  if not records.read_all(folder, quiet=True):
    raise InputError(f'--workdir={folder} is of a sweep without a finished trial; run it first')
  publish(compare.writable(str(folder)), kind)


def publish(folder: pathlib.Path, kind: str | None = None) -> None:
  """Print the tables of a sweep and write them; kind: markdown, latex, csv or json, in place of the terminal's."""
  from comparison.report import exports, page, sweep

  if kind is not None and kind not in FORMATS:
    raise InputError(f'--format={kind} has no effect on a sweep: --workdir={folder}; allowed: {", ".join(FORMATS)}')
  about = read_space(folder)
  rows = records.read_all(folder)
  found = records.select(rows)
  warn_of_other_devices(folder, rows, found)
  result, header = sweep.summary(found, about), page.header(found)
  for number, line in enumerate(sweep.lines(result)):
    print(line if number == 0 else f'\n{line}')
  data = json.dumps(sweep.as_json(result, header, about), indent=1, ensure_ascii=False)
  tex = ''.join(exports.as_latex(table, header) for table in (result.table, result.curve))
  made = {
    'markdown': {'sweep.md': sweep.as_markdown(result, header)},
    'csv': {'sweep.csv': exports.as_csv(result.table), 'sweep_best_of_k.csv': exports.as_csv(result.curve)},
    'json': {'sweep.json': f'{data}\n'},
    'latex': {'sweep.tex': tex},
  }
  for name in FORMATS if kind is None else (kind,):
    for file, text in made[name].items():
      files.write_text(folder / file, text)
      print((folder / file).resolve())


def warn_of_other_devices(folder: pathlib.Path, rows: Sequence[records.Row], shown: Sequence[records.Row]) -> None:
  """Log which trials are left out because a device of another kind has trained them."""
  kinds = {row['device_kind'] for row in shown}
  others = [row for row in rows if row['device_kind'] not in kinds]
  if others:
    count, names = len({row['cell'] for row in others}), sorted({row['device_kind'] for row in others})
    records.log.warning(
      '%s: the tables have the trials of %s alone; %d of %s are left out', folder, *kinds, count, ', '.join(names)
    )
