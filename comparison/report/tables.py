"""The article's own two tables, filled with what was measured on this device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from comparison.claims import backends, base, quality, statistics
from comparison.claims.base import RECURRENT, TRANSFORMER
from comparison.claims.statistics import Interval
from comparison.records import Row

BANDS = (
  ('short, < 100 tokens', 0, 99, 'RNN'),
  ('medium, 100 – 1,000', 100, 1000, 'Transformer'),
  ('long, > 1,000', 1001, 10**9, 'RNN'),
)


@dataclass(frozen=True)
class Table:
  title: str
  note: str
  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]


def article(records: Sequence[Row]) -> tuple[Table, ...]:
  """Trade-offs at a glance; performance by sequence length."""
  return trade_offs(records), by_length(records)


def smallest_size(rows: Sequence[Row]) -> list[Row]:
  """One budget, the one that every length was measured at, so that lengths can be compared."""
  sizes = base.levels(rows, 'size')
  return [row for row in rows if not sizes or row.get('size') == sizes[0]]


def winner(ratio: Interval | None) -> str:
  """Of RNN ÷ Transformer, lower being better: who wins with the whole interval on one side."""
  if ratio is None:
    return '–'
  if ratio.high < 1:
    return 'RNN'
  return 'Transformer' if ratio.low > 1 else 'tie'


def trade_offs(records: Sequence[Row]) -> Table:
  rows = []
  timed: tuple[tuple[str, str, str, str, Callable[[list[Row]], float], float, str], ...] = (
    ('training, a step per token', 'RNN slow', 'training_time', 'step_seconds', middle_length, 1e6, 'µs'),
    ('inference, a short sequence', 'RNN fast', 'forward_latency', 'forward_seconds', short_length, 1e3, 'ms'),
    (
      'memory, a long sequence',
      'RNN O(n), Transformer O(n²)',
      'forward_latency',
      'temporary_bytes',
      longest,
      1e-6,
      'MB',
    ),
  )
  for aspect, says, experiment, metric, at, scale, unit in timed:
    found = smallest_size(base.where(records, experiment, metric))
    if not found:
      continue
    length = at(found)
    pair = backends.rivals([row for row in found if row['length'] == length])
    if pair is None:
      continue
    tokens = pair[0].row.get('batch', 1) * length if 'per token' in aspect else 1
    ratio = statistics.ratio(pair[0].samples, pair[1].samples)
    shown = [f'{side.row["value"] * scale / tokens:.3g} {unit} ({base.name(side.row)})' for side in pair]
    rows.append((f'{aspect}, T = {length:,}', says, *shown, winner(ratio)))
  rows += [row for row in (state(records), recall(records), gradient(records), order(records)) if row]
  return Table(
    'Architectural trade-offs at a glance',
    'The best backend of each side, an RNN being an LSTM, a GRU or a plain (Elman) network; the smallest model '
    'measured. A winner has the whole 95 % interval on its side.',
    ('aspect', 'the article says', 'RNN', 'Transformer', 'winner here'),
    tuple(rows),
  )


def middle_length(rows: list[Row]) -> float:
  lengths = base.levels(rows, 'length')
  return min(lengths, key=lambda length: abs(length - 512))


def short_length(rows: list[Row]) -> float:
  lengths = base.levels(rows, 'length')
  return max([length for length in lengths if length < 100] or lengths[:1])


def longest(rows: list[Row]) -> float:
  return max(base.levels(rows, 'length'))


def state(records: Sequence[Row]) -> tuple[str, ...] | None:
  found = smallest_size(base.where(records, 'forward_latency', 'flops'))
  lengths = [length for length in base.levels(found, 'length') if length >= 1000]
  if not lengths:
    return None
  here = [
    {**row, 'value': row['state_bytes']} for row in found if row['length'] == lengths[0] and row.get('state_bytes')
  ]
  pair = backends.rivals(here)
  if pair is None:
    return None
  recurrent, transformer = (side.row for side in pair)
  shown = [f'{row["value"]:,} bytes ({row["architecture"]})' for row in (recurrent, transformer)]
  ratio = Interval.exact(recurrent['value'] / transformer['value'])
  return (f'state after {lengths[0]:,} tokens', 'RNN fixed, Transformer grows', *shown, winner(ratio))


def recall(records: Sequence[Row]) -> tuple[str, ...] | None:
  found = base.tuned(base.where(records, 'recall_capacity', 'accuracy'), 'architecture', 'block', 'size', 'pairs')
  pairs = max(base.levels(found, 'pairs'), default=None)
  top = [row for row in found if row['pairs'] == pairs]
  groups: dict[str, list[Row]] = {}
  for row in top:
    groups.setdefault(f'{row["architecture"]}, {row.get("block", "")}', []).append(row)
  scored = {name: base.seeds(rows) for name, rows in groups.items()}
  recurrent = {n: s for n, s in scored.items() if n.split(',')[0] in RECURRENT}
  transformer = {n: s for n, s in scored.items() if n.split(',')[0] == TRANSFORMER}
  if not recurrent or not transformer:
    return None
  (a, x), (b, y) = (max(side.items(), key=lambda item: item[1].value) for side in (recurrent, transformer))
  guesses = quality.baselines(records, 'recall_capacity', 'accuracy', 'pairs')
  known = [
    f'{name} {value:.3g}' for name, values in guesses.items() if (value := quality.at(values, pairs)) is not None
  ]
  aspect = f'recall of {pairs} pairs, accuracy' + (f' ({", ".join(known)})' if known else '')
  return _higher(aspect, 'RNN struggles', (a, x), (b, y))


def gradient(records: Sequence[Row]) -> tuple[str, ...] | None:
  found = base.where(records, 'reach', 'gradient_decades')
  lag = max(base.levels(found, 'lag'), default=None)
  far = [row for row in found if row['lag'] == lag]
  scored = {a: base.seeds(r for r in far if r['architecture'] == a) for a in base.levels(far, 'architecture')}
  recurrent = {n: s for n, s in scored.items() if n in RECURRENT}
  if not recurrent or TRANSFORMER not in scored:
    return None
  top = max(recurrent.items(), key=lambda item: item[1].value)
  label = f'gradient at lag {lag}, decades relative to lag 1'
  return _higher(label, 'Transformer excellent', top, (TRANSFORMER, scored[TRANSFORMER]))


def order(records: Sequence[Row]) -> tuple[str, ...] | None:
  found = base.where(records, 'order', 'reordering', architecture=TRANSFORMER, position='none')
  if not found:
    return None
  shown = '; '.join(
    f'{kind} {max(row["value"] for row in found if row["kind"] == kind):.1g}' for kind in base.levels(found, 'kind')
  )
  told = 'RNN implicit, Transformer explicit'
  recurrent = base.where(records, 'order', 'reordering', architecture=RECURRENT)
  changes = f'least: {min(row["value"] for row in recurrent):.1g}' if recurrent else '–'
  return ('change when reordered, no positions', told, changes, f'largest: {shown}', '–')


def _higher(label: str, says: str, a: tuple[str, Interval], b: tuple[str, Interval]) -> tuple[str, ...]:
  """A row of two numbers of which the higher wins, if their intervals do not touch."""
  (name_a, x), (name_b, y) = a, b
  who = 'RNN' if x.low > y.high else 'Transformer' if y.low > x.high else 'tie'
  return (label, says, f'{base.show(x)} ({name_a})', f'{base.show(y)} ({name_b})', who)


def by_length(records: Sequence[Row]) -> Table:
  """Each measure at the longest length of each band that was measured for both sides."""
  measures = (
    ('training step at constant tokens', 'training_time', 'step_seconds', 'length', 's'),
    ('latency of one sequence', 'forward_latency', 'forward_seconds', 'length', 's'),
    ('memory of that', 'forward_latency', 'temporary_bytes', 'length', 'B'),
    ('a decoded token', 'decoding', 'token_seconds', 'position', 's'),
  )
  rows = []
  for band, low, high, says in BANDS:
    first = True
    for measure, experiment, metric, column, unit in measures:
      found = smallest_size(base.where(records, experiment, metric))
      found = [row for row in found if row.get('batch', 1) == 1 or metric == 'step_seconds']
      inside = [x for x in base.levels(found, column) if low <= x <= high and backends.rivals(_at(found, column, x))]
      if not inside:
        continue
      pair = backends.rivals(_at(found, column, inside[-1]))
      if metric == 'temporary_bytes':  # of the backends that were the fastest, not of the leanest ones
        known = {base.name(row) for row in found}  # the memory of C++ kernels is not
        timed = smallest_size(base.where(records, experiment, 'forward_seconds'))
        timed = [row for row in timed if base.name(row) in known]
        fastest = [base.name(side.row) for side in backends.rivals(_at(timed, column, inside[-1])) or ()]
        pair = backends.rivals([r for r in _at(found, column, inside[-1]) if base.name(r) in fastest])
      if pair is None:
        continue
      ratio = statistics.ratio(pair[0].samples, pair[1].samples)
      shown = [f'{quantity(side.row["value"], unit)} ({base.name(side.row)})' for side in pair]
      spot = f'{"position" if column == "position" else "T ="} {inside[-1]:,}'
      rows.append((band if first else '', says if first else '', f'{measure}, {spot}', *shown, lead(ratio)))
      first = False
  return Table(
    'Performance by sequence length',
    'The best backend of each side, at the longest length of the band that was measured. The winner has the whole '
    'interval of the pairwise ratios on its side; beside it the ratio.',
    ('tokens', 'the article says', 'measure', 'RNN', 'Transformer', 'winner here'),
    tuple(rows),
  )


def _at(rows: Sequence[Row], column: str, x: float) -> list[Row]:
  return [row for row in rows if row[column] == x]


def lead(ratio: Interval) -> str:
  """The winner and by how much."""
  who = winner(ratio)
  return who if who == 'tie' else f'{who}, {max(ratio.value, 1 / ratio.value):.2g} ×'


def quantity(value: float, unit: str) -> str:
  """A number with the prefix that suits it: 1.23 ms, 512 MiB."""
  steps: dict[str, tuple[tuple[float, str], ...]] = {
    's': ((1.0, 's'), (1e-3, 'ms'), (1e-6, 'µs')),
    'B': ((2.0**30, 'GiB'), (2.0**20, 'MiB'), (2.0**10, 'KiB'), (1.0, 'B')),
  }
  for factor, prefix in steps[unit]:
    if value >= factor:
      return f'{value / factor:.3g} {prefix}'
  return f'{value:.3g} {unit}'


SIDE_BY_SIDE = (
  ('training_time', 'step_seconds', 'length', 's', 'training step, T = {}'),
  ('forward_latency', 'forward_seconds', 'length', 's', 'one sequence, T = {}'),
  ('decoding', 'token_seconds', 'position', 's', 'decoded token {}'),
  ('recall_capacity', 'accuracy', 'pairs', '', 'recall of {} pairs'),
  ('reach', 'accuracy', 'length', '', 'recall over {} tokens'),
  ('token_index', 'loss', 'index', '', 'loss in nats at token {}'),
)


def side_by_side(records: Sequence[Row]) -> Table:
  """Every architecture that was measured: its best backend where it is timed, the mean over the seeds elsewhere."""
  columns, cells = [], []
  for experiment, metric, coordinate, unit, title in SIDE_BY_SIDE:
    found = smallest_size(base.where(records, experiment, metric))
    point = max(base.levels(found, coordinate), default=None)
    if point is None:
      continue
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in _at(found, coordinate, point):
      groups.setdefault((row['architecture'], row.get('block', '')), []).append(row)
    columns.append(title.format(f'{point:,}'))
    column = {
      model: quantity(min(row['value'] for row in rows), unit) if unit else base.show(base.seeds(rows))
      for model, rows in groups.items()
    }
    for name, values in quality.baselines(records, experiment, metric, coordinate).items():
      value = quality.at(values, point)
      column |= {} if value is None else {(f'no model: {name}', ''): base.figure(value)}
    cells.append(column)
  models = sorted({model for column in cells for model in column}, key=lambda model: (':' in model[0], model))
  return Table(
    'Architectures side by side',
    'Each measure at its farthest point, at the smallest size measured. A time is that of the best backend, a score '
    'the mean over the seeds with its 95 % interval; what needs no model stands below.',
    ('architecture', 'block', *columns),
    tuple((*model, *(column.get(model, '') for column in cells)) for model in models),
  )


def models(records: Sequence[Row]) -> Table:
  """What stands beside every number: parameters, FLOPs and state of the models that were measured."""
  found: dict[tuple[str, ...], Row] = {}
  for row in records:
    if row.get('parameters') and row.get('width') and row.get('flops_per_token'):
      layers = f'{row.get("depth", "?")} × {row["width"]}'
      key = (row['experiment'], row['architecture'], row.get('block', ''), layers)
      if key not in found or row.get('length', 0) > found[key].get('length', 0):
        found[key] = row
  rows = []
  for model, row in sorted(found.items()):
    state = quantity(row['state_bytes'], 'B') + (f' at {row["length"]:,} tokens' if row.get('length') else '')
    rows.append((*model, f'{row["parameters"]:,}', f'{row["flops_per_token"]:,.0f}', state))
  return Table(
    'Models behind the numbers',
    'Non-embedding parameters are matched within 2 % within an experiment; forward FLOPs a token, and bytes of state '
    'of one sequence, at the longest length of the experiment.',
    ('experiment', 'architecture', 'block', 'layers × width', 'parameters', 'FLOPs a token', 'state'),
    tuple(rows),
  )
