"""Measure the share of the machine that other processes use, from /proc/stat."""

import os
import pathlib
import time

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


def _clocks() -> tuple[float, float, float]:
  """Wall-clock time, processor time of the whole machine and of this process and its ended children, in seconds."""
  children = os.times()
  own = time.process_time() + children.children_user + children.children_system
  if not STAT.exists():
    return time.perf_counter(), own, own
  ticks = STAT.read_text().split('\n', 1)[0].split()[1:]
  machine = sum(int(ticks[i]) for i in BUSY) / os.sysconf('SC_CLK_TCK')
  return time.perf_counter(), machine, own
