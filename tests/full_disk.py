"""Fill the disk under real training processes at random moments; the end after room was made must be the same.

  python -m tests.full_disk [times] [seed]        (default: 20 times, seed 0; as root, or after `unshare -rm`)

The workdir lies on a small file system of its own (tmpfs). From a moment drawn at random on a file takes all that is
free but a few pages, also what the process frees later. The process must end with one line and an exit code; once the
file is gone, the same command must go on from the newest checkpoint that was whole, and end as a run that was never
interrupted, bit for bit. Prints the table of docs/faults.md.
"""

import collections
import contextlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests import kill
from training import runtime
from training.checkpoint import Checkpoints

SIZE = 2**23  # bytes of the file system
LEFT = (0, 1, 3, 10, 40)  # pages of 4,096 bytes that are left
FULL = re.compile(r'error: .*: No space left on device(; (there is no checkpoint yet|checkpoint \d+ is the newest.*))?')


class Ended(NamedTuple):
  """How a process has ended whose disk was full: what it had been doing, its exit code, its newest checkpoint."""

  doing: str
  code: int
  newest: int


@contextlib.contextmanager
def small_disk(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """Mount a small file system on a folder. PermissionError where this user may not."""
  folder.mkdir()
  command = ['mount', '-t', 'tmpfs', '-o', f'size={SIZE}', 'tmpfs', str(folder)]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    raise PermissionError(done.stderr.strip())
  try:
    yield folder
  finally:
    subprocess.run(['umount', '-l', str(folder)], check=True)


def fill(disk: pathlib.Path, left: int) -> pathlib.Path:
  """Make a file that leaves as many pages free on a disk, or let it grow; return its path."""
  path = disk / 'filler'
  with path.open('ab') as file:
    free = os.statvfs(disk)
    if free.f_bavail > left:
      size = os.fstat(file.fileno()).st_size
      with contextlib.suppress(OSError):  # the process was faster
        os.posix_fallocate(file.fileno(), size, (free.f_bavail - left) * free.f_bsize)
  return path


def once(disk: pathlib.Path, log: pathlib.Path, step: int, left: int) -> Ended | None:
  """Train on a disk that is full from when `step` is logged on (0: before the start).

  Return None for a run that ends all the same.

  AssertionError for any end but one line and an exit code.
  """
  workdir = disk / 'W'
  if not step:
    fill(disk, left)
  with log.open('w') as output:
    process = subprocess.Popen([*kill.COMMAND, f'--workdir={workdir}'], cwd=kill.ROOT, stdout=output, stderr=output)
    end = time.monotonic() + kill.SECONDS
    try:
      is_full = not step
      while (code := process.poll()) is None:
        assert time.monotonic() < end
        is_full = is_full or kill.last_step(workdir) >= step
        if is_full:  # and stays so: an old checkpoint may be deleted
          fill(disk, left)
        time.sleep(0.002 if is_full else 0.001)
    finally:
      process.kill()
  text = log.read_text()
  assert 'Traceback' not in text, text
  if code == 0:
    return None
  lines = [line for line in text.splitlines() if 'error' in line.lower()]
  assert code in (1, 2), f'exit code {code}: {text}'
  assert len(lines) == 1, text
  assert FULL.fullmatch(lines[0]), text
  assert lines[0] == [line for line in text.splitlines() if line][-1], text
  folder = workdir / 'checkpoints'
  steps = Checkpoints(folder, read_only=True).steps() if folder.is_dir() else []
  return Ended(_doing(lines[0], step), code, max(steps, default=0))


def _doing(line: str, step: int) -> str:
  if not step:
    return 'start-up'
  return 'saving' if 'error: checkpoint' in line or '/checkpoints' in line else 'steps'


def go_on(disk: pathlib.Path, newest: int, whole: kill.End) -> None:
  """Free the disk and train to the end. AssertionError unless that is the same, from the newest checkpoint on."""
  (disk / 'filler').unlink()
  said = kill.finish(disk / 'W')
  assert not newest or f'going on from step {newest}\n' in said, said
  assert kill.end_of(disk / 'W') == whole, 'another end'


def times(folder: pathlib.Path, count: int, seed: int, whole: kill.End) -> collections.Counter[tuple[str, int]]:
  """Fill the disk of `count` processes; return how often it was full during what, with which exit code."""
  found: collections.Counter[tuple[str, int]] = collections.Counter()
  draws = random.Random(seed)
  while sum(found.values()) < count:
    step = draws.choice([0, *(draws.randrange(1, kill.STEPS - 20) for _ in range(6))])
    with small_disk(folder / 'disk') as disk:
      ended = once(disk, folder / 'log', step, draws.choice(LEFT))
      if ended is not None:
        go_on(disk, ended.newest, whole)
        found[ended.doing, ended.code] += 1
        print(f'step {step}: {ended}', file=sys.stderr, flush=True)
    shutil.rmtree(folder / 'disk')
  return found


def table(found: collections.Counter[tuple[str, int]]) -> str:
  """Return the table of docs/faults.md."""
  lines = ['| disk full during | times | one line, exit code | the same end |', '|---|---|---|---|']
  lines += [f'| {doing} | {number} | {code} | {number} |' for (doing, code), number in sorted(found.items())]
  return '\n'.join(lines)


def main(argv: list[str]) -> None:
  runtime.prepare()
  count, seed = ([int(text) for text in argv[1:]] + [20, 0][len(argv) - 1 :])[:2]
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    kill.finish(folder / 'whole')
    print(table(times(folder, count, seed, kill.end_of(folder / 'whole'))))


if __name__ == '__main__':
  main(sys.argv)
