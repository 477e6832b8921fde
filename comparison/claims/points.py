"""Regimes of a claim on either side of its thresholds, and one verdict from all of them."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from comparison import statistics
from comparison.claims.base import Point, Status, Verdict
from comparison.statistics import Interval

Kind = Literal['each', 'always', 'often', 'counted', 'can']


def above(
  label: str,
  interval: Interval,
  threshold: float,
  otherwise: float | None = None,
  unit: str = '',
  samples: Sequence[float] = (),
  noise: float = 0.0,
) -> Point:
  """Return a point that supports at or above `threshold` and contradicts below `otherwise`, by its whole interval.

  samples: the repeats behind the interval, for tests of many regimes at once; noise: see `statistics.p_above`.
  """
  limit = threshold if otherwise is None else otherwise
  supports, contradicts = interval.low >= threshold, interval.high < limit
  point = Point(label, interval, supports, contradicts, unit, threshold=threshold, limit=limit, side=1)
  if not samples:
    return point
  below_limit = statistics.p_above([1 / sample for sample in samples], 1 / limit, noise)
  return dataclasses.replace(point, p_against=below_limit, p_for=statistics.p_above(samples, threshold, noise))


def below(label: str, interval: Interval, threshold: float, otherwise: float | None = None, unit: str = '') -> Point:
  """Return a point that supports at or below `threshold` and contradicts above `otherwise`, by its whole interval."""
  limit = threshold if otherwise is None else otherwise
  supports, contradicts = interval.high <= threshold, interval.low > limit
  return Point(label, interval, supports, contradicts, unit, threshold=threshold, limit=limit, side=-1)


def combine(
  points: Sequence[Point],
  text: str,
  *,
  kind: Kind = 'each',
  ladder: tuple[str, ...] = (),
  notes: tuple[str, ...] = (),
  beside: tuple[str, ...] = (),
) -> Verdict:
  """Return one verdict from all regimes, by the kind of the statement.

  each: all on one side: supported or contradicted; some on each side: mixed; any other: undecided.
  always: contradicted by a single regime, after Holm's correction for looking at all of them; else as `each`.
  often: supported or contradicted by more than half of the regimes, every group of them (a model size) weighing the
  same.
  counted: as `often`, with every regime weighing the same: rules that were replaced.
  can: supported by a single regime, after Holm's correction; contradicted by all of them.

  The number is that of the middle one of the regimes that decided. Undecided names those that meet neither threshold.
  """
  if not points:
    return undecided('the numbers of one of the sides are missing')
  against = [point for point in points if point.contradicts]
  favour = [point for point in points if point.supports]
  open_points = [point for point in points if not point.supports and not point.contradicts]
  if kind == 'always':
    against = _significant(points, against, 'p_against')
  elif kind == 'can':
    favour = _significant(points, favour, 'p_for')
  if kind == 'often':
    status = _majority(_share(points, favour), _share(points, against))
  elif kind == 'counted':
    status = _majority(Fraction(len(favour), len(points)), Fraction(len(against), len(points)))
  else:
    status = _status(kind, len(points), len(favour), len(against))
  reason = ''
  if status == 'mixed':
    reason = f'holds for {_names(favour)}; does not hold for {_names(against)}'
  elif status == 'undecided':
    unclear = open_points or [point for point in points if point not in favour and point not in against]
    reason = f'neither threshold is met for {_names(unclear)}' if unclear else 'neither side has a majority'
    open_points = unclear or open_points
  order = {'supported': (favour,), 'undecided': (open_points,), 'contradicted': (against,)}
  number = middle(next(side for side in (*order.get(status, ()), against, open_points, favour) if side))
  value, low, high = number.interval
  verdict = Verdict(status, value, number.unit, low, high, text, reason, ladder, notes, number.label)
  return dataclasses.replace(verdict, points=tuple(points), beside=beside)


def middle(points: Sequence[Point]) -> Point:
  """Return the point with the median number among those with the test of the first; of two in the middle, the lower."""
  alike = sorted((point for point in points if point.test == points[0].test), key=lambda point: point.interval)
  return alike[(len(alike) - 1) // 2]


def _share(points: Sequence[Point], found: Sequence[Point]) -> Fraction:
  """Return the share of the points that were found: the mean over the groups of the share in each."""
  groups = {point.group for point in points}
  shares = (
    Fraction(sum(point.group == group for point in found), sum(point.group == group for point in points))
    for group in groups
  )
  return sum(shares, Fraction()) / len(groups)


def _majority(favour: Fraction, against: Fraction) -> Status:
  if 2 * favour > 1:
    return 'supported'
  if 2 * against > 1:
    return 'contradicted'
  return 'mixed' if favour and against else 'undecided'


def combine_conditions(regimes: Sequence[Sequence[Point]], text: str, *, kind: Kind = 'each') -> Verdict:
  """Return one verdict from regimes of several conditions: one supports by all of them, and contradicts by any.

  The number is that of the condition that decided, and the points are all conditions, each with its own threshold.
  """
  deciding: dict[str, Point] = {}
  whole = []
  for conditions in regimes:
    against, unmet = [c for c in conditions if c.contradicts], [c for c in conditions if not c.supports]
    number = (against or unmet or conditions)[0]
    label = ', '.join([*(str(c) for c in conditions if c is not number), number.label])
    deciding[label] = number
    whole.append(Point(label, number.interval, not unmet, bool(against), number.unit))
  verdict = combine(whole, text, kind=kind)
  if not regimes:
    return verdict
  number = deciding[verdict.about]
  conditions = tuple(condition for conditions in regimes for condition in conditions)
  return dataclasses.replace(verdict, about=number.label, points=conditions)


def _status(kind: Kind, every: int, favour: int, against: int) -> Status:
  if kind == 'can':
    return 'supported' if favour else 'contradicted' if against == every else 'undecided'
  if against == every or (kind == 'always' and against):
    return 'contradicted'
  if favour == every:
    return 'supported'
  return 'mixed' if favour and against else 'undecided'


def _significant(points: Sequence[Point], found: Sequence[Point], name: Literal['p_against', 'p_for']) -> list[Point]:
  """Keep of the points found those that stay significant among all regimes; those without a p-value are kept."""
  tested = [point for point in points if getattr(point, name) is not None]
  rejected = statistics.holm([getattr(point, name) for point in tested])
  firm = [point for point, is_firm in zip(tested, rejected, strict=True) if is_firm]
  return [point for point in found if getattr(point, name) is None or point in firm]


def _names(points: Sequence[Point]) -> str:
  return '; '.join(str(point) for point in points)


def undecided(reason: str, text: str = '') -> Verdict:
  return Verdict('undecided', text=text, reason=reason)


def not_measured(experiment: str, missing: str = '') -> Verdict:
  """Return what is not measured: an experiment, or what its records are `missing`."""
  what = f' ({missing})' if missing else ''
  return Verdict('not measured here', reason=f'needs the experiment {experiment}{what}', needs=(experiment,))
