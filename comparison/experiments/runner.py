"""Runs the cells of experiments that are not finished yet, one after the other, and appends their rows."""

import functools
import pathlib
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

from comparison import records
from comparison.experiments.base import Cell, Experiment, Row, Scale
from training import cache, kinds, maps
from training.files import Lock, writing
from training.provenance import device_kind, machine_identity, package_versions


class Tally(NamedTuple):
  """How many cells of this shard were run, were there already, and failed."""

  run: int
  skipped: int
  failed: int


PREPARED = 8  # cells of an accelerator that are compiled together, and then measured one after the other


class Planned(NamedTuple):
  experiment: Experiment
  cell: Cell
  key: str
  content: str


def run(
  experiments: Iterable[Experiment],
  scale: Scale,
  workdir: pathlib.Path,
  shard: tuple[int, int] = (0, 1),
  say: Callable[[str], None] = functools.partial(print, flush=True),  # a log file has each cell when it ends
  architectures: Sequence[str] = (),
  only: Mapping[str, Sequence[Any]] | None = None,
  prepared: int | None = None,
  rules: Mapping[str, str] | None = None,
  article: str = '',
  brought: Collection[str] = (),
  kind: str = kinds.COMPARISON,
) -> Tally:
  """Run every `shard[1]`-th cell, beginning with number `shard[0]`; finished ones are skipped.

  architectures: in place of the experiments' own, where these take any. only: column → values; cells with another value
  there are left out. prepared: how many cells are compiled at a time, before they are measured; None: PREPARED on
  accelerators, where compiling takes longer than measuring, else one. rules: experiment → checksums of the rules that
  will judge it, which its rows keep. article: for which it is measured, which the rows keep; empty: the first one.
  brought: experiments of that article, whose cells are not those of others with the same name. kind: of the workdir.

  A cell's rows are written at once when it has finished. A cell that raises leaves one row `failed` with the error and
  is tried again by the next run; the others go on.

  Raises InputError where another process runs the same shard in the folder or the folder is of another kind, WriteError
  where rows cannot be written.
  """
  cells = plan(experiments, scale, architectures)
  mine = [one for one in cells if matches(one.cell, only or {})][shard[0] :: shard[1]]
  with Lock(workdir, kind, f'{records.file_name(*shard)}.lock'):
    rows = records.read_all(workdir, quiet=True)
    done = records.finished(r for r in rows if r['experiment'] not in brought or r.get('article', '') == article)
    todo = [cell for cell in mine if cell.key not in done]
    if len(mine) > len(todo):
      say(f'{len(mine) - len(todo)} of {len(mine)} cells are finished already')
    at_once = prepared or (1 if jax.default_backend() == 'cpu' else PREPARED)
    shared = {'article': article} if article else {}
    failed = _run(todo, scale, workdir / records.file_name(*shard), say, at_once, rules or {}, shared)
  return Tally(len(todo) - failed, len(mine) - len(todo), failed)


def _run(
  todo: Sequence[Planned],
  scale: Scale,
  path: pathlib.Path,
  say: Callable[[str], None],
  at_once: int,
  rules: Mapping[str, str],
  shared: Row,
) -> int:
  """Measure cells, `at_once` of them prepared together, and append their rows; return how many failed."""
  failed = 0
  left = sum(cell.experiment.cost(cell.cell) for cell in todo)
  worked = spent = 0.0
  for first in range(0, len(todo), at_once):
    maps.let_programs_go()
    start = time.time()
    group = todo[first : first + at_once]
    ready = prepare(group)
    waited = (time.time() - start) / len(group)
    for number, planned in enumerate(group, first + 1):
      start = time.time()
      rows = measure(planned, ready.pop(0))  # so that its programs' memory is free afterwards
      taken = time.time() - start + waited
      cache.counts.say()
      failed += rows[0]['metric'] == 'failed'
      identity = {**row_identity(planned, scale), **shared, 'rules': rules.get(planned.experiment.name, '')}
      identity |= {'time': time.time(), 'seconds': round(taken, 2)}
      with writing(path):
        records.append(path, [{**identity, **row} for row in rows])
      cost = planned.experiment.cost(planned.cell)
      left, worked, spent = left - cost, worked + cost, spent + taken
      say(progress(number, len(todo), planned, taken, rows, left * spent / worked))
  return failed


def matches(cell: Cell, only: Mapping[str, Sequence[Any]]) -> bool:
  return all(cell.get(name) in values for name, values in only.items())


def prepare(group: Sequence[Planned]) -> list[Future[Callable[[], Iterable[Row]]]]:
  """Return what measures each cell, prepared side by side; or, as its exception, why it could not be prepared."""
  with ThreadPoolExecutor(len(group)) as pool:
    return [pool.submit(planned.experiment.prepare, planned.cell) for planned in group]


def plan(experiments: Iterable[Experiment], scale: Scale, architectures: Sequence[str] = ()) -> list[Planned]:
  """Return all cells of a scale with their keys, in the order in which they are run."""
  kind, versions = device_kind(), package_versions()
  planned = []
  for experiment in experiments:
    for cell in experiment.cells_of(scale, architectures) if architectures else experiment.cells(scale):
      content = {**cell, 'scale': scale}
      key = records.cell_key(experiment.name, experiment.version, content, kind, versions)
      planned.append(Planned(experiment, cell, key, records.digest([experiment.name, content])))
  return planned


def measure(planned: Planned, prepared: Future[Callable[[], Iterable[Row]]]) -> list[Row]:
  """Return the rows of one cell; one `failed` row if it raises, or yields nothing."""
  try:
    rows = list(prepared.result()())
    if not rows:
      raise RuntimeError('the cell yielded no rows')
    return rows
  except Exception as error:  # whatever goes wrong in a cell must not stop the others
    return [{'metric': 'failed', 'value': None, 'error': described(error)[:500], **_flat(planned.cell)}]


def described(error: Exception) -> str:
  """Return an error in one line; one without a message (an assertion) with the line of code that raised it."""
  text = ' '.join(f'{type(error).__name__}: {error}'.split())
  frames = traceback.extract_tb(error.__traceback__)
  if str(error) or not frames:
    return text
  return f'{text} {pathlib.Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line}'


def _flat(cell: Cell) -> Row:
  return {name: value for name, value in cell.items() if isinstance(value, str | int | float)}


def row_identity(planned: Planned, scale: Scale) -> Row:
  return {
    'experiment': planned.experiment.name,
    'version': planned.experiment.version,
    'cell': planned.key,
    'content': planned.content,
    'scale': scale,
    **machine_identity(),
  }


def progress(number: int, count: int, planned: Planned, taken: float, rows: Sequence[Row], left: float) -> str:
  """`[3/17] recall_capacity pairs=16 … 12.1 s, about 2 min left`"""
  what = ' '.join(f'{k}={v}' for k, v in planned.cell.items() if isinstance(v, str | int | float))
  left = max(left, 0.0)  # sums of floats may end below
  remaining = f'about {left / 60:.0f} min left' if left >= 90 else f'about {left:.0f} s left'
  failure = f' FAILED: {rows[0]["error"]}' if rows[0]['metric'] == 'failed' else ''
  return f'[{number}/{count}] {planned.experiment.name} {what}: {taken:.1f} s, {remaining}{failure}'
