"""Measure what saving, logging, data and checksums cost a run, and how its memory grows over thousands of steps.

  python -m benchmarks.long_run [--config=configs/<task>.py:<architecture>[,key=value…]] [--rounds=5]
                                [--long=configs/<task>.py:<architecture>[,key=value…]]
                                [--out=results/<device>/long_run] [--busy=0.15]

Costs: rounds of 50 steps of the training loop, in turns and in one process: of one that writes nothing, of one that
logs every 10th step, and of one that saves a checkpoint, whose writing in the background is waited for. The median of
the ratios to the first, with its interval of 95 %. The share of data wait is that of the goodput ledger over these
steps. Checksums: the seconds in which a file of a gibibyte is read and summed up, the median of three.

Memory: `main.py --mode=train` with the config of --long in a process of its own, which saves every 50 and evaluates
every 250 of its 5,000 steps; the resident memory is read all the time. What counts is the growth of its median from the
second fifth of the steps to the last.

Rounds in which other processes used more than `busy` cores are left out. The folder gets records.jsonl and long_run.md.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from benchmarks.arguments import read_flags
from benchmarks.overhead import ROOT, checked, load
from seqmodels.errors import InputError
from training import goodput, runtime

# 10M parameters, and the batch of nanoGPT's setting for CPUs.
CONFIG = 'configs/language.py:transformer,params=1e7,batch_size=12,length=64'
LONG = 'configs/language.py:gru,width=16,depth=1,batch_size=4,length=16'
EVERY, LOGGED = 50, 10  # steps of a round, and between two logged ones
STEPS, EVALUATED = 5000, 250
GIBIBYTE = 2**30
LIMITS = {'saved': 1.03, 'logged': 1.01, 'data_wait': 0.02, 'checksum_seconds': 1.0, 'growth': 0.05}

Row = dict[str, Any]


class Arguments(NamedTuple):
  config: str
  long: str
  rounds: int
  out: pathlib.Path | None
  busy: float


def parse(argv: Sequence[str]) -> Arguments:
  values = flags.FlagValues()
  flags.DEFINE_string('config', CONFIG, 'config whose steps are timed', flag_values=values)
  flags.DEFINE_string('long', LONG, 'config that is trained for thousands of steps', flag_values=values)
  flags.DEFINE_integer('rounds', 5, 'rounds of 50 steps', 5, flag_values=values)
  flags.DEFINE_string('out', None, 'folder of the results; default: print only', flag_values=values)
  flags.DEFINE_float('busy', 0.15, 'cores that other processes may use in a round', 0.0, flag_values=values)
  read_flags(values, argv)
  for name in ('config', 'long'):
    checked(str(values[name].value), name)
  out = None if values.out is None else pathlib.Path(values.out)
  return Arguments(values.config, values.long, values.rounds, out, values.busy)


class Side:
  """A training loop whose calls take EVERY steps."""

  def __init__(self, config: str, folder: pathlib.Path, *, log_every: int, saves: bool) -> None:
    from training import loop, run_files
    from training import workdir as workdirs
    from training.run import build_run

    self.folder = folder
    plain = workdirs.plain(load(config))
    # The last step, which is logged and saved, never comes.
    plain['train'] |= {'log_every': log_every, 'steps': 10**9, 'checkpoint_every': 0, 'checkpoint_minutes': 0.0}
    run = build_run(plain)
    files = self.files = contextlib.ExitStack()  # open as long as the loop is
    opened = files.enter_context(run_files.open_files(folder, run, None))
    programs = run.programs(run.trace_step())
    self.ledger, self.saves = goodput.Ledger(), saves
    self.ledger.open(folder, 0)
    files.callback(self.ledger.close)
    self.loop = loop.Loop(run, programs, run.initial_state(), run.batches(), opened, ledger=self.ledger, show=True)

  def __call__(self) -> Any:
    self.ledger.switch(goodput.STEP)
    if self.saves and self.loop.step:
      self.loop.save()
    for _ in range(EVERY):
      self.loop.advance()
    if self.saves and self.loop.checkpoints is not None:
      self.loop.checkpoints.wait()
    self.ledger.switch(goodput.START_UP)  # the rounds of the others
    return self.loop.state.params

  def waiting(self) -> float:
    """Return the time that steps waited for batches over that of steps and waiting."""
    self.ledger.flush()
    seconds = goodput.read(self.folder / goodput.NAME).seconds
    waited, worked = (seconds.get(kind, 0.0) for kind in (goodput.DATA, goodput.STEP))
    return waited / (waited + worked)


def costs(config: str, rounds: int, busy: float) -> list[Row]:
  """Rows of the seconds of a round, of the ratios to the round that writes nothing, and of the share of data wait."""
  from benchmarks.load import Neighbours
  from comparison import statistics
  from comparison.experiments import timing

  watch = Neighbours(busy)
  with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as files:
    named = {'bare': (0, False), 'logged': (LOGGED, False), 'saved': (0, True)}
    sides = {
      name: Side(config, pathlib.Path(folder, name), log_every=log_every, saves=saves)
      for name, (log_every, saves) in named.items()
    }
    for side in sides.values():
      files.enter_context(side.files)
    found = timing.interleave(sides, repeats=rounds, shortest=0.0, watch=watch)
    wait = [side.waiting() for side in sides.values()]
  columns = {'rounds': watch.rounds, 'rejected': watch.rejected}
  if len(found['bare']) < statistics.FEWEST:
    return []
  rows = [timing.timing_row(samples, metric='round_seconds', side=side, **columns) for side, samples in found.items()]
  for name in ('saved', 'logged'):
    rows.append(limited(name, statistics.ratio(found[name], found['bare']), '×', **columns))
  return [*rows, limited('data_wait', statistics.Interval.exact(float(np.mean(wait))), 'share', **columns)]


def limited(metric: str, value: Any, unit: str, **columns: Any) -> Row:
  ends = {'value': value.value, 'low': value.low, 'high': value.high}
  return {'metric': metric, **ends, 'unit': unit, 'at_most': LIMITS[metric], **columns}


def checksums(size: int = GIBIBYTE) -> Row:
  """Return a row of the seconds in which a gibibyte is summed up, from a file that was just written."""
  from comparison import statistics
  from training import checksums as sums

  block = np.random.default_rng(0).bytes(min(size, 2**24))
  samples = []
  with tempfile.NamedTemporaryFile() as file:
    for _ in range(size // len(block)):
      file.write(block)
    file.flush()
    for _ in range(3):
      start = time.perf_counter()
      sums.of_file(pathlib.Path(file.name))
      samples.append((time.perf_counter() - start) * GIBIBYTE / size)
  return limited('checksum_seconds', statistics.Interval.exact(float(np.median(samples))), 's')


def memory(config: str, steps: int = STEPS, every: int = EVERY, evaluated: int = EVALUATED) -> list[Row]:
  """Rows of the resident memory by fifths of the steps, and of its growth after the first."""
  from comparison import statistics

  with tempfile.TemporaryDirectory() as folder:
    rows, log = pathlib.Path(folder, 'W', 'metrics.jsonl'), pathlib.Path(folder, 'log')
    options = f',steps={steps},checkpoint_every={every},eval_every={evaluated},log_every={LOGGED}'
    command = [sys.executable, 'main.py', '--mode=train', f'--config={config}{options}', f'--workdir={rows.parent}']
    with log.open('w') as output:
      process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    seen: list[tuple[int, int]] = []
    try:
      while process.poll() is None:
        if rows.exists() and (size := resident_bytes(process.pid)):
          seen.append((lines(rows) * LOGGED, size))
        time.sleep(0.02)
    finally:
      process.kill()
      process.wait()
    if process.returncode:
      raise RuntimeError(f'{config}: exit code {process.returncode}: {" ".join(log.read_text().split())[-300:]}')
  fifths = [[size for step, size in seen if i * steps <= 5 * step < (i + 1) * steps] for i in range(5)]
  medians = [float(np.median(part)) for part in fifths]
  grown = statistics.Interval.exact(medians[-1] / medians[1] - 1)
  named: Row = {'steps': steps, 'saves': steps // every, 'evaluations': steps // evaluated}
  resident: list[Row] = [
    {'metric': 'resident_bytes', 'value': median, 'unit': 'B', 'fifth': i + 1, **named}
    for i, median in enumerate(medians)
  ]
  return [*resident, limited('growth', grown, 'share', **named)]


def resident_bytes(pid: int) -> int:
  """Return the resident memory of a process; 0 when it has ended."""
  try:
    pages = int(pathlib.Path(f'/proc/{pid}/statm').read_text().split()[1])
  except (OSError, IndexError):
    return 0
  return pages * os.sysconf('SC_PAGE_SIZE')


def lines(path: pathlib.Path) -> int:
  with path.open('rb') as file:
    return sum(block.count(b'\n') for block in iter(lambda: file.read(2**16), b''))


def table(rows: Sequence[Row]) -> str:
  """Return a line for each limit, and the memory by fifths."""
  from benchmarks.summary import MET, MISSED
  from comparison.report import markdown

  labels = {
    'saved': f'a checkpoint every {EVERY} steps, time of the steps ×',
    'logged': f'metrics of every {LOGGED}th step, time of the steps ×',
    'data_wait': 'waiting for batches, share of the steps',
    'checksum_seconds': 'checksum of a gibibyte, seconds',
    'growth': 'growth of memory from the second to the last fifth',
  }
  found = {row['metric']: row for row in rows if row['metric'] in labels}
  body = []
  for metric, label in labels.items():
    if row := found.get(metric):
      ends = f' [{row["low"]:.4g}, {row["high"]:.4g}]' if row['low'] != row['high'] else ''
      state = MISSED if row['value'] > row['at_most'] else MET
      body.append([label, f'{row["value"]:.4g}{ends}', f'{row["at_most"]:g}', state])
  first = rows[0]
  versions = ', '.join(f'{name} {version}' for name, version in first['versions'].items())
  resident = [row for row in rows if row['metric'] == 'resident_bytes']
  fifths = ', '.join(f'{row["value"] / 2**20:,.0f}' for row in resident)
  steps = f'{resident[0]["steps"]:,} steps, {resident[0]["saves"]} saves and {resident[0]["evaluations"]} evaluations'
  costs, rounds = 'Costs: other processes were at work all the time. ', ''
  if saved := found.get('saved'):
    rounds = f' --rounds={saved["rounds"]}'
    costs = f'Costs: `{saved["work"]}`, {saved["rounds"]} rounds, of which {saved["rejected"]} were left out. '
  return (
    f'# A long run on {first["device_kind"]}\n\n{costs}Memory: `{found["growth"]["work"]}`, {steps}; '
    f'resident MiB by fifths of the steps: {fifths}.\n\n'
    f'{markdown.grid(("", "measured", "at most", ""), body)}\n\n{versions}.\n\n'
    f'```\npython -m benchmarks.long_run{rounds} --out=results/<device>/long_run\n```\n'
  )


def main(argv: Sequence[str]) -> int:
  """Return the exit code: 2 for bad input, with one line on stderr."""
  settings = runtime.prepare()
  try:
    arguments = parse(argv)
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  runtime.log.setLevel('WARNING')  # the loop's progress lines are not the result
  from comparison import records
  from comparison.experiments import runner

  # The process of its own comes before JAX takes the device in this one.
  measured = [(arguments.long, memory(arguments.long)), ('checksums', [checksums()])]
  measured.append((arguments.config, costs(arguments.config, arguments.rounds, arguments.busy)))
  about = {'experiment': 'long_run', **runner.machine_identity(), 'malloc': settings['malloc'], 'time': time.time()}
  rows = [{**about, 'cell': work, 'work': work, **row} for work, found in measured for row in found]
  print(table(rows))
  if arguments.out is not None:
    path = arguments.out / 'records.jsonl'
    path.unlink(missing_ok=True)
    for work in dict.fromkeys(row['work'] for row in rows):
      records.append(path, [row for row in rows if row['work'] == work])
    (arguments.out / 'long_run.md').write_text(table(rows))
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
