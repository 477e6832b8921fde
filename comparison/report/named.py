"""Each other architecture against the LSTM and the Transformer: costs by size and length, scores of trained models."""

from collections.abc import Sequence

from comparison import statistics
from comparison.claims import base
from comparison.claims.backends import REFERENCE, pick
from comparison.claims.base import RECURRENT, TRANSFORMER
from comparison.claims.quality import QUALITIES
from comparison.claims.ratios import DECODING, LATENCY, MEMORY, TRAINING, Measure, sizes, winner
from comparison.claims.tables import Table, parameters
from comparison.records import Row
from comparison.statistics import Interval

TITLE = 'Other architectures against the LSTM and the Transformer'
NOTE = (
  'Costs: time or bytes of the architecture over those of each reference, measured in the same cell with the best '
  'backends, at the shortest and the longest length of a size; below 1 it is cheaper. Scores: the difference to each '
  'reference at the best learning rates on validation, at the hardest point; positive is better. It wins or loses with '
  'the whole 95 % interval; a cost within 5 % is a tie; anything else is open.'
)
COSTS = (TRAINING, LATENCY, MEMORY, DECODING)
SIDES = ('lstm', TRANSFORMER)
WORDS = {'RNN': 'wins', 'Transformer': 'loses'}  # of the numerator and the denominator of a ratio


def table(records: Sequence[Row]) -> Table:
  """Return a row for each architecture that is no reference, measure, size and end of the lengths."""
  rows = []
  for architecture in base.levels(records, 'architecture'):
    if architecture in (*RECURRENT, TRANSFORMER):
      continue
    lines = [line for measure in COSTS for line in _costs(records, architecture, measure)]
    lines += [line for name in QUALITIES for line in _scores(records, architecture, name)]
    rows += [(architecture if not i else '', *line) for i, line in enumerate(lines)]
  columns = ('architecture', 'measure', 'parameters', 'against the LSTM', 'result', 'against the Transformer', 'result')
  return Table(TITLE, NOTE, columns, tuple(rows))


def _costs(records: Sequence[Row], architecture: str, measure: Measure) -> list[tuple[str, ...]]:
  """Return the ratios at the ends of the lengths of each size."""
  rows = measure.rows(records)
  again = [{**row, 'metric': measure.metric} for row in records if row.get('metric') == REFERENCE]
  if measure.unit == 's':  # the references that were measured again beside other rungs
    rows = rows + [row for row in again if row.get('experiment') == measure.experiment]
  found = []
  for size, here in sizes(rows).items():
    at = {}
    for x in base.levels(here, measure.coordinate):
      cells = [row for row in here if row[measure.coordinate] == x]
      against = [_ratio(cells, architecture, side) for side in SIDES]
      if any(against):
        at[x] = against
    for x in dict.fromkeys((min(at), max(at))) if at else ():
      found.append((f'{measure.name}, {measure.spot(x)}', parameters(size), *_shown(at[x], '×')))
  return found


def _ratio(rows: Sequence[Row], architecture: str, side: str) -> Interval | None:
  """Return the ratio of the best backends within one cell that has both."""
  for cell in {row.get('cell') for row in rows if row['architecture'] == architecture}:
    mine, theirs = (pick([r for r in rows if r.get('cell') == cell], [name]) for name in (architecture, side))
    if mine and theirs:
      return statistics.ratio(mine.samples, theirs.samples)
  return None


def _scores(records: Sequence[Row], architecture: str, name: str) -> list[tuple[str, ...]]:
  """Return the differences at the hardest point of each size."""
  experiment, metric, coordinate, higher = QUALITIES[name]
  found = []
  for size, rows in sizes(base.where(records, experiment, metric)).items():
    points = base.levels([r for r in rows if r['architecture'] == architecture], coordinate)
    if not points:
      continue
    here = [r for r in rows if r[coordinate] == points[-1]]
    against = [_difference(here, architecture, side, higher) for side in SIDES]
    if any(against):
      shown = _shown(against, 'points' if higher else 'nats', scale=100 if higher else 1)
      found.append((f'{name}, {coordinate} {points[-1]:,}', parameters(size), *shown))
  return found


def _difference(rows: Sequence[Row], architecture: str, side: str, higher: bool) -> Interval | None:
  """Return how much better the architecture is than a side: means over seeds, with the sum of their intervals."""
  means = []
  for name in (architecture, side):
    mine = base.tuned([r for r in rows if r['architecture'] == name], 'block')
    blocks = {r.get('block') for r in mine}
    groups = [[r for r in mine if r.get('block') == block] for block in sorted(blocks, key=str)]
    if not groups:
      return None
    chosen = max(groups, key=base.validation)
    means.append(base.seeds(chosen))
  a, b = means if higher else means[::-1]
  return Interval(a.value - b.value, a.low - b.high, a.high - b.low)


def _shown(against: Sequence[Interval | None], unit: str, scale: float = 1) -> tuple[str, ...]:
  cells: list[str] = []
  for interval in against:
    if interval is None:
      cells += ['', '']
      continue
    if unit == '×':
      who = winner(interval)
      verdict = WORDS.get(who, who)
    else:
      verdict = 'wins' if interval.low > 0 else 'loses' if interval.high < 0 else 'open'
    cells += [f'{base.show(Interval(*(scale * x for x in interval)))} {unit}', verdict]
  return tuple(cells)
