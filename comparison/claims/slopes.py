"""How a cost grows with the length of the sequence, of the best backend of a side."""

from collections.abc import Sequence

from comparison import statistics
from comparison.claims.backends import pick
from comparison.claims.base import levels, name, samples
from comparison.records import Row
from comparison.statistics import Interval


def exponent(rows: Sequence[Row], architectures: Sequence[str], column: str = 'length') -> Interval | None:
  """Return the log-log slope over `column` of the best backend at every point; None with fewer than two points."""
  points: dict[float, Sequence[float]] = {}
  for x in levels(rows, column):
    chosen = pick((r for r in rows if r[column] == x), architectures)
    if chosen is not None:
      points[x] = chosen.samples
  return statistics.log_slope(points) if len(points) > 1 else None


def flattest(rows: Sequence[Row], architectures: Sequence[str]) -> Interval | None:
  """Return the smallest log-log slope of any one backend, for numbers that the compiler reports exactly."""
  slopes = []
  for series in levels([{'series': name(r)} for r in rows if r.get('architecture') in architectures], 'series'):
    values = {r['length']: [max(1.0, r['value'])] for r in rows if name(r) == series}
    if len(values) > 1:
      slopes.append(statistics.log_slope(values))
  return min(slopes, default=None)


def quadratic_share(rows: Sequence[Row], architectures: Sequence[str]) -> tuple[Interval | None, float]:
  """Return b·T² ÷ (a·T + b·T²) at the longest T of the backend with the lowest cost there, and that T.

  A backend counts that was measured at four lengths or more.
  """
  series: dict[str, list[Row]] = {}
  for row in rows:
    if row['architecture'] in architectures:
      series.setdefault(name(row), []).append(row)
  whole = [line for line in series.values() if len(levels(line, 'length')) >= 4]
  if not whole:
    return None, 0
  longest = max(r['length'] for line in whole for r in line)
  whole = [line for line in whole if max(levels(line, 'length')) == longest]
  line = min(whole, key=lambda line: min(r['value'] for r in line if r['length'] == longest))
  return statistics.quadratic_share({r['length']: samples(r) for r in line}), longest
