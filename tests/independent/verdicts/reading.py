"""Read the records of a comparison: JSON Lines, of which the newest version and the newest write of a cell count."""

import json
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]

REQUIRED = ('experiment', 'version', 'cell', 'content', 'scale', 'device_kind', 'time', 'metric')
# Backends as records of earlier programs name them, and their present names.
RENAMED = dict(
  pair.split(':')
  for pair in [
    'scan:reference',
    'materialised:reference',
    'fused:xla',
    'blockwise:xla',
    'chunked:xla',
    'native:cpu',
    'vendor:cudnn',
  ]
)
TRANSFORMER, LSTM, GRU, ELMAN = 'transformer', 'lstm', 'gru', 'rnn'
GATED, RECURRENT, COMPARED = (LSTM, GRU), (LSTM, GRU, ELMAN), (LSTM, GRU, ELMAN, TRANSFORMER)


def comparison(folder: pathlib.Path) -> list[Row]:
  """Return the rows of a folder that count; none if it holds no records of a comparison.

  Of several devices or scales, those of the newest row count.
  """
  rows = [row for path in sorted(folder.glob('records*.jsonl')) for row in whole(lines(path))]
  if not rows:
    return []
  newest = max(rows, key=lambda row: row['time'])
  rows = [row for row in rows if (row['scale'], row['device_kind']) == (newest['scale'], newest['device_kind'])]
  rows = keep_largest(rows, 'experiment', 'version')
  return keep_largest(rows, 'content', 'time')


def lines(path: pathlib.Path) -> list[Row]:
  """Return the rows of a comparison in a file, with the present names of backends."""
  rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
  return [with_present_name(row) for row in rows if all(row.get(column) is not None for column in REQUIRED)]


def with_present_name(row: Row) -> Row:
  backend = row.get('backend')
  if backend not in RENAMED:
    return row
  present = RENAMED[backend]
  if row.get('architecture') == TRANSFORMER and backend.startswith('fuse'):  # jax.nn.dot_product_attention
    is_cudnn = row.get('device') == 'gpu' and row.get('dtype') != 'float32'
    present = 'cudnn' if is_cudnn else 'dot_product_attention'
  return row | {'backend': present}


def whole(rows: Sequence[Row]) -> list[Row]:
  """Leave out the writes of cells that were cut short: they have fewer rows than each row says."""
  count: dict[tuple[str, float], int] = {}
  for row in rows:
    count[row['cell'], row['time']] = count.get((row['cell'], row['time']), 0) + 1
  return [row for row in rows if count[row['cell'], row['time']] >= row.get('rows', 0)]


def keep_largest(rows: Sequence[Row], group: str, column: str) -> list[Row]:
  """Keep, of each value of `group`, the rows with the largest value of `column`."""
  largest: dict[Any, float] = {}
  for row in rows:
    largest[row[group]] = max(row[column], largest.get(row[group], row[column]))
  return [row for row in rows if row[column] == largest[row[group]]]


def take(rows: Iterable[Row], experiment: str, metric: str, **columns: Any) -> list[Row]:
  """Return the rows with a number, of an experiment and metric, whose columns equal the values."""
  return [
    row
    for row in rows
    if (row['experiment'], row['metric']) == (experiment, metric)
    and row.get('value') is not None
    and all(row.get(name) == value for name, value in columns.items())
  ]


def of(rows: Iterable[Row], *architectures: str) -> list[Row]:
  return [row for row in rows if row.get('architecture') in architectures]


def at(rows: Iterable[Row], **columns: Any) -> list[Row]:
  return [row for row in rows if all(row.get(name) == value for name, value in columns.items())]


def values(rows: Iterable[Row], column: str) -> list[Any]:
  """Return the different values of a column in their order."""
  return sorted({row[column] for row in rows if row.get(column) is not None})


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
  """Return the rows by a key, in the order of first appearance."""
  found: dict[Any, list[Row]] = {}
  for row in rows:
    found.setdefault(key(row), []).append(row)
  return found


def regimes(rows: Iterable[Row], *columns: str) -> list[list[Row]]:
  """Return rows of one size and data type together, and of one value of each further column; missing ones last.

  A row is of the type that attention has in its cell, where there is attention.
  """
  every = list(rows)
  attention = {row.get('cell'): row.get('dtype') for row in of(every, TRANSFORMER)} | {None: None}
  dtype = lambda row: attention.get(row.get('cell')) or row.get('dtype')
  groups = grouped(every, lambda row: (row.get('size'), dtype(row), *(row.get(name) for name in columns)))
  return [groups[key] for key in sorted(groups, key=lambda key: [(value is None, value or 0) for value in key])]


def repeats(row: Row) -> list[float]:
  """Return the rounds of a timing, or its only number."""
  return row.get('samples') or [row['value']]


def series(row: Row) -> str:
  """Return architecture and backend, which a curve belongs to."""
  return ' '.join(filter(None, (row.get('architecture'), row.get('backend'))))


def chosen_on_validation(rows: Iterable[Row], *columns: str) -> list[Row]:
  """Keep, of each group, the rows of the setting that was best on validation, without diverged trials."""
  kept = []
  for group in grouped(rows, lambda row: tuple(row.get(name) for name in columns)).values():
    best = max(validation(row) for row in group)
    kept += [row for row in group if validation(row) == best > -float('inf')]
  return kept


def validation(row: Row) -> float:
  """Return the score of validation, more is better; minus infinity where a trial diverged."""
  score = row.get('selection', 0.0)
  return -float('inf') if score is None else score
