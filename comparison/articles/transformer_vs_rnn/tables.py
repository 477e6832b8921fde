"""The article's two tables, filled with the measurements of one device: a block of rows for each row of the article."""

import math
from collections.abc import Callable, Mapping, Sequence

from comparison.articles.transformer_vs_rnn.architecture import chosen_encoding
from comparison.claims import base, quality, ratios
from comparison.claims.base import GATED, TRANSFORMER
from comparison.claims.ratios import DECODING, LATENCY, MEMORY, TRAINING, Measure, Pair
from comparison.claims.tables import Table, parameters, quantity
from comparison.records import Row
from comparison.statistics import Interval

BANDS = (
  ('short, < 100 tokens', 0, 99, 'RNN'),
  ('medium, 100 – 1,000', 100, 1000, 'Transformer'),
  ('long, > 1,000', 1001, 10**9, 'RNN'),
)
COLUMNS = ('parameters', 'RNN', 'Transformer', 'RNN ÷ Transformer', 'best backends', 'winner')
NOTE = (
  'The RNN is an LSTM (a GRU where no LSTM was measured); every measure has one backend a side at all sizes and '
  'lengths. Best backends: the ratio with the best backend of LSTM or GRU and of the Transformer, which the verdicts '
  'use. A side wins where both intervals lie on its side and so they do at every size. Both sides have the same number '
  'of parameters.'
)
MARGIN = 0.02  # of an accuracy, or decades: scores that differ by no more in the whole interval are a tie
Score = tuple[str, Interval]  # label of a model, mean over its seeds


def tables(records: Sequence[Row]) -> tuple[Table, Table]:
  """Return "trade-offs at a glance" and "performance by sequence length"."""
  return trade_offs(records), by_length(records)


def by_length(records: Sequence[Row]) -> Table:
  """Show each measure at the longest length of each band that was measured at every size."""
  measured = {measure: ratios.pairs(records, measure) for measure in (TRAINING, LATENCY, MEMORY, DECODING)}
  rows: list[tuple[str, ...]] = []
  for band, low, high, says in BANDS:
    lead = (band, says)
    for measure, by_size in measured.items():
      inside = {
        size: kept for size, at in by_size.items() if (kept := {x: pair for x, pair in at.items() if low <= x <= high})
      }
      for spot, *row in block(measure, inside, max):
        rows.append((*lead, f'{measure.name}, {spot}', *row))
        lead = ('', '')
  return Table(
    'Performance by sequence length', NOTE + ratios.elman_note(records),
    ('tokens', 'the article says', 'measure', *COLUMNS), tuple(rows),
  )  # fmt: skip


def trade_offs(records: Sequence[Row]) -> Table:
  """Show time, memory, state, recall, gradients and order, one block of rows each."""
  timed: tuple[tuple[str, str, Measure, Callable[[Sequence[float]], float]], ...] = (
    ('training', 'RNN slow', TRAINING, near(512)),
    ('inference, a short sequence', 'RNN fast', LATENCY, near(99)),
    ('inference, memory of a long sequence', 'RNN O(n), Transformer O(n²)', MEMORY, max),
  )
  rows: list[tuple[str, ...]] = []
  aspects = [
    (aspect, says, block(measure, ratios.pairs(records, measure), choose)) for aspect, says, measure, choose in timed
  ]
  for aspect, says, shown in (*aspects, state(records), recall(records), gradient(records), order(records)):
    for i, (spot, *row) in enumerate(shown):
      words = ', '.join(filter(None, (aspect if not i else '', spot)))
      rows.append((words, says if not i else '', *row))
  return Table('Architectural trade-offs at a glance', NOTE, ('aspect', 'the article says', *COLUMNS), tuple(rows))


def block(
  measure: Measure, by_size: dict[float | None, dict[float, Pair]], choose: Callable[[Sequence[float]], float]
) -> list[tuple[str, ...]]:
  """Return a row for each size, length first: a length that every size has, or else one of its own."""
  if not by_size:
    return []
  shared = sorted(set.intersection(*(set(at) for at in by_size.values())))
  chosen = {size: (x := choose(shared or sorted(at)), at[x]) for size, at in by_size.items()}
  verdict = ratios.overall([pair.winner for _, pair in chosen.values()])
  return [
    (
      measure.spot(x),
      parameters(size),
      *(f'{quantity(row["value"], measure.unit)} ({base.name(row)})' for row in (pair.rnn, pair.transformer)),
      base.show(pair.ratio),
      base.show(pair.best),
      verdict,
    )
    for size, (x, pair) in chosen.items()
  ]


def near(length: float) -> Callable[[Sequence[float]], float]:
  """Return a function that chooses the length closest to `length` by ratio."""
  return lambda lengths: min(lengths, key=lambda x: abs(math.log(x / length)))


Aspect = tuple[str, str, list[tuple[str, ...]]]  # of a table's rows: first column, second column, the others


