"""Choose the backend that stands for a side, and print the ladder of all backends."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from comparison import statistics
from comparison.claims.base import ELMAN, GATED, TRANSFORMER, figure, grids, levels, name, samples, show, where
from comparison.claims.points import Point, above
from comparison.records import FUSED_ATTENTION, Row
from comparison.statistics import Interval

PARALLEL = ('min_gru', 'min_lstm', 'lru', 'rg_lru')  # gates that do not depend on the state: parallel in time
NARROW = ('sliding_window', 'linear_transformer')  # not the attention that the statements are about
OUTSIDE = ', not in the verdict'
PLAIN = 'plain (Elman) RNN'
SIDES: tuple[tuple[str, Sequence[str]], ...] = (
  ('attention', (TRANSFORMER,)),
  ('parallel-scan RNN' + OUTSIDE, PARALLEL),
  ('window and linear attention' + OUTSIDE, NARROW),
)
REFERENCE = 'reference_seconds'  # rungs of the ladder that another cell measured again for its pairs
# Label, architectures, backend and the rung they are compared with. The last two are in the verdict where one cell
# holds the whole ladder.
BESIDE: tuple[tuple[str, Sequence[str], str | None, str], ...] = (
  ('parallel-scan RNN', PARALLEL, None, 'lstm xla'),
  ('window or linear attention', NARROW, None, 'transformer xla'),
  ('jax.nn.dot_product_attention, measured apart', (TRANSFORMER,), FUSED_ATTENTION, 'transformer xla'),
  ("LSTM or GRU by Newton's method", GATED, 'newton', 'lstm xla'),
  ("LSTM or GRU by Newton's method with Jacobians by unit", GATED, 'quasi_newton', 'lstm xla'),
  ("cuDNN's attention, measured apart", (TRANSFORMER,), 'cudnn', 'transformer xla'),
)


class Pick(NamedTuple):
  """The best backend, and the time of each round with the backend that was the best in all other rounds.

  A round does not choose its own backend: the minimum over noisy backends would be biased downwards.
  """

  row: Row
  samples: Sequence[float]


def best(rows: Iterable[Row]) -> Row | None:
  """Return the row with the lowest value; None without rows."""
  return min(rows, key=lambda row: row['value'], default=None)


def pick(rows: Iterable[Row], architectures: Sequence[str] | None = None) -> Pick | None:
  """Return the best backend of a side within one cell; None without rows."""
  rows = [row for row in rows if architectures is None or row.get('architecture') in architectures]
  rows = of_one_cell(rows)
  row = best(rows)
  if row is None:
    return None
  rounds = len(samples(row))
  # Much slower backends have fewer rounds, which cannot be paired.
  peers = [other for other in rows if len(samples(other)) == rounds]
  if len(peers) == 1 or rounds == 1:
    return Pick(row, samples(row))
  times = np.array([samples(other) for other in peers], np.float64)
  chosen = [int(np.median(np.delete(times, i, axis=1), axis=1).argmin()) for i in range(rounds)]
  return Pick(row, times[chosen, np.arange(rounds)].tolist())


def of_one_cell(rows: Sequence[Row], *sides: Sequence[str]) -> list[Row]:
  """Return the rows of the largest cell that has all sides: only the rounds of one cell are interleaved."""
  cells: dict[str | None, list[Row]] = {}
  for row in rows:
    cells.setdefault(row.get('cell'), []).append(row)
  whole = [
    cell for cell in cells.values() if all(any(row.get('architecture') in side for row in cell) for side in sides)
  ]
  return max(whole, key=len, default=[])


def rivals(
  rows: Sequence[Row], numerator: Sequence[str], denominator: Sequence[str] = (TRANSFORMER,)
) -> tuple[Pick, Pick] | None:
  """Return the best backend of each side within one cell; None when a side is missing."""
  rows = of_one_cell(rows, numerator, denominator)
  over, under = pick(rows, numerator), pick(rows, denominator)
  return None if over is None or under is None else (over, under)


def best_ratio(rows: Sequence[Row], numerator: Sequence[str], denominator: Sequence[str]) -> Interval | None:
  """Return the ratio of the best times of two sides; None when a side is missing."""
  rounds = best_rounds(rows, numerator, denominator)
  return statistics.median(rounds) if rounds else None


def best_rounds(rows: Sequence[Row], numerator: Sequence[str], denominator: Sequence[str]) -> list[float]:
  """Return the ratio of the best times of two sides in each round; empty when a side is missing."""
  pair = rivals(rows, numerator, denominator)
  return statistics.pairwise(pair[0].samples, pair[1].samples) if pair else []


def ratios(
  rows: Sequence[Row],
  numerator: Sequence[str],
  denominator: Sequence[str],
  label: str,
  threshold: float = 1.0,
  otherwise: float = 1.0,
) -> list[Point]:
  """Return the ratio of the best of two sides at every length and size, lowest first.

  A ratio supports from `threshold` on and contradicts below `otherwise`. Its group is its size.
  """
  points = []
  for regime, grid in grids(rows).items():
    for length in levels(grid, 'length'):
      rounds = best_rounds([r for r in grid if r['length'] == length], numerator, denominator)
      if rounds:
        at = f'{label} at T = {length:,}, {regime}'
        point = above(at, statistics.median(rounds), threshold, otherwise, '×', rounds)
        points.append(dataclasses.replace(point, group=str(grid[0].get('size'))))
  return sorted(points, key=lambda point: point.interval.value)


def spread(points: Sequence[Point]) -> str:
  """Return the first and the last of some points for a text; a single one alone."""
  return str(points[0]) if len(points) == 1 else f'from {points[0]} to {points[-1]}'


def gated(rows: Sequence[Row], numerator: Sequence[str], denominator: Sequence[str], label: str) -> str:
  """Return the range of ratios that count the Elman network without it; empty where it is not among them."""
  over, under = ([name for name in side if name != ELMAN] for side in (numerator, denominator))
  is_in = any(row.get('architecture') == ELMAN for row in rows) and ELMAN in (*numerator, *denominator)
  points = ratios(rows, over, under, label) if is_in else []
  return f' With gated RNNs alone (LSTM, GRU): {spread(points)}.' if points else ''


def plain(rows: Sequence[Row], numerator: Sequence[str], denominator: Sequence[str], label: str) -> tuple[str, ...]:
  """Return a line with the ratios of the Elman network in place of the gated RNNs, if it is not among them."""
  if ELMAN in (*numerator, *denominator):
    return ()
  over, under = ((ELMAN,) if set(side) & set(GATED) else side for side in (numerator, denominator))
  points = ratios(rows, over, under, label.replace('RNN', PLAIN))
  return (spread(points),) if points else ()


def ladder(rows: Sequence[Row], unit: str, scale: float = 1.0, *, recurrent: Sequence[str] = GATED) -> tuple[str, ...]:
  """Return a line for each side and size with its backends, best first, and a line for each side not measured.

  recurrent: the architectures that stand for the RNN in the verdict.
  """
  lines = []
  rest = () if ELMAN in recurrent else ((PLAIN + OUTSIDE, (ELMAN,)),)
  sides = (('RNN', recurrent), *SIDES, *rest)
  known = {member for _, members in sides for member in members}
  others = sorted({row['architecture'] for row in rows} - known)
  for side, members in (*sides, ('others' + OUTSIDE, others)):
    rungs = [row for row in rows if row.get('architecture') in members]
    for regime, grid in grids(rungs).items():
      ordered = sorted(grid, key=lambda row: row['value'])
      shown = ', '.join(f'{name(row)} {figure(row["value"] * scale)}' for row in ordered)
      lines.append(f'{side}, {regime}: {shown} {unit}' if regime else f'{side}: {shown} {unit}')
    if not rungs and members:
      lines.append(f'{side}: not measured')
  return tuple(lines)


def beside(records: Sequence[Row], experiment: str, metric: str, low: float = 0, high: float = 1e9) -> tuple[str, ...]:
  """Return lines on architectures outside of the verdict, as ratios to a rung that was interleaved with them."""
  rows = [row for row in where(records, experiment, metric) if low <= row['length'] <= high]
  apart = where(records, experiment, REFERENCE)
  lines = []
  for label, architectures, backend, reference in BESIDE:
    rungs = [row for row in (apart if backend else [*apart, *rows]) if name(row) == reference]
    mine = [r for r in rows if r.get('architecture') in architectures and backend in (None, r.get('backend'))]
    for regime, grid in grids(mine).items():
      shown = [text for length in levels(grid, 'length') if (text := _to_reference(grid, rungs, length))]
      if shown:
        lines.append(f'time of {label} ÷ {reference}, {regime}: {", ".join(shown)}')
  return tuple(lines)


def _to_reference(rows: Sequence[Row], references: Sequence[Row], length: float) -> str:
  """Return the best row at a length over the reference of the same cell; empty without that reference."""
  chosen = pick(row for row in rows if row['length'] == length)
  if chosen is None:
    return ''
  same = [r for r in references if all(r.get(k) == chosen.row.get(k) for k in ('cell', 'size', 'length'))]
  if not same:
    return ''
  ratio = statistics.ratio(chosen.samples, samples(same[0]))
  return f'{show(ratio)} × at T = {length:,} ({name(chosen.row)})'
