"""Cost of the gated RNNs over that of the Transformer, by model size and length."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from comparison import statistics
from comparison.claims import backends, base
from comparison.claims.base import ELMAN, GATED, TRANSFORMER
from comparison.records import Row
from comparison.statistics import Interval

RNN, TIE, OPEN = 'RNN', 'tie', 'open'
MARGIN = 0.05  # costs whose ratio is within 5 % of 1, with the whole interval, are a tie; else the winner is open
BY_SIZE, BY_BACKEND = 'depends on size', 'depends on backend'


@dataclass(frozen=True)
class Measure:
  """A cost over a coordinate (the length of a sequence or the position of a token)."""

  name: str
  experiment: str
  metric: str
  coordinate: str
  unit: str
  axis: str

  def rows(self, records: Sequence[Row]) -> list[Row]:
    """Return the rows of this measure; of decoding those of a batch of one."""
    found = base.where(records, self.experiment, self.metric)
    return [row for row in found if self.metric == 'step_seconds' or row.get('batch', 1) == 1]

  def spot(self, x: float) -> str:
    return f'{"position" if self.coordinate == "position" else "T ="} {x:,}'


TRAINING = Measure('training step', 'training_time', 'step_seconds', 'length', 's', 'tokens in a sequence')
LATENCY = Measure(
  'latency of one sequence', 'forward_latency', 'forward_seconds', 'length', 's', 'tokens in the sequence'
)
MEMORY = Measure(
  'memory of one sequence', 'forward_latency', 'temporary_bytes', 'length', 'B', 'tokens in the sequence'
)
DECODING = Measure('a decoded token', 'decoding', 'token_seconds', 'position', 's', 'position of the token')
TIMED = (TRAINING, LATENCY, DECODING)


class Pair(NamedTuple):
  """One size and length: a row of each side, their ratio, and the ratio of the best backends of both sides."""

  rnn: Row
  transformer: Row
  ratio: Interval
  best: Interval

  @property
  def winner(self) -> str:
    """Return the side that both ratios favour, or that they disagree."""
    with_these, with_best = winner(self.ratio), winner(self.best)
    return with_these if with_these == with_best else BY_BACKEND


def winner(ratio: Interval) -> str:
  """Return the side with the lower cost, if the whole interval of RNN ÷ Transformer lies on its side of 1.

  Otherwise a tie, if the whole interval lies within the margin (two one-sided tests); else `open`.
  """
  if ratio.high < 1:
    return RNN
  if ratio.low > 1:
    return 'Transformer'
  return TIE if ratio.low >= 1 - MARGIN and ratio.high <= 1 + MARGIN else OPEN


def overall(winners: Sequence[str]) -> str:
  """Return the winner if it is the same at every size; of a single size it says so."""
  if len(set(winners)) == 1:
    return winners[0] if len(winners) > 1 or winners[0] == BY_BACKEND else f'{winners[0]} (one size)'
  return BY_BACKEND if len(set(winners) - {BY_BACKEND}) == 1 else BY_SIZE


def sizes(rows: Sequence[Row]) -> dict[Any, list[Row]]:
  """Return model size → rows, the smallest first; rows without a size stand under None."""
  return {size: [row for row in rows if row.get('size') == size] for size in base.levels(rows, 'size') or [None]}


def best_by_length(records: Sequence[Row], measure: Measure) -> dict[Any, dict[float, Interval]]:
  """Return size → length → the ratio of the best backends, where both sides were measured in one cell."""
  found: dict[Any, dict[float, Interval]] = {}
  for size, rows in sizes(measure.rows(records)).items():
    for x in base.levels(rows, measure.coordinate):
      ratio = backends.best_ratio([row for row in rows if row[measure.coordinate] == x], GATED, (TRANSFORMER,))
      if ratio is not None:
        found.setdefault(size, {})[x] = ratio
  return found


def pairs(records: Sequence[Row], measure: Measure) -> dict[Any, dict[float, Pair]]:
  """Return size → length → pair, with one architecture and backend a side at all sizes and lengths."""
  rows = measure.rows(records)
  timed = rows
  if measure.metric == 'temporary_bytes':  # of the fastest backends whose memory is known, not of the leanest ones
    known = {base.name(row) for row in rows}
    timed = [row for row in LATENCY.rows(records) if base.name(row) in known]
  chosen = representatives(timed, measure.coordinate)
  found: dict[Any, dict[float, Pair]] = {}
  for size, here in sizes(rows).items():
    for x in base.levels(here, measure.coordinate):
      cell = cell_of_both(here, measure.coordinate, x)
      named = {base.name(row): row for row in cell}
      best = backends.best_ratio(cell, GATED, (TRANSFORMER,))
      if best is None or not all(name in named for name in chosen):
        continue
      a, b = (named[name] for name in chosen)
      ratio = statistics.ratio(base.samples(a), base.samples(b))
      found.setdefault(size, {})[x] = Pair(a, b, ratio, best)
  return found


def representatives(rows: Sequence[Row], coordinate: str) -> tuple[str, ...]:
  """Return the architecture and backend that stand for the RNN and for the Transformer, or nothing.

  The RNN is the LSTM, or the GRU where no LSTM was measured. Of its backends, and of those of the Transformer, the one
  that was measured at the most sizes and lengths is taken; of several such ones that with the lowest geometric mean.
  """
  points = [cell_of_both(here, coordinate, x) for here in sizes(rows).values() for x in base.levels(here, coordinate)]
  chosen = []
  for sides in (GATED, (TRANSFORMER,)):
    present = {row['architecture'] for cell in points for row in cell}
    architecture = next((name for name in sides if name in present), None)
    logs: dict[str, list[float]] = {}
    for cell in points:
      for row in cell:
        if row['architecture'] == architecture:
          logs.setdefault(base.name(row), []).append(math.log(row['value']))
    if not logs:
      return ()
    most = max(map(len, logs.values()))
    means = {name: sum(values) / most for name, values in logs.items() if len(values) == most}
    chosen.append(min(means, key=lambda name: means[name]))
  return tuple(chosen)


def cell_of_both(rows: Sequence[Row], coordinate: str, x: float) -> list[Row]:
  """Return the rows of the cell that measured both sides at x."""
  return backends.of_one_cell([row for row in rows if row[coordinate] == x], GATED, (TRANSFORMER,))


def elman_note(records: Sequence[Row]) -> str:
  """Say how the plain (Elman) network compares with the gated RNNs; empty where it was not timed."""
  shares = []
  for measure in (TRAINING, LATENCY):
    for rows in sizes(measure.rows(records)).values():
      for x in base.levels(rows, measure.coordinate):
        ratio = backends.best_ratio([row for row in rows if row[measure.coordinate] == x], (ELMAN,), GATED)
        shares += [ratio.value] if ratio else []
  if not shares:
    return ''
  low, high = base.figure(min(shares), 2), base.figure(max(shares), 2)
  return f' The plain (Elman) network is left out: it takes {low} to {high} of the time of the best gated RNN.'
