"""Tables of all architectures: measurements side by side, and the cost of the models behind them."""

from collections.abc import Sequence

from comparison.claims import base, quality
from comparison.claims.tables import Table, parameters, quantity
from comparison.records import Row

SIDE_BY_SIDE = (
  ('training_time', 'step_seconds', 'length', 's', 'training step, T = {}'),
  ('forward_latency', 'forward_seconds', 'length', 's', 'one sequence, T = {}'),
  ('decoding', 'token_seconds', 'position', 's', 'decoded token {}'),
  ('recall_capacity', 'accuracy', 'pairs', '', 'recall of {} pairs'),
  ('reach', 'accuracy', 'length', '', 'recall over {} tokens'),
  ('token_index', 'loss', 'index', '', 'loss in nats after {} tokens'),
)


def side_by_side(records: Sequence[Row]) -> Table:
  """Show every architecture that was measured: times of its best backend, means over its seeds."""
  columns, cells = [], []
  for experiment, metric, coordinate, unit, title in SIDE_BY_SIDE:
    found = base.where(records, experiment, metric)
    size = min(base.levels(found, 'size'), default=None)  # the one that was measured at every length
    found = [row for row in found if size is None or row.get('size') == size]
    if any('selection' in row for row in found):
      found = base.tuned(found, 'architecture', 'block', coordinate)
    point = max(base.levels(found, coordinate), default=None)
    if point is None:
      continue
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in found:
      if row[coordinate] == point:
        groups.setdefault((row['architecture'], row.get('block', '')), []).append(row)
    columns.append(title.format(f'{point:,}') + ('' if size is None else f', {parameters(size)} parameters'))
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
    'Each measure at its farthest point and at its smallest size: other sizes may rank differently. A time is that of '
    'the best backend, a score the mean over the seeds with its 95 % interval; baselines without a model come last.',
    ('architecture', 'block', *columns),
    tuple((*model, *(column.get(model, '') for column in cells)) for model in models),
  )


def models(records: Sequence[Row]) -> Table:
  """Show parameters, FLOPs and state of the models that were measured."""
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
