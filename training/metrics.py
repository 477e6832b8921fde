"""The metrics of a run: rows in memory and in metrics.jsonl, and what else they are written to.

metrics.jsonl has one row a logged step and split: {"step": …, "split": …, name: value}. It holds nothing that depends
on time, so that a resumed run ends with the same bytes as one never interrupted; throughput goes to timings.jsonl, to
the other writers and to the progress line.
"""

import contextlib
import json
import logging
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqmodels.errors import InputError
from training import files
from training.settings import TrainSettings
from training.waiting import within
from training.writers import METRICS, Writer, as_row, open_writers

log = logging.getLogger('seqmodels')
ABOUT = ('overrides', 'data')  # of rows of an evaluation on other data than those of training

Row = dict[str, Any]


@contextlib.contextmanager
def held() -> Iterator[list[logging.LogRecord]]:
  """Keep back what is logged inside; the caller passes the records on with `log.handle`."""
  records: list[logging.LogRecord] = []

  def keep(record: logging.LogRecord) -> bool:
    records.append(record)
    return False

  log.addFilter(keep)
  try:
    yield records
  finally:
    log.removeFilter(keep)


class Metrics:
  """Rows of metrics, in memory."""

  def __init__(self) -> None:
    self.rows: list[Row] = []

  def write(self, step: int, split: str, values: Mapping[str, float]) -> Row:
    """Add a row. A value that is not finite becomes None: JSON has no word for it."""
    self.rows.append(as_row(step, split, values))
    return self.rows[-1]

  def write_timings(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Take what depends on time, for the writers alone."""

  def row(self, step: int, split: str) -> Row | None:
    """Return the row of a step and split, if it has been written."""
    return next((row for row in reversed(self.rows) if row['step'] == step and row['split'] == split), None)

  def sync(self) -> None:
    """Wait until the rows are on disk: a checkpoint must never be newer than its metrics."""

  def close(self) -> None:
    """Close the files."""


class MetricsWriter(Metrics):
  """Rows in metrics.jsonl and the other writers. Opening it drops what lies after `last_step`.

  Lines that cannot be read go to metrics.damaged.jsonl, and are logged. Raises WriteError.

  Args:
    expected: how many rows the checkpoint of `last_step` was saved with; fewer are logged.
    writers: names of `writers.open_writers`.
    config: of the run, for writers that show it.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    last_step: int,
    expected: int = 0,
    writers: Sequence[str] = TrainSettings.writers,
    config: Mapping[str, Any] = {},
  ) -> None:
    super().__init__()
    path = workdir / METRICS
    rows, damaged = parse_rows(path)
    self.rows = [row for row in rows if row['step'] <= last_step]
    if damaged:
      aside = workdir / 'metrics.damaged.jsonl'
      with files.writing(aside), aside.open('ab') as file:
        file.write(b''.join(line + b'\n' for line in damaged.values()))
      lines = ', '.join(map(str, damaged))
      log.warning('%s: line %s cannot be read and is kept in %s', path, lines, aside.name)
    if len(self.rows) < expected:
      log.warning('%s has %d rows up to step %d; %d were written', path, len(self.rows), last_step, expected)
    files.write_text(path, ''.join(json.dumps(row) + '\n' for row in self.rows))
    self._names = tuple(writers)
    self.writers: list[Writer] = open_writers(writers, workdir, last_step, config)
    for row in self.rows:
      if row['step'] == last_step:  # a killed process may not have flushed them: all before is in the older files
        self._repeat(row)

  def write(self, step: int, split: str, values: Mapping[str, float]) -> Row:
    row = super().write(step, split, values)
    with within('writing metrics'):
      for writer in self.writers:
        writer.metrics(step, split, values)
    return row

  def write_timings(self, step: int, split: str, values: Mapping[str, float]) -> None:
    with within('writing timings'):
      for writer in self.writers:
        writer.timings(step, split, values)

  def _repeat(self, row: Row) -> None:
    """Write a row of metrics.jsonl to the other writers."""
    values = {name: value for name, value in row.items() if name not in ('step', 'split')}
    for writer, name in zip(self.writers, self._names, strict=True):
      if name != 'jsonl':
        writer.metrics(row['step'], row['split'], {name: math.nan if v is None else v for name, v in values.items()})

  def sync(self) -> None:
    for writer in self.writers:
      writer.sync()

  def close(self) -> None:
    """Close every writer; what one of them raises is raised when all are closed."""
    with contextlib.ExitStack() as stack:
      for writer in reversed(self.writers):
        stack.callback(writer.close)


def read_rows(path: pathlib.Path) -> list[Row]:
  """Return the rows of a JSON Lines file; lines that cannot be read are left out."""
  return parse_rows(path)[0]


def parse_rows(path: pathlib.Path) -> tuple[list[Row], dict[int, bytes]]:
  """Return the rows of a JSON Lines file, and {line number: line} of those that are no rows.

  The last line of a killed process may be partial and is in neither.
  """
  try:
    data = path.read_bytes()
  except FileNotFoundError:
    return [], {}
  except OSError as error:
    raise InputError(f'{path} cannot be read: {files.reason(error)}') from error
  rows, damaged = [], {}
  *lines, partial = data.split(b'\n')
  for number, line in enumerate(lines, 1):
    row = _row(line)
    if row is not None:
      rows.append(row)
    elif line.strip():
      damaged[number] = line
  if (row := _row(partial)) is not None:  # whole, but for its line end
    rows.append(row)
  return rows, damaged


def _row(line: bytes) -> Row | None:
  """Return the row of a line, if it is one: a step, a split, numbers or null, and what ABOUT names."""
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
    return None
  if not isinstance(row, dict) or not isinstance(row.get('split'), str):
    return None
  if not all(isinstance(row.get(name, {}), dict) for name in ABOUT):
    return None
  numbers = [value for name, value in row.items() if name not in ('split', *ABOUT)]
  if not all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in numbers):
    return None
  step = row.get('step')
  return row if isinstance(step, int) and step >= 0 else None
