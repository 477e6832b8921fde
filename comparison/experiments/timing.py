"""Timing that can be trusted on a shared machine: compiled ahead, warm, waited for, interleaved."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from comparison import statistics
from comparison.experiments.base import Row

SHORTEST = 2e-3  # seconds a sample should take at least, so that the clock and the dispatch do not matter
Callables = Mapping[str, Callable[..., Any]]


class Watch(Protocol):
  """Tells whether the machine was undisturbed during a round."""

  def begin(self) -> None: ...

  def undisturbed(self) -> bool: ...


def interleave(
  callables: Callables,
  *,
  setups: Callables | None = None,
  repeats: int,
  seconds: float = float('inf'),
  shortest: float = SHORTEST,
  fewest: int = statistics.FEWEST,
  rest: float = 0.0,
  watch: Watch | None = None,
  wait: Callable[[Any], Any] = jax.block_until_ready,
) -> dict[str, list[float]]:
  """Seconds a call, `repeats` samples each, in the order measured: sample i of all callables belongs together.

  A round runs every callable once, in an order drawn anew, so that drift, neighbours and what the callable before left
  in the caches hit all of them alike. Calls shorter than `shortest` are repeated within a sample. A callable with a
  setup gets its result as argument, made anew for every sample and not timed; it is called once a sample, after an
  untimed call. Rounds end after `seconds`, but not before `fewest`.

  rest: seconds of sleep and one untimed call before each sample, for callables of frameworks whose threads go on
  spinning after a call. watch: rounds that it calls disturbed are left out; `fewest` others are waited for, but for no
  more than three times as many rounds, so that there may be fewer. wait: for the results of a sample's last call, and
  so for those of all its calls.
  """
  setups = setups or {}
  names = list(callables)
  times = {}
  for name in names:
    _sample(callables[name], 1, setups.get(name), wait)  # the first call pages buffers in
    once = _sample(callables[name], 1, setups.get(name), wait)
    times[name] = 1 if name in setups else max(1, min(1000, round(shortest / max(once, 1e-7))))
  found: dict[str, list[float]] = {name: [] for name in names}
  start = time.perf_counter()
  collecting = gc.isenabled()
  gc.disable()
  try:
    for turn in range(repeats):
      enough = len(found[names[0]]) >= fewest or turn >= 3 * fewest
      if enough and time.perf_counter() - start > seconds:
        break
      if watch is not None:
        watch.begin()
      taken = {}
      for i in np.random.default_rng(turn).permutation(len(names)):
        name = names[i]
        if rest:
          time.sleep(rest)
        if rest or name in setups:
          _sample(callables[name], 1, setups.get(name), wait)
        taken[name] = _sample(callables[name], times[name], setups.get(name), wait)
      if watch is None or watch.undisturbed():
        for name in names:
          found[name].append(taken[name])
  finally:
    if collecting:
      gc.enable()
  return found


def _sample(call: Callable[..., Any], times: int, setup: Callable[[], Any] | None, wait: Callable[[Any], Any]) -> float:
  arguments = (setup(),) if setup else ()
  start = time.perf_counter()
  for _ in range(times):
    result = call(*arguments)
  wait(result)
  return (time.perf_counter() - start) / times


def timing_row(samples: list[float], **columns: Any) -> Row:
  """Return a row with the median in seconds, its interval and the samples."""
  middle = statistics.median(samples)
  rounded = [float(f'{s:.6g}') for s in samples]
  return {'value': middle.value, 'low': middle.low, 'high': middle.high, 'unit': 's', 'samples': rounded, **columns}
