"""How long the first training step is waited for, and what Python adds to a step.

  python -m benchmarks.overhead [--config=configs/<task>.py:<architecture>[,key=value…] …] [--starts=3] [--seconds=20]
                                [--out=results/<device>/overhead] [--busy=0.15]

First step: from `python main.py --mode=train` in a process of its own until the first step's metrics are in
metrics.jsonl, with an empty compilation cache and again with what that start left in it; medians of `starts`. The
row is written when the second step is on its way, so that up to one step too much is counted.

Overhead: a step of the loop of train.py, with its iterator and metrics, minus the compiled step called alone on batches
that lie on the device; in turns, in one process; the median of the differences with its interval of 95 %.
Beside it, with less noise: the processor time that the loop spends outside the compiled call, when that is waited for;
the mean over as many steps as lie between two logged ones.

Rounds in which other processes used more than `busy` cores are left out. The folder gets records.jsonl and overhead.md;
configs measured again replace the old ones.
"""

import contextlib
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from absl import flags

from benchmarks.arguments import read_flags
from seqmodels.errors import InputError
from training import runtime

CONFIGS = (
  *(f'configs/language.py:{name}' for name in ('lstm', 'gru', 'transformer')),
  'configs/recall.py:lstm',
  'configs/forecasting.py:gru',
)
FIRST_STEP, OVERHEAD = 12.0, 1e-3  # seconds that must not be exceeded
SAMPLE, MOST = 0.05, 50  # seconds of steps in a sample; the most of them
DISTURBED = 'disturbed'  # by other processes: no number
LONGEST = 600.0  # seconds in which a first step must have come
ROOT = pathlib.Path(__file__).parent.parent

Row = dict[str, Any]


class Arguments(NamedTuple):
  configs: list[str]
  starts: int
  seconds: float
  out: pathlib.Path | None
  busy: float


def parse(argv: Sequence[str]) -> Arguments:
  values = flags.FlagValues()
  flags.DEFINE_multi_string(
    'config', list(CONFIGS), 'config to measure; may be given several times', flag_values=values
  )
  flags.DEFINE_integer('starts', 3, 'processes started with each cache', 1, flag_values=values)
  flags.DEFINE_float('seconds', 20.0, 'time for the steps of each config', 0.0, flag_values=values)
  flags.DEFINE_string('out', None, 'folder of the results; default: print only', flag_values=values)
  flags.DEFINE_float('busy', 0.15, 'cores that other processes may use in a round', 0.0, flag_values=values)
  read_flags(values, argv)
  for config in values.config:
    checked(config, 'config')
  out = None if values.out is None else pathlib.Path(values.out)
  return Arguments(values.config, values.starts, values.seconds, out, values.busy)


def checked(config: str, flag: str) -> None:
  """Raise InputError unless the config can be loaded."""
  module = config.partition(':')[0]
  if not module.startswith('configs/') or not (ROOT / module).is_file():
    raise InputError(f'--{flag}={config!r} must be configs/<task>.py:<architecture>[,key=value…]')
  load(config)


def load(config: str) -> Any:
  """Return the config of `configs/<task>.py:<argument>`. Raises InputError."""
  module, _, argument = config.partition(':')
  return importlib.import_module(module.removesuffix('.py').replace('/', '.')).get_config(argument)


def starts(config: str, count: int, busy: float) -> list[Row]:
  """Return a row for each cache: seconds from the command to the first step's metrics."""
  from benchmarks.load import Neighbours
  from comparison.experiments import timing

  watch = Neighbours(busy)
  samples: dict[str, list[float]] = {'empty': [], 'filled': []}
  for _ in range(count):
    with tempfile.TemporaryDirectory() as cache:
      for found in samples.values():  # in this order: the first fills the cache
        watch.begin()
        seconds = first_step(config, cache)
        if watch.undisturbed():
          found.append(seconds)
  columns = {'rounds': watch.rounds, 'rejected': watch.rejected, 'at_most': FIRST_STEP}
  return [
    timing.timing_row(found, metric='first_step_seconds', cache=state, **columns)
    for state, found in samples.items()
    if found
  ]


