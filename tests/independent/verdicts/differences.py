"""How far two verdicts are apart: one of the project, and one that was computed again."""

import math
from collections.abc import Iterable
from typing import Any

from tests.independent.verdicts.outcome import Outcome

ALLOWED = 1e-6  # relative difference of a number or of an end of its interval
ZERO = 1e-11  # smaller numbers are none: slopes of equal numbers are rounded to 12 places


def apart(first: float, second: float) -> float:
  """Return the relative difference of two numbers; infinity where one of them is not finite or missing."""
  if first == second or max(abs(first), abs(second)) < ZERO:
    return 0.0
  if not (math.isfinite(first) and math.isfinite(second)):
    return math.inf
  return abs(first - second) / max(abs(first), abs(second))


def largest(verdict: Any, outcome: Outcome) -> float:
  """Return the largest relative difference of the deciding number, of all regimes, and of their intervals.

  It is infinite where a status, a rule, a regime or the side that a regime is on is not the same.
  """
  same = verdict.status == outcome.status and verdict.here == outcome.here
  ours = (None, None, None) if outcome.number is None else tuple(outcome.number)
  theirs = (verdict.number, verdict.low, verdict.high)
  if not same or (None in ours) != (None in theirs) or len(verdict.points) != len(outcome.regimes):
    return math.inf
  found = [] if None in ours else list(map(apart, ours, theirs))
  pairs = zip(
    _sorted((point.interval, point.supports, point.contradicts) for point in verdict.points),
    _sorted((regime.estimate, regime.supports, regime.contradicts) for regime in outcome.regimes),
    strict=True,
  )
  for (first, *sides), (second, *others) in pairs:
    found += list(map(apart, first, second)) if list(map(bool, sides)) == list(map(bool, others)) else [math.inf]
  return max(found, default=0.0)


def _sorted(regimes: Iterable[tuple[Any, bool, bool]]) -> list[tuple[Any, bool, bool]]:
  return sorted(regimes, key=lambda regime: [round(number, 9) for number in regime[0]])
