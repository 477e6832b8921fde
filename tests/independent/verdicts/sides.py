"""The best backend of a side, and ratios of two sides whose rounds were interleaved."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tests.independent.verdicts import estimates
from tests.independent.verdicts.estimates import Estimate
from tests.independent.verdicts.outcome import Regime, ratio
from tests.independent.verdicts.reading import Row, at, grouped, of, regimes, repeats, series, values

Side = Sequence[str]


def one_cell(rows: Iterable[Row], *sides: Side) -> list[Row]:
  """Return the rows of the cell with the most rows, of those that have every side: its rounds were interleaved."""
  cells = grouped(rows, lambda row: row.get('cell')).values()
  return max((cell for cell in cells if all(of(cell, *side) for side in sides)), key=len, default=[])


def best(rows: Iterable[Row]) -> tuple[Row, list[float]] | None:
  """Return the fastest backend, and the time of each round with the backend that was the fastest in the other rounds.

  Only backends with as many rounds as the fastest have that choice.
  """
  cell = one_cell(rows)
  if not cell:
    return None
  fastest = min(cell, key=lambda row: row['value'])
  count = len(repeats(fastest))
  table = np.array([repeats(row) for row in cell if len(repeats(row)) == count], float)
  if len(table) == 1 or count == 1:
    return fastest, list(repeats(fastest))
  times = []
  for left_out in range(count):
    others = np.concatenate([table[:, :left_out], table[:, left_out + 1 :]], axis=1)
    times.append(float(table[np.argmin(np.median(others, axis=1)), left_out]))
  return fastest, times


def both(rows: Iterable[Row], first: Side, second: Side) -> tuple[tuple[Row, list[float]], ...] | None:
  """Return the best of two sides in one cell; None where no cell has both."""
  cell = one_cell(rows, first, second)
  sides = best(of(cell, *first)), best(of(cell, *second))
  return sides if all(sides) else None


def rounds_of(rows: Iterable[Row], numerator: Side, denominator: Side) -> list[float]:
  """Return the ratio of the best of two sides in each round; none where no cell has both."""
  pair = both(rows, numerator, denominator)
  return estimates.over(pair[0][1], pair[1][1]) if pair else []


def over_lengths(
  rows: Sequence[Row], numerator: Side, denominator: Side, threshold: float = 1.0, limit: float = 1.0
) -> list[Regime]:
  """Return the ratio of two sides at every size and length, the least first; below the limit it contradicts."""
  found = []
  for grid in regimes(rows):
    for length in values(grid, 'length'):
      rounds = rounds_of(at(grid, length=length), numerator, denominator)
      if rounds:
        size = grid[0].get('size')
        found.append(ratio(f'T = {length}, {size}', rounds, threshold, limit)._replace(size=size))
  return sorted(found, key=lambda regime: regime.estimate.value)


def exponent_of_best(rows: Sequence[Row], side: Side) -> Estimate | None:
  """Return the exponent of the length, of the best backend at each; None with fewer than two lengths."""
  found = {length: best(of(at(rows, length=length), *side)) for length in values(rows, 'length')}
  points = {length: chosen[1] for length, chosen in found.items() if chosen}
  return estimates.exponent(points) if len(points) > 1 else None


def least_exponent(rows: Sequence[Row], side: Side) -> Estimate | None:
  """Return the least exponent of any backend, of numbers without noise, which count from 1."""
  found = [
    estimates.exponent({row['length']: [max(row['value'], 1.0)] for row in line})
    for line in grouped(of(rows, *side), series).values()
    if len(values(line, 'length')) > 1
  ]
  return min(found, default=None)


def mapped(rows: Sequence[Row], column: str, function: Callable[[list[Row]], list[float]]) -> dict[float, list[float]]:
  """Return value of a column → a function of the rows that have it, where that is not empty."""
  found = {x: function(at(rows, **{column: x})) for x in values(rows, column)}
  return {x: numbers for x, numbers in found.items() if numbers}
