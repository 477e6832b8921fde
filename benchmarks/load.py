"""Measure the share of the machine that other processes use, from /proc/stat; or keep its cores busy."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

STAT = pathlib.Path('/proc/stat')
BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal (what a hypervisor gave to others)


class Neighbours:
  """Counts the rounds in which other processes used more than `limit` cores; a watch of `timing.interleave`.

  Where there is no /proc/stat every round counts as undisturbed.
  """

  def __init__(self, limit: float) -> None:
    self.limit = limit
    self.rounds = self.rejected = 0
    self.busiest = 0.0

  def begin(self) -> None:
    self.start = _clocks()

  def undisturbed(self) -> bool:
    wall, machine, own = (now - before for now, before in zip(_clocks(), self.start, strict=True))
    cores = max(0.0, machine - own) / wall
    self.rounds += 1
    self.busiest = max(self.busiest, cores)
    self.rejected += cores > self.limit
    return cores <= self.limit


@contextlib.contextmanager
def busy(processes: int) -> Iterator[list[subprocess.Popen[bytes]]]:
  """Keep so many cores busy by processes that end with the block, and with this process however it ends."""
  loop = f'import os\nwhile os.getppid() == {os.getpid()}: sum(range(10**5))'
  with contextlib.ExitStack() as stack:
    started = []
    for _ in range(processes):
      started.append(stack.enter_context(subprocess.Popen([sys.executable, '-c', loop])))
      stack.callback(started[-1].kill)
    yield started


def _clocks() -> tuple[float, float, float]:
  """Wall-clock time, processor time of the whole machine and of this process and its ended children, in seconds."""
  children = os.times()
  own = time.process_time() + children.children_user + children.children_system
  if not STAT.exists():
    return time.perf_counter(), own, own
  ticks = STAT.read_text().split('\n', 1)[0].split()[1:]
  machine = sum(int(ticks[i]) for i in BUSY) / os.sysconf('SC_CLK_TCK')
  return time.perf_counter(), machine, own