def state(records: Sequence[Row]) -> Aspect:
  """Compare the bytes of the state after 1,000 tokens."""
  found = [r for r in base.where(records, 'state_bytes', 'state_bytes', batch=1) if r.get('length') == 1000]
  rows, winners = [], []
  for size, here in ratios.sizes(found).items():
    values = {row['architecture']: row['value'] for row in here if row.get('backend') in ('', 'multi-head')}
    architecture = next((name for name in GATED if name in values), None)
    if architecture is None or TRANSFORMER not in values:
      continue
    least = min(values[name] for name in GATED if name in values) / values[TRANSFORMER]
    ratio = Interval.exact(values[architecture] / values[TRANSFORMER])
    shown = [f'{quantity(values[name], "B")} ({name})' for name in (architecture, TRANSFORMER)]
    rows.append(('', parameters(size), *shown, base.show(ratio), base.figure(least)))
    winners.append(ratios.winner(ratio))
  return 'state after 1,000 tokens', 'RNN fixed, Transformer grows', [(*r, ratios.overall(winners)) for r in rows]


def recall(records: Sequence[Row]) -> Aspect:
  """Compare the accuracy with the most pairs, each model in its better block."""
  found = base.tuned(base.where(records, 'recall_capacity', 'accuracy'), 'architecture', 'block', 'size', 'pairs')
  pairs = max(base.levels(found, 'pairs'), default=None)
  guesses = quality.baselines(records, 'recall_capacity', 'accuracy', 'pairs')
  known = [
    f'{name} {base.figure(v)}' for name, values in guesses.items() if (v := quality.at(values, pairs)) is not None
  ]
  aspect = f'recall of {pairs} pairs, accuracy' + (f' ({", ".join(known)})' if known else '')
  return aspect, 'RNN struggles', scored([row for row in found if row['pairs'] == pairs])


def gradient(records: Sequence[Row]) -> Aspect:
  """Compare what is left of the gradient at the largest lag, of the Transformer that recalls best."""
  found = base.where(records, 'reach', 'gradient_decades')
  lag, encoding = max(base.levels(found, 'lag'), default=None), chosen_encoding(records)
  found = [row for row in found if row['architecture'] != TRANSFORMER or row.get('position') == encoding]
  return (
    f'gradient at lag {lag}, decades relative to lag 1', 'Transformer excellent',
    scored([row for row in found if row['lag'] == lag]),
  )  # fmt: skip


def scored(rows: Sequence[Row]) -> list[tuple[str, ...]]:
  """Return a row for each size: the LSTM, the Transformer, and the best gated RNN; more is better."""
  shown, winners = [], []
  for size, here in ratios.sizes(rows).items():
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in here:
      groups.setdefault((row['architecture'], row.get('block', '')), []).append(row)
    architecture = next((name for name in GATED if any(model[0] == name for model in groups)), None)
    sides = [best_score(groups, names) for names in ((architecture,), (TRANSFORMER,), GATED)]
    (rnn, transformer, gated) = sides
    if rnn is None or transformer is None or gated is None:
      continue
    first, second = (higher(side[1], transformer[1]) for side in (rnn, gated))
    winners.append(first if first == second else 'depends on architecture')
    shown.append(
      (
        '',
        parameters(size),
        *(f'{base.show(s)} ({label})' for label, s in (rnn, transformer)),
        '–',
        f'{gated[0]} {base.show(gated[1])}',
      )
    )
  return [(*row, ratios.overall(winners)) for row in shown]


def best_score(groups: Mapping[tuple[str, str], list[Row]], architectures: Sequence[str | None]) -> Score | None:
  """Return the model that is the best on validation, or on test where rows have no `selection`, with its block."""
  mine = {model: rows for model, rows in groups.items() if model[0] in architectures}
  has_selection = all('selection' in row for rows in mine.values() for row in rows)
  score = lambda row: base.selection(row) if has_selection else row['value']
  chosen = max(mine, key=lambda model: sum(map(score, mine[model])) / len(mine[model]), default=None)
  return None if chosen is None else (', '.join(filter(None, chosen)), base.seeds(mine[chosen]))


def higher(rnn: Interval, transformer: Interval) -> str:
  """Return the side whose whole interval is higher; a tie if the scores are equal within MARGIN, else `open`."""
  if rnn.low > transformer.high:
    return ratios.RNN
  if transformer.low > rnn.high:
    return 'Transformer'
  apart = max(rnn.high - transformer.low, transformer.high - rnn.low)
  return ratios.TIE if apart <= MARGIN else ratios.OPEN


def order(records: Sequence[Row]) -> Aspect:
  """Show how much outputs change when the input is reordered and nothing encodes positions."""
  aspect = 'change when reordered, no positions', 'RNN implicit, Transformer explicit'
  attention = base.where(records, 'order', 'reordering', architecture=TRANSFORMER, position='none')
  recurrent = base.where(records, 'order', 'reordering', architecture=GATED)
  if not attention or not recurrent:
    return (*aspect, [])
  kinds = [
    f'{kind} {max(row["value"] for row in attention if row["kind"] == kind):.1g}'
    for kind in base.levels(attention, 'kind')
  ]
  least = f'at least {min(row["value"] for row in recurrent):.1g}'
  return (*aspect, [('', '–', least, f'at most: {"; ".join(kinds)}', '–', '–', '–')])
