"""Kill real training processes at random moments and damage their checkpoints; the end must be the same, bit for bit.

  python -m tests.kill [kills] [seed]        (default: 20 kills, seed 0)

Kills: SIGKILL to `python main.py --mode=train` at a moment drawn at random, half of them by the clock, half after a
step; the next process goes on in the same workdir until one ends by itself. Damage: in the newest checkpoint of a run
that has ended, each kind of file is flipped (one byte), truncated (to half) and deleted, and the run is started again.
Prints two tables in Markdown, those of docs/faults.md. The exit code is 0 if every end was the same, and every
fall-back was logged.
"""

import collections
import logging
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from training import runtime
from training.checkpoint import Checkpoints
from training.metrics import read_rows
from training.run import build_run
from training.trees import flatten
from training.workdir import read_config

ROOT = pathlib.Path(__file__).parent.parent
STEPS = 240
CONFIG = (
  'configs/language.py:gru,width=8,depth=1,length=16,batch_size=4,segment=8,clip=0.5,warmup_steps=5,dropout=0.1,'
  f'steps={STEPS},log_every=4,eval_every=60,checkpoint_every=20,keep=2'
)
COMMAND = [sys.executable, 'main.py', '--mode=train', f'--config={CONFIG}', '--platform=cpu']
COMMAND += ['--config.eval.batch_size=512']
DAMAGES = ('flipped', 'truncated', 'deleted')
SECONDS = 300.0  # in which a process must end


class End(NamedTuple):
  """The end of a run: the arrays of its newest checkpoint as bytes, and metrics.jsonl."""

  step: int
  arrays: dict[str, bytes]
  metrics: str


def end_of(workdir: pathlib.Path) -> End:
  """Return the end of a run."""
  checkpoints = Checkpoints(workdir / 'checkpoints', read_only=True)
  restored = checkpoints.latest(build_run(read_config(workdir)).abstract_state())
  arrays = {name: np.asarray(x).tobytes() for name, x in flatten(restored.tree).items()}
  return End(restored.step, arrays, (workdir / 'metrics.jsonl').read_text())


def start(workdir: pathlib.Path) -> subprocess.Popen:
  log = (workdir.parent / 'log').open('a')
  return subprocess.Popen([*COMMAND, f'--workdir={workdir}'], cwd=ROOT, stdout=log, stderr=log)


def finish(workdir: pathlib.Path) -> str:
  """Run to the end; return what was logged. AssertionError for another exit code than 0."""
  done = subprocess.run(
    [*COMMAND, f'--workdir={workdir}'], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
  )
  assert done.returncode == 0, done.stderr
  return done.stderr


def moments(rng: random.Random, seconds: float) -> Iterator[Callable[[pathlib.Path, float], bool]]:
  """Yield conditions (workdir, seconds since the start) → whether to kill now."""
  while True:
    at, first = rng.uniform(0, seconds), rng.randrange(STEPS)
    yield lambda workdir, passed, at=at: passed >= at
    delay = rng.uniform(0, 0.05)

    def after_step(workdir: pathlib.Path, passed: float, first: int = first, delay: float = delay) -> bool:
      if last_step(workdir) < first:
        return False
      time.sleep(delay)
      return True

    yield after_step


def last_step(workdir: pathlib.Path) -> int:
  rows = read_rows(workdir / 'metrics.jsonl')
  return rows[-1]['step'] if rows else 0


def unfinished(workdir: pathlib.Path) -> set[pathlib.Path]:
  """Return the checkpoints that are being written, or were when a process was killed."""
  return set((workdir / 'checkpoints').glob('*tmp*'))


def doing(workdir: pathlib.Path, rows_before: int, unfinished_before: set[pathlib.Path]) -> str:
  """Return what a process that was just killed was doing, from its files and those that it found."""
  rows = read_rows(workdir / 'metrics.jsonl')
  if unfinished(workdir) - unfinished_before:
    return 'steps, while a checkpoint is written'
  if len(rows) <= rows_before:
    return 'start-up or compile'
  return 'evaluation' if rows[-1]['split'] == 'train' and rows[-1]['step'] % 60 == 0 else 'steps'


def kill(folder: pathlib.Path, count: int, seed: int, whole: End, seconds: float) -> collections.Counter[str]:
  """Kill `count` processes, each going on where the one before was killed; return how often it did what.

  AssertionError for a run that ends in another way than `whole`.
  """
  hits: collections.Counter[str] = collections.Counter()
  chosen = moments(random.Random(seed), seconds)
  for number in range(10 * count):
    workdir = folder / str(number) / 'W'
    workdir.parent.mkdir()
    while sum(hits.values()) < count:
      rows, tmp = len(read_rows(workdir / 'metrics.jsonl')), unfinished(workdir)
      if not kill_once(workdir, next(chosen)):
        break  # it has ended before
      hits[doing(workdir, rows, tmp)] += 1
    finish(workdir)
    assert end_of(workdir) == whole, f'{workdir}: another end'
    shutil.rmtree(workdir)
    if sum(hits.values()) >= count:
      return hits
  raise AssertionError(f'{10 * count} runs ended before they were killed')


