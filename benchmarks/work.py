"""One row of a comparison with peers: the same work as callables of each side, and how it is measured."""

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from benchmarks.load import Neighbours
from comparison import statistics
from comparison.experiments import timing
from comparison.experiments.base import Row

OURS = 'seqmodels'
SHORTEST = 0.03  # seconds a sample takes at least
REST = 0.03  # seconds in which the other framework's threads go to sleep
LARGEST_IN_TF32 = 5e-3  # up to 1.2e-3 was seen
ENOUGH = 5  # undisturbed rounds below which nothing is reported


class Absent(Exception):
  """Why a row cannot be measured here."""


@dataclass(frozen=True)
class Sides:
  """Callables that do the same work. `calls` holds OURS, the peers, and other variants of ours (`seqmodels, …`).

  deviation  largest difference of the results ÷ the largest result, between OURS and the peers
  columns    what stands in every row of the records: batch, length …
  rows       further measured rows (the compiler's figures)
  """

  calls: Mapping[str, Callable[..., Any]]
  deviation: float = 0.0
  setups: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
  columns: Row = field(default_factory=dict)
  rows: Sequence[Row] = ()


@dataclass(frozen=True)
class Work:
  """A row of the table. `build` makes both sides; it raises Absent where one of them is missing.

  group    what `--work` names
  at_most  the ratio (time here ÷ time of the fastest peer) that must not be exceeded; aim: the one to reach. None: the
           row is for reference. Both were set for CPUs, and elsewhere nothing is judged
  """

  name: str
  group: str
  at_most: float | None
  aim: float | None
  build: Callable[[], Sides]


def measure(work: Work, seconds: float, limit: float) -> list[Row]:
  """Return the times of every side, and the ratio of OURS to each peer and to the fastest of them. Raises Absent."""
  sides = work.build()
  watch = Neighbours(limit)
  found = timing.interleave(
    sides.calls,
    setups=sides.setups,
    repeats=1000,
    seconds=seconds,
    shortest=SHORTEST,
    fewest=ENOUGH,
    rest=REST,
    watch=watch,
    wait=wait,
  )
  kept = watch.rounds - watch.rejected
  if kept < ENOUGH:
    raise Absent(f'{watch.rejected} of {watch.rounds} rounds were disturbed by other processes')
  columns = {'work': work.name, 'group': work.group, **sides.columns}
  columns |= {'rounds': watch.rounds, 'rejected': watch.rejected, 'deviation': float(f'{sides.deviation:.3g}')}
  rows = [timing.timing_row(samples, metric='seconds', side=side, **columns) for side, samples in found.items()]
  peers = [side for side in found if not side.startswith(OURS)]
  fastest = min(peers, key=lambda side: float(np.median(found[side])))
  for side in found:
    if side == OURS:
      continue
    # A peer's row is the ratio to it; another variant's row is its own ratio to the fastest peer.
    ours, peer = (OURS, side) if side in peers else (side, fastest)
    ratio = statistics.ratio(found[ours], found[peer])
    row = {'metric': 'ratio', 'value': ratio.value, 'low': ratio.low, 'high': ratio.high, 'unit': '×'}
    limits = (work.at_most, work.aim) if torch_device() == 'cpu' else (None, None)
    judged = {'at_most': limits[0], 'aim': limits[1], 'fastest': side == fastest}
    rows.append({**row, 'side': ours, 'peer': peer, **judged, **columns})
  return rows + [{**row, **columns} for row in sides.rows]


def deviation(ours: Iterable[Any], theirs: Iterable[Any]) -> float:
  """Largest difference ÷ the largest value, over arrays in the same order."""
  host = lambda a: np.asarray(a.detach().float().cpu() if hasattr(a, 'cpu') else a, np.float64)
  pairs = [(host(a), host(b)) for a, b in zip(ours, theirs, strict=True)]
  return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def check(found: float, largest: float, name: str) -> float:
  """`found`, if the two sides agree. Timings of different work would mean nothing.

  largest: on CPU; on a GPU both sides read float32 as TF32, with 10 bits of mantissa.
  """
  if jax.default_backend() == 'gpu':
    largest = max(largest, LARGEST_IN_TF32)
  if not found <= largest:
    raise AssertionError(
      f'{name}: the sides differ by {found:.2g} of the largest value; at most {largest:g} is expected'
    )
  return found


@functools.cache
def torch() -> Any:
  """PyTorch with as many threads as there are cores, or Absent."""
  try:
    import torch as module
  except ImportError as error:
    raise Absent('PyTorch is not installed (requirements-peers.txt)') from error
  module.set_num_threads(len(os.sched_getaffinity(0)))
  module.backends.cuda.matmul.allow_tf32 = True  # as XLA does by default on a GPU; no effect on CPU
  return module


def torch_device() -> str:
  """Where PyTorch works: on the kind of device that JAX uses."""
  if jax.default_backend() == 'gpu':
    if not torch().cuda.is_available():
      raise Absent('JAX uses a GPU and this PyTorch does not')
    return 'cuda'
  return 'cpu'


def to_torch(array: Any, requires_grad: bool = False, dtype: str = '') -> Any:
  """Return a copy of an array as a PyTorch tensor on its device. dtype: another type; empty: the array's."""
  tensor = torch().tensor(np.array(array), device=torch_device())
  if dtype:
    tensor = tensor.to(getattr(torch(), dtype))
  return tensor.requires_grad_(requires_grad)


def wait(results: Any) -> None:
  """Return when the devices of both frameworks have finished all that they were given."""
  jax.block_until_ready(results)
  if jax.default_backend() == 'gpu' and 'torch' in sys.modules:
    torch().cuda.synchronize()
