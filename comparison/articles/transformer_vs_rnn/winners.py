"""Claims that count winners over a list of cells: the regimes by length, and the conclusion of the article."""

import functools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from comparison import statistics
from comparison.claims.backends import best_rounds
from comparison.claims.base import (
  GATED,
  TRANSFORMER,
  Claim,
  Rule,
  Verdict,
  grids,
  levels,
  name,
  seeds,
  tuned,
  validation,
  where,
)
from comparison.claims.points import Point, combine, not_measured, undecided
from comparison.claims.quality import QUALITIES
from comparison.records import Row
from comparison.statistics import Interval

WRITTEN, BY_SIZE = '2026-11-29 02:50', '2026-11-29 20:29'
RNN, OPEN = 'RNN', 'open'
# The cells that are counted, written down before they are: those of these lengths that were measured. No length that
# an experiment measures is left out; bands are the article's, in tokens.
BANDS: tuple[tuple[str, int, int, str], ...] = (
  ('short', 1, 99, RNN),
  ('medium', 100, 1000, TRANSFORMER),
  ('long', 1001, 10**9, RNN),
)
COSTS: dict[str, tuple[str, str]] = {
  'latency of one sequence': ('forward_latency', 'forward_seconds'),
  'training step': ('training_time', 'step_seconds'),
  'generation': ('decoding', 'generation_seconds'),
}
CLEAR = 4000  # tokens below which the article calls the Transformer the clear choice


class Cell(NamedTuple):
  """One place where both sides were measured: what, its size and batch, where, and who wins (or `open`)."""

  measure: str
  size: Any
  regime: str
  at: float
  winner: str


def cost_cells(records: Sequence[Row], measures: Iterable[str]) -> list[Cell]:
  """Return a cell for each length, size, data type and batch: the side with the lower time in the whole interval."""
  cells = []
  for measure in measures:
    experiment, metric = COSTS[measure]
    columns = ('batch',) if experiment == 'decoding' else ()
    for regime, grid in grids(where(records, experiment, metric), *columns).items():
      for length in levels(grid, 'length'):
        rounds = best_rounds([r for r in grid if r['length'] == length], GATED, (TRANSFORMER,))
        if rounds:
          ratio = statistics.median(rounds)
          winner = RNN if ratio.high < 1 else TRANSFORMER if ratio.low > 1 else OPEN
          cells.append(Cell(measure, grid[0].get('size'), regime, length, winner))
  return cells


def quality_cells(records: Sequence[Row]) -> list[Cell]:
  """Return a cell for each point of each trained task: the side whose best model is better in the whole interval."""
  cells = []
  for measure, (experiment, metric, coordinate, higher) in QUALITIES.items():
    for regime, grid in grids(where(records, experiment, metric)).items():
      for x in levels(grid, coordinate):
        here = tuned([r for r in grid if r[coordinate] == x], 'architecture', 'block')
        rnn, transformer = _best(here, GATED), _best(here, (TRANSFORMER,))
        if rnn and transformer:
          winner = _better(rnn, transformer, higher)
          cells.append(Cell(measure, grid[0].get('size'), regime, x, winner))
  return cells


def _best(rows: Sequence[Row], architectures: Sequence[str]) -> Interval | None:
  """Return the mean over seeds of the best model of a side: architecture and block are chosen on validation."""
  groups: dict[tuple[str, str], list[Row]] = {}
  for row in rows:
    if row['architecture'] in architectures:
      groups.setdefault((name(row), row.get('block', '')), []).append(row)
  chosen = max(groups.values(), key=validation, default=[])
  return seeds(chosen) if chosen else None


def _better(rnn: Interval, transformer: Interval, higher: bool) -> str:
  if (rnn.low > transformer.high) if higher else (rnn.high < transformer.low):
    return RNN
  return TRANSFORMER if ((transformer.low > rnn.high) if higher else (transformer.high < rnn.low)) else OPEN


def share(cells: Sequence[Cell], winner: str, by_size: bool) -> float:
  """Return the share of cells that a side wins, lengths weighing the same within a measure, size and batch.

  by_size: whether these weigh the same within a size, and sizes among each other; else they all weigh the same, so that
  a size with more measures or batches than another weighs more.
  """
  groups: dict[tuple[Any, str, str], list[bool]] = {}
  for cell in cells:
    groups.setdefault((cell.size, cell.measure, cell.regime), []).append(cell.winner == winner)
  of_sizes: dict[Any, list[Fraction]] = {}
  for (size, *group), wins in groups.items():
    of_sizes.setdefault(size if by_size else (size, *group), []).append(Fraction(sum(wins), len(wins)))
  return float(_mean([_mean(shares) for shares in of_sizes.values()]))


def _mean(shares: Sequence[Fraction]) -> Fraction:
  return sum(shares, Fraction()) / len(shares)