def kill_once(workdir: pathlib.Path, moment: Callable[[pathlib.Path, float], bool]) -> bool:
  """Start a process and kill it when `moment` says so; return False if it has ended by itself."""
  process, begun = start(workdir), time.monotonic()
  try:
    while process.poll() is None and not moment(workdir, time.monotonic() - begun):
      assert time.monotonic() - begun < SECONDS
      time.sleep(0.001)
    ended = process.poll() is not None
    assert not ended or process.returncode == 0, (workdir.parent / 'log').read_text()[-1000:]
    return not ended
  finally:
    process.kill()
    process.wait()


def kinds(checkpoint: pathlib.Path) -> dict[str, list[pathlib.Path]]:
  """Return the files of a checkpoint by kind: their path, without numbers and hashes."""
  found: dict[str, list[pathlib.Path]] = {}
  for path in sorted(checkpoint.rglob('*')):
    if path.is_file():
      name = re.sub(r'/[0-9a-f]{16,}$', '/…', path.relative_to(checkpoint).as_posix())
      found.setdefault(name, []).append(path)
  return found


def damage(path: pathlib.Path, how: str, rng: random.Random) -> None:
  data = bytearray(path.read_bytes())
  if how == 'deleted':
    path.unlink()
  elif how == 'truncated':
    path.write_bytes(data[: len(data) // 2])
  elif data:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def damage_each(
  workdir: pathlib.Path, folder: pathlib.Path, seed: int, outcome: Callable[[pathlib.Path], str]
) -> dict[tuple[str, str], str]:
  """Return `outcome` of a copy of `workdir`, for each kind of file and each damage of its newest checkpoint."""
  rng, outcomes = random.Random(seed), {}
  newest = str(Checkpoints(workdir / 'checkpoints', read_only=True).steps()[-1])
  for kind, paths in kinds(workdir / 'checkpoints' / newest).items():
    for how in DAMAGES:
      copy = folder / 'copy'
      shutil.copytree(workdir, copy)
      damage(copy / rng.choice(paths).relative_to(workdir), how, rng)
      outcomes[kind, how] = outcome(copy)
      shutil.rmtree(copy)
  return outcomes


def go_on(whole: End) -> Callable[[pathlib.Path], str]:
  """Return an outcome for `damage_each`: start the run again as a process. AssertionError for another end."""

  def outcome(workdir: pathlib.Path) -> str:
    log = finish(workdir)
    assert end_of(workdir) == whole, f'{workdir}: another end'
    if 'going back to' in log:
      return 'goes back, says so'
    assert f'going on from step {STEPS}' in log, log
    return 'reads the same'

  return outcome


def restored(whole: End) -> Callable[[pathlib.Path], str]:
  """Return an outcome for `damage_each`: read the checkpoint back in this process, without going on."""
  like = None

  def outcome(workdir: pathlib.Path) -> str:
    nonlocal like
    like = like or build_run(read_config(workdir)).abstract_state()
    said: list[str] = []
    logger, handler = logging.getLogger('seqmodels'), logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
      found = Checkpoints(workdir / 'checkpoints', keep=2).restore_latest_verified(like, discard=True)
    finally:
      logger.removeHandler(handler)
    assert found is not None
    if found.step == whole.step:
      assert {name: np.asarray(x).tobytes() for name, x in flatten(found.tree).items()} == whole.arrays
      return 'reads the same'
    assert any('going back to' in line for line in said), said
    return 'goes back, says so'

  return outcome


def tables(hits: collections.Counter[str], outcomes: dict[tuple[str, str], str]) -> str:
  """Return the tables of docs/faults.md."""
  lines = ['| killed during | times | the same end |', '|---|---|---|']
  lines += [f'| {name} | {count} | {count} |' for name, count in sorted(hits.items())]
  lines += [f'| all | {sum(hits.values())} | {sum(hits.values())} |', '']
  lines += [f'| file of the newest checkpoint | {" | ".join(DAMAGES)} |', '|---|---|---|---|']
  for kind in dict.fromkeys(kind for kind, _ in outcomes):
    lines.append(f'| `{kind}` | {" | ".join(outcomes[kind, how] for how in DAMAGES)} |')
  return '\n'.join(lines)


def main(argv: list[str]) -> int:
  runtime.prepare()  # hides what Orbax logs
  count, seed = ([int(text) for text in argv[1:]] + [20, 0][len(argv) - 1 :])[:2]
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    begun = time.monotonic()
    finish(folder / 'whole')
    seconds, whole = time.monotonic() - begun, end_of(folder / 'whole')
    try:
      hits = kill(folder, count, seed, whole, seconds)
      outcomes = damage_each(folder / 'whole', folder, seed, go_on(whole))
    except AssertionError as error:
      print(f'failed: {error}', file=sys.stderr)
      return 1
  print(tables(hits, outcomes))
  print(f'{sum(hits.values())} kills and {len(outcomes)} damages, seed {seed}', file=sys.stderr)
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