def first_step(config: str, cache: str) -> float:
  """Start the command, wait for the first row of metrics.jsonl, and end it."""
  with tempfile.TemporaryDirectory() as folder:
    rows, log = pathlib.Path(folder, 'W', 'metrics.jsonl'), pathlib.Path(folder, 'log')
    command = [sys.executable, 'main.py', '--mode=train', f'--config={config}', f'--workdir={rows.parent}']
    environment = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': cache}
    with log.open('w') as output:
      start = time.perf_counter()
      process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
      while not (rows.exists() and rows.stat().st_size):
        if process.poll() is not None or time.perf_counter() - start > LONGEST:
          raise RuntimeError(f'{config}: no first step: {" ".join(log.read_text().split())[-300:]}')
        time.sleep(0.005)
      return time.perf_counter() - start
    finally:
      process.kill()
      process.wait()


def steps(config: str, seconds: float, busy: float) -> list[Row]:
  """Rows of the seconds a step in the loop and alone, of their difference, and of those outside the compiled call.

  None on a busy machine.
  """
  from benchmarks import work
  from benchmarks.load import Neighbours
  from comparison import statistics
  from comparison.experiments import timing

  watch = Neighbours(busy)
  with tempfile.TemporaryDirectory() as folder:
    sides = Sides(config, pathlib.Path(folder))
    calls = {'loop': sides.loop, 'alone': sides.alone}
    found = timing.interleave(calls, repeats=1000, seconds=seconds, shortest=0.0, fewest=work.ENOUGH, watch=watch)
    outside = sides.outside()
  columns = {'rounds': watch.rounds, 'rejected': watch.rejected}
  if watch.rounds - watch.rejected < work.ENOUGH:
    return []
  each = {side: [sample / sides.steps for sample in samples] for side, samples in found.items()}
  differences = [loop - alone for loop, alone in zip(each['loop'], each['alone'], strict=True)]
  middle = statistics.median(differences)
  overhead = {'value': middle.value, 'low': middle.low, 'high': middle.high, 'unit': 's', 'at_most': OVERHEAD}
  return [
    *(timing.timing_row(samples, metric='step_seconds', side=side, **columns) for side, samples in each.items()),
    {'metric': 'overhead_seconds', **overhead, **columns},
    {'metric': 'outside_seconds', 'value': outside, 'unit': 's'},
  ]


class Sides:
  """Some steps of the training loop, and of the compiled step alone, each with a state of its own."""

  def __init__(self, config: str, folder: pathlib.Path) -> None:
    from training import loop, run_files
    from training import mesh as meshes
    from training import workdir as workdirs
    from training.programs import Programs
    from training.run import build_run

    run = build_run(workdirs.plain(load(config)))
    self.compiled, self.state = run.trace_step().lower().compile(), run.initial_state()
    self.files = contextlib.ExitStack()  # open as long as the loop is
    files = self.files.enter_context(run_files.open_files(folder, run, None))
    programs = Programs(run.step, self.compiled)
    self.training = loop.Loop(run, programs, run.initial_state(), run.batches(), files, show=True)
    batches = run.batches()
    self.ready = [meshes.put_batch(next(batches), run.mesh) for _ in range(MOST)]
    self.steps = 1
    self.alone()
    start = time.perf_counter()
    self.waited(self.alone)
    self.steps = max(1, min(MOST, round(SAMPLE / (time.perf_counter() - start))))

  def waited(self, call: Callable[[], Any]) -> Any:
    import jax

    return jax.block_until_ready(call())

  def loop(self) -> Any:
    for _ in range(self.steps):
      self.training.advance()
    return self.training.pending

  def alone(self) -> Any:
    for batch in self.ready[: self.steps]:
      self.state, metrics = self.compiled(self.state, batch)
    return metrics

  def outside(self) -> float:
    """Seconds of this thread's processor time that a step of the loop spends outside the compiled call."""
    from training.programs import Programs

    inside = 0.0
    sides = self

    class Timed(Programs):
      def __call__(self, *arguments: Any) -> Any:
        nonlocal inside
        start = time.thread_time()
        result = sides.waited(lambda: sides.compiled(*arguments))
        inside += time.thread_time() - start
        return result

    programs, self.training.programs = self.training.programs, Timed(self.training.run.step, self.compiled)
    count = self.training.settings.log_every or MOST
    start = time.thread_time()
    for _ in range(count):
      self.training.advance()
    whole = time.thread_time() - start
    self.training.programs = programs
    return (whole - inside) / count