def regimes(records: Sequence[Row], by_size: bool = True) -> Verdict:
  cells = cost_cells(records, ('latency of one sequence', 'generation'))
  if not cells:
    return not_measured('forward_latency')
  points, text = [], []
  for band, low, high, winner in BANDS:
    inside = [cell for cell in cells if low <= cell.at <= high]
    if inside:
      wins = Interval.exact(share(inside, winner, by_size))
      side = 'RNN' if winner == RNN else 'Transformer'
      label = f'{band} ({low:,} tokens on), share of {len(inside)} cells that the {side} wins'
      points.append(Point(label, wins, wins.value >= 0.8, wins.value < 0.5))
      text.append(counted(inside))
  if len(points) < len(BANDS):
    return undecided('a band of lengths was not measured for both sides')
  return combine(points, '; '.join(f'{point} ({said})' for point, said in zip(points, text, strict=True)) + '.')


def clear_choice(records: Sequence[Row], by_size: bool = True) -> Verdict:
  costs = [cell for cell in cost_cells(records, COSTS) if cell.at < CLEAR]
  qualities = quality_cells(records)
  if not costs and not qualities:
    return not_measured('training_time')
  points, text = [], []
  for label, cells in (('cost', costs), ('quality', qualities)):
    if cells:
      wins = Interval.exact(share(cells, TRANSFORMER, by_size))
      point = Point(
        f'{label}: share of {len(cells)} cells that the Transformer wins', wins, wins.value >= 0.8, wins.value < 0.5
      )
      points.append(point)
      text.append(f'{point} ({counted(cells)})')
  if len(points) < 2:
    return undecided('cost or quality was not measured for both sides')
  notes = ('The shares are those of this device alone; the sentence presumes "sufficient computational resources"',)
  return combine(points, '; '.join(text) + '.', notes=notes)


def counted(cells: Sequence[Cell]) -> str:
  """Return how many cells each side wins, by measure."""
  parts = []
  for measure in dict.fromkeys(cell.measure for cell in cells):
    winners = [cell.winner for cell in cells if cell.measure == measure]
    counts = ', '.join(
      f'{side} {winners.count(key)}'
      for key, side in ((RNN, 'RNN'), (TRANSFORMER, 'Transformer'), (OPEN, 'open'))
      if key in winners
    )
    parts.append(f'{measure}: {counts}')
  return '; '.join(parts)


COUNTING = (
  'A cell is a length, a size and (in generation) a batch; the best backend of LSTM or GRU against the best of the '
  'Transformer; a side wins with the whole interval. Lengths weigh the same within a measure, size and batch, these '
  'within a size, and sizes among each other; no length that was measured is left out'
)
REVISED = (
  'in version 2 sizes weigh the same; in version 1 each measure and batch of a size did, so that a size with three of '
  'them weighed three times as much as one with a single one'
)

CLAIMS = (
  Claim(
    34,
    'Winners by length',
    'The RNN wins below 100 tokens, the Transformer from 100 to 1,000, the RNN beyond.',
    f'Latency of one sequence and time of a whole generation. {COUNTING}.',
    'the side that the article names wins 80 % of the cells or more in each of the three bands, sizes weighing the '
    'same',
    'it wins less than half of them in each',
    ('forward_latency',),
    regimes,
    beside=('decoding',),
    revised=REVISED,
    words='"Winner: RNN for latency-critical single-sequence tasks"; "Winner: Transformer for most tasks"; '
    '"Winner: RNN for very long sequences"',
    since=BY_SIZE,
    earlier=(
      Rule(
        1,
        WRITTEN,
        'the side that the article names wins 80 % of the cells or more in each of the three bands',
        'it wins less than half of them in each',
        functools.partial(regimes, by_size=False),
      ),
    ),
  ),
  Claim(
    60,
    'The clear choice',
    'With enough resources and data, the Transformer is the clear choice below 4,000 tokens.',
    f'Cost: training step, latency, generation below {CLEAR:,} tokens. Quality: recall, reach and loss by token index, '
    f'at the best learning rate on validation. {COUNTING}.',
    'the Transformer wins 80 % of the cells of cost or more, and of those of quality, sizes weighing the same',
    'it wins less than half of both',
    ('forward_latency', 'training_time', 'recall_capacity'),
    clear_choice,
    beside=('decoding', 'reach', 'token_index'),
    revised=f'{REVISED}; and the statement is about any device with enough resources, not about GPUs alone',
    words='"sufficient computational resources, training data availability, and sequence lengths under 4,000 '
    'tokens"; "transformers are the clear choice"',
    since=BY_SIZE,
    earlier=(
      Rule(
        1,
        WRITTEN,
        'the Transformer wins 80 % of the cells of cost or more, and of those of quality',
        'it wins less than half of both',
        functools.partial(clear_choice, by_size=False),
      ),
    ),
  ),
)
