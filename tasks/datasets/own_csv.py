"""Read the user's own CSV file of numbers, with dates or without; name the place of anything unreadable."""

import collections
import csv
import datetime
import io
import itertools
import logging
import math
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from seqmodels.errors import InputError, unknown
from tasks.datasets import files

log = logging.getLogger('seqmodels')

MISSING = ('refuse', 'forward')
EMPTY = ('', 'nan', 'na', 'n/a', 'null', 'none', '?', '-')  # what stands for no value, in any case
DATE_NAMES = ('date', 'datetime', 'date_time', 'time', 'timestamp', 'ds', 'day', 'month', 'year')
DELIMITERS = ',;\t'
EXAMPLES = '2016-07-01 or 2016-07-01 13:00:00'
# Between two rows: steps of a season, the shortest first.
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)


@dataclass(frozen=True)
class Table:
  """Hold `values` in the order of the dates; `periods`: steps of a season by the dates, (1,) without."""

  path: pathlib.Path
  names: tuple[str, ...]
  values: Float64[np.ndarray, 't n']
  periods: tuple[int, ...]

  def say_constant(self, rows: int) -> None:
    """Log the columns that do not change within the first rows, which cannot be scaled."""
    train = self.values[:rows]
    for name, lowest, highest in zip(self.names, train.min(axis=0), train.max(axis=0), strict=True):
      if lowest == highest:
        log.warning('%s: column %r is %g in all %d training rows; it is shifted to 0', self.path, name, lowest, rows)


class Row(NamedTuple):
  line: int
  cells: list[str]


def load(paths: Sequence[pathlib.Path], date: str = 'auto', columns: str = '', missing: str = 'refuse') -> Table:
  """Read one CSV file: a header or none, one row a time step, cells parted by commas, semicolons or tabs.

  Args:
    paths: exactly one file.
    date: the column of dates, which order the rows; auto: one that is called so or looks so; none: rows are in order.
    columns: the columns to forecast, joined by `+`; '': all but the dates.
    missing: refuse missing values, or take the value before (forward).

  Raises:
    InputError: with line and column, for what is no table of numbers.
  """
  if len(paths) != 1:
    raise InputError(f'task.dataset matches {len(paths)} files ({files.listed(paths)}); a table is one file')
  path = paths[0]
  header, rows = _read(path)
  dates = _date_column(path, header, rows, date)
  if dates is not None:
    rows, periods = _ordered(path, header[dates], rows, dates)
  else:
    periods = (1,)
  chosen = _chosen(header, dates, columns)
  values = np.array([[_number(path, row, header, column) for column in chosen] for row in rows])
  names = tuple(header[column] for column in chosen)
  return Table(path, names, _filled(path, rows, names, values, missing), periods)