def measure(arguments: Arguments) -> Iterator[tuple[str, list[Row]]]:
  """(config, its rows). Every start comes before JAX takes the device in this process, which may leave no room."""
  rows = {}
  for config in arguments.configs:
    rows[config] = starts(config, arguments.starts, arguments.busy)
    print(f'{config}: {arguments.starts} starts', file=sys.stderr)
  for config in arguments.configs:
    yield config, rows[config] + steps(config, arguments.seconds, arguments.busy)
    print(f'{config}: steps', file=sys.stderr)


def table(rows: Sequence[Row]) -> str:
  """Return a line for each config: seconds to the first step, and milliseconds a step."""
  from benchmarks.summary import MET, MISSED
  from comparison.report import markdown

  lines = []
  for config in dict.fromkeys(row['work'] for row in rows):
    found = {(row['metric'], row.get('cache', row.get('side'))): row for row in rows if row['work'] == config}
    starts = [found.get(('first_step_seconds', cache)) for cache in ('empty', 'filled')]
    overhead, outside = found.get(('overhead_seconds', None)), found.get(('outside_seconds', None))
    each = [*(found.get(('step_seconds', side)) for side in ('loop', 'alone')), outside]
    cells = [DISTURBED if row is None else f'{row["value"]:.1f}' for row in starts]
    cells += [DISTURBED if row is None else f'{row["value"] * 1e3:.2f}' for row in each]
    cells.append(DISTURBED if overhead is None else '{:.2f} [{:.2f}, {:.2f}]'.format(*milliseconds(overhead)))
    limited = [row for row in (*starts, overhead) if row is not None]
    missed = any(row['value'] > row['at_most'] for row in limited)
    lines.append([f'`{config}`', *cells, MISSED if missed else MET if len(limited) == 3 else DISTURBED])
  head = (
    'config',
    'first step, s',
    'again, s',
    'step in the loop, ms',
    'alone, ms',
    'outside the call, ms',
    'overhead, ms',
    '',
  )
  first = rows[0]
  versions = ', '.join(f'{name} {version}' for name, version in first['versions'].items())
  return (
    f'# Overhead on {first["device_kind"]}\n\nSeconds from the command to the metrics of the first training step, with '
    'an empty compilation cache and again with a filled one; milliseconds a step of the training loop and of the '
    'compiled step called alone, and their difference with its 95 % interval; medians. Outside the call: processor '
    f'time of the loop, a mean with less noise. At most {FIRST_STEP:g} s and {OVERHEAD * 1e3:g} ms.\n\n'
    f'{markdown.grid(head, lines)}\n\n{versions}; malloc {first["malloc"]}.\n\n'
    '```\npython -m benchmarks.overhead --out=results/<device>/overhead\n```\n'
  )


def milliseconds(row: Row) -> list[float]:
  """Return a row's number and the ends of its interval."""
  return [row[name] * 1e3 for name in ('value', 'low', 'high')]


def main(argv: Sequence[str]) -> int:
  """Return the exit code: 2 for bad input, with one line on stderr."""
  os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
  settings = runtime.prepare()
  try:
    arguments = parse(argv)
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  runtime.log.setLevel('WARNING')  # the loop's progress lines are not the result
  from benchmarks import summary
  from comparison import records
  from comparison.experiments import runner

  everything: list[Row] = []
  for config, rows in measure(arguments):
    about = {'experiment': 'overhead', 'cell': config, 'work': config, **runner.machine_identity()}
    about |= {'malloc': settings['malloc'], 'time': time.time()}
    named = [{**about, **row} for row in rows]
    everything += named
    if arguments.out is not None and named:
      summary.replace(arguments.out / 'records.jsonl', config, named)
  if not everything:
    print('nothing was measured: other processes were at work all the time; see --busy', file=sys.stderr)
    return 1
  print(table(everything))
  if arguments.out is not None:
    (arguments.out / 'overhead.md').write_text(table(records.read(arguments.out / 'records.jsonl')))
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
