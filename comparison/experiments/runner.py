"""Runs the cells of experiments that are not finished yet, one after the other, and appends their rows."""

import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

from comparison import records
from comparison.experiments.base import Cell, Experiment, Row, Scale


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
  say: Callable[[str], None] = print,
  architectures: Sequence[str] = (),
  only: Mapping[str, Sequence[Any]] | None = None,
  prepared: int | None = None,
) -> Tally:
  """Runs every `shard[1]`-th cell, beginning with number `shard[0]`; finished ones are skipped.

  architectures: in place of the experiments' own, where these take any. only: column → values; cells with another value
  there are left out. prepared: how many cells are compiled at a time, before they are measured; None: PREPARED on
  accelerators, where compiling takes longer than measuring, else one.

  A cell's rows are written at once when it has finished. A cell that raises leaves one row `failed` with the error and
  is tried again by the next run; the others go on.
  """
  cells = plan(experiments, scale, architectures)
  mine = [one for one in cells if matches(one.cell, only or {})][shard[0] :: shard[1]]
  done = records.finished(records.read_all(workdir))
  todo = [cell for cell in mine if cell.key not in done]
  skipped, failed = len(mine) - len(todo), 0
  if skipped:
    say(f'{skipped} of {len(mine)} cells are finished already')
  left = sum(planned.experiment.cost(planned.cell) for planned in todo)
  worked = spent = 0.0
  at_once = prepared or (1 if jax.default_backend() == 'cpu' else PREPARED)
  for first in range(0, len(todo), at_once):
    start = time.time()
    group = todo[first : first + at_once]
    ready = prepare(group)
    waited = (time.time() - start) / len(group)
    for number, planned in enumerate(group, first + 1):
      start = time.time()
      rows = measure(planned, ready.pop(0))  # so that its programs' memory is free afterwards
      taken = time.time() - start + waited
      failed += rows[0]['metric'] == 'failed'
      identity = {**row_identity(planned, scale), 'time': time.time(), 'seconds': round(taken, 2)}
      records.append(workdir / records.file_name(*shard), [{**identity, **row} for row in rows])
      cost = planned.experiment.cost(planned.cell)
      left, worked, spent = left - cost, worked + cost, spent + taken
      say(progress(number, len(todo), planned, taken, rows, left * spent / worked))
  return Tally(len(todo) - failed, skipped, failed)


def matches(cell: Cell, only: Mapping[str, Sequence[Any]]) -> bool:
  return all(cell.get(name) in values for name, values in only.items())


def prepare(group: Sequence[Planned]) -> list[Future[Callable[[], Iterable[Row]]]]:
  """What measures each cell, prepared side by side; or, as its exception, why it could not be prepared."""
  with ThreadPoolExecutor(len(group)) as pool:
    return [pool.submit(planned.experiment.prepare, planned.cell) for planned in group]


def plan(experiments: Iterable[Experiment], scale: Scale, architectures: Sequence[str] = ()) -> list[Planned]:
  """All cells of a scale with their keys, in the order in which they are run."""
  kind, versions = device_kind(), package_versions()
  planned = []
  for experiment in experiments:
    for cell in experiment.cells_of(scale, architectures) if architectures else experiment.cells(scale):
      content = {**cell, 'scale': scale}
      key = records.cell_key(experiment.name, experiment.version, content, kind, versions)
      planned.append(Planned(experiment, cell, key, records.digest([experiment.name, content])))
  return planned


def measure(planned: Planned, prepared: Future[Callable[[], Iterable[Row]]]) -> list[Row]:
  """The rows of one cell; one `failed` row if it raises, or yields nothing."""
  try:
    rows = list(prepared.result()())
    if not rows:
      raise RuntimeError('the cell yielded no rows')
    return rows
  except Exception as error:  # whatever goes wrong in a cell must not stop the others
    text = ' '.join(f'{type(error).__name__}: {error}'.split())
    return [{'metric': 'failed', 'value': None, 'error': text[:500], **_flat(planned.cell)}]


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


def machine_identity() -> Row:
  """Device, versions, settings and commit of this process."""
  return {
    'device': jax.default_backend(),
    'device_kind': device_kind(),
    'devices': jax.device_count(),
    'host': hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8],
    'versions': package_versions(),
    'flags': compiler_flags(),
    'commit': commit(),
  }


def progress(number: int, count: int, planned: Planned, taken: float, rows: Sequence[Row], left: float) -> str:
  """`[3/17] recall_capacity pairs=16 … 12.1 s, about 2 min left`"""
  what = ' '.join(f'{k}={v}' for k, v in planned.cell.items() if isinstance(v, str | int | float))
  remaining = f'about {left / 60:.0f} min left' if left >= 90 else f'about {left:.0f} s left'
  failure = f' FAILED: {rows[0]["error"]}' if rows[0]['metric'] == 'failed' else ''
  return f'[{number}/{count}] {planned.experiment.name} {what}: {taken:.1f} s, {remaining}{failure}'


@functools.cache
def device_kind() -> str:
  """The device's model; for a CPU the processor and the number of cores, since "cpu" says nothing about speed."""
  device = jax.devices()[0]
  if device.platform != 'cpu':
    return device.device_kind
  model = platform.processor() or platform.machine()
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  if cpuinfo.exists():
    lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith('model name')]
    model = lines[0].partition(':')[2].strip() if lines else model
  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  return f'{model}, {cores} cores'


@functools.cache
def package_versions() -> dict[str, str]:
  """Versions that decide the numbers."""
  packages = {name: importlib.metadata.version(name) for name in ('jax', 'jaxlib', 'flax', 'optax', 'numpy')}
  return {'python': platform.python_version(), **packages}


def compiler_flags() -> str:
  """Compiler flags and the number of devices that a CPU is split into."""
  return os.environ.get('XLA_FLAGS', '')


@functools.cache
def commit() -> str:
  """The commit of this code, with + for uncommitted changes; outside a repository SEQMODELS_COMMIT, or nothing."""
  here = pathlib.Path(__file__).parent

  def git(*arguments: str) -> str:
    try:
      done = subprocess.run(['git', *arguments], cwd=here, capture_output=True, text=True, check=False)
    except OSError:  # no git here
      return ''
    return done.stdout.strip() if done.returncode == 0 else ''

  head = git('rev-parse', '--short=10', 'HEAD')
  if not head:
    return os.environ.get('SEQMODELS_COMMIT', '')
  return f'{head}+' if git('status', '--porcelain', '--untracked-files=no') else head