def _read(path: pathlib.Path) -> tuple[list[str], list[Row]]:
  """Return the columns' names and the rows, each with its line."""
  text = files.decode(path, files.read_bytes(path))
  if not text.strip():
    raise InputError(f'{path} is empty; a table with a row for each time step is needed')
  first = text.lstrip().partition('\n')[0]
  delimiter = max(DELIMITERS, key=first.count)
  reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter, strict=True)
  try:
    rows = [Row(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
  except csv.Error as error:
    raise InputError(f'{path} line {reader.line_num} is no CSV: {error}') from error
  blank = [row.line for row in rows if not any(row.cells)]
  last = next(row.line for row in reversed(rows) if any(row.cells))
  inside = sum(line < last for line in blank)
  if inside:
    log.warning('%s: %d empty lines are left out, the first is line %d', path, inside, blank[0])
  rows = [row for row in rows if any(row.cells)]
  header = _header(path, rows[0])
  if header is None:
    header = [f'column {i + 1}' for i in range(len(rows[0].cells))]
  else:
    rows = rows[1:]
  if not rows:
    raise InputError(f'{path} has a header and no rows')
  for row in rows:
    if len(row.cells) != len(header):
      raise InputError(f'{path} line {row.line} has {len(row.cells)} cells instead of {len(header)}')
  return header, rows


def _header(path: pathlib.Path, row: Row) -> list[str] | None:
  """Return the names in the first row; None if it holds values already. Raises InputError where it has both."""
  if all(_is_value(cell) for cell in row.cells):
    return None
  for column, cell in enumerate(row.cells, 1):
    # A whole number may be a name: 2019.
    if cell.lower() not in EMPTY and _is_value(cell) and not cell.isdecimal():
      wrong = next((i, c) for i, c in enumerate(row.cells, 1) if not _is_value(c))
      raise InputError(
        f'{path} line {row.line} is neither a header nor values: column {column} is {cell!r}, column {wrong[0]} '
        f'{wrong[1]!r}'
      )
  names = [cell or f'column {i + 1}' for i, cell in enumerate(row.cells)]
  twice = [name for name, number in collections.Counter(names).items() if number > 1]
  if twice:
    raise InputError(f'{path} names the column {twice[0]!r} twice in its header')
  return names


def _is_value(cell: str) -> bool:
  return cell.lower() in EMPTY or _float(cell) is not None or _date(cell) is not None


def _float(cell: str) -> float | None:
  """Return a finite number; None for anything else, and for digits with underscores (1_000)."""
  try:
    value = float(cell)
  except ValueError:
    return None
  return value if math.isfinite(value) and '_' not in cell else None


def _date(cell: str) -> Any:
  """Return a number (a year, seconds) or the time of an ISO date; None for anything else."""
  number = _float(cell)
  if number is not None:
    return number
  try:
    return datetime.datetime.fromisoformat(cell.replace('/', '-'))
  except ValueError:
    return None


def _date_column(path: pathlib.Path, header: list[str], rows: list[Row], date: str) -> int | None:
  if date == 'none':
    return None
  if date != 'auto':
    if date not in header:
      raise unknown(f'task.date of {path.name}', date, ('auto', 'none', *header))
    return header.index(date)
  named = [i for i, name in enumerate(header) if name.lower() in DATE_NAMES]
  if named:
    return named[0]
  # Without such a name: the first column that holds dates, not numbers.
  cells = rows[0].cells
  return next((i for i, cell in enumerate(cells) if isinstance(_date(cell), datetime.datetime)), None)


def _ordered(path: pathlib.Path, name: str, rows: list[Row], column: int) -> tuple[list[Row], tuple[int, ...]]:
  """Return the rows in the order of their dates, and the periods that follow from the step between them."""
  dates = [_date(row.cells[column]) for row in rows]
  for row, found in zip(rows, dates, strict=True):
    if found is None:
      raise InputError(
        f'{path} line {row.line}, column {name!r}: {row.cells[column]!r} is not a date such as {EXAMPLES}'
      )
  try:
    order = sorted(range(len(rows)), key=lambda i: dates[i])
  except TypeError as error:
    raise InputError(f'{path}, column {name!r}: dates of different kinds (with and without a time zone)') from error
  moved = sum(a > b for a, b in itertools.pairwise(dates))
  if moved:
    log.warning('%s: rows are sorted by %r; in %d places a date came before the one above it', path, name, moved)
  for a, b in itertools.pairwise(order):
    if dates[a] == dates[b]:
      text = rows[a].cells[column]
      raise InputError(f'{path} lines {rows[a].line} and {rows[b].line} have the same {name}: {text!r}')
  steps = [dates[b] - dates[a] for a, b in itertools.pairwise(order)]
  rows = [rows[i] for i in order]
  return rows, _periods(path, rows, steps)


def _periods(path: pathlib.Path, rows: list[Row], steps: list[Any]) -> tuple[int, ...]:
  if not steps or not isinstance(steps[0], datetime.timedelta):
    return (1,)
  usual = collections.Counter(steps).most_common(1)[0][0]
  if 28 * DAY <= usual <= 31 * DAY:  # months
    return (12,)
  irregular = [row.line for row, step in zip(rows, steps, strict=False) if step != usual]
  if irregular:
    log.warning(
      '%s: %d of %d steps between rows are not %s, the first after line %d; rows count as evenly spaced',
      path, len(irregular), len(steps), usual, irregular[0],
    )  # fmt: skip
  if usual <= HOUR and DAY % usual == datetime.timedelta(0):
    return (DAY // usual, 7 * DAY // usual)
  return {DAY: (7,), 7 * DAY: (52,)}.get(usual, (1,))


def _chosen(header: list[str], dates: int | None, columns: str) -> list[int]:
  names = columns.split('+') if columns else [name for i, name in enumerate(header) if i != dates]
  for name in names:
    if name not in header:
      raise unknown('task.columns', name, header)
    if header.index(name) == dates:
      raise InputError(f'task.columns={columns!r}: {name!r} is the column of dates; task.date=none makes it a number')
  if not names:
    raise InputError(f'task.dataset has no column beside {header[dates or 0]!r}, the dates')
  return [header.index(name) for name in names]


def _number(path: pathlib.Path, row: Row, header: list[str], column: int) -> float:
  cell = row.cells[column]
  value = _float(cell)
  if value is not None:
    return value
  if cell.lower() in EMPTY:
    return math.nan
  shown = cell if len(cell) <= 40 else f'{cell[:40]}…'
  raise InputError(
    f'{path} line {row.line}, column {header[column]!r}: {shown!r} is not a finite number; task.columns=A+B leaves '
    'columns out'
  )


def _filled(
  path: pathlib.Path, rows: list[Row], names: tuple[str, ...], values: np.ndarray, missing: str
) -> np.ndarray:
  """Return the values without gaps. Raises InputError for gaps that are not to be filled, or have no value before."""
  gaps = np.isnan(values)
  if not gaps.any():
    return values
  row, column = np.argwhere(gaps)[0]
  number, where = int(gaps.sum()), f'{int(gaps.any(axis=0).sum())} columns'
  if missing == 'refuse':
    raise InputError(
      f'{path} line {rows[row].line}, column {names[column]!r} has no value, the first of {number} missing in {where}; '
      'task.missing=forward takes the value before'
    )
  if gaps[0].any():
    first = names[int(np.argmax(gaps[0]))]
    raise InputError(f'{path} line {rows[0].line}, column {first!r} has no value, and none before it to take')
  log.warning('%s: %d missing values in %s take the value before', path, number, where)
  last = np.maximum.accumulate(np.where(gaps, 0, np.arange(len(values))[:, None]), axis=0)
  return np.take_along_axis(values, last, axis=0)
