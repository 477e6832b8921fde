"""metrics.jsonl, TensorBoard and the progress line.

metrics.jsonl has one row a logged step and split: {"step": …, "split": …, name: value}. It holds nothing that depends
on time, so that a resumed run ends with the same bytes as one never interrupted; throughput goes to TensorBoard and to
the progress line.
"""

import contextlib
import json
import logging
import math
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import tqdm
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from seqmodels.errors import InputError
from training import files

log = logging.getLogger('seqmodels')

Row = dict[str, Any]
LINE_SECONDS = 5.0  # between two progress lines where there is no terminal
FLUSH_SECONDS = 30.0  # between two flushes of TensorBoard's file


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
    row: Row = {'step': step, 'split': split}
    row |= {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
    self.rows.append(row)
    return row

  def board(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """Take what depends on time, for TensorBoard alone."""

  def row(self, step: int, split: str) -> Row | None:
    """Return the row of a step and split, if it has been written."""
    return next((row for row in reversed(self.rows) if row['step'] == step and row['split'] == split), None)

  def sync(self) -> None:
    """Wait until the rows are on disk: a checkpoint must never be newer than its metrics."""

  def close(self) -> None:
    """Close the files."""


class MetricsWriter(Metrics):
  """Rows in metrics.jsonl and TensorBoard. Opening it drops what lies after `last_step`.

  Lines that cannot be read go to metrics.damaged.jsonl, and are logged. expected: how many rows the checkpoint of
  `last_step` was saved with; fewer are logged. Raises WriteError.
  """

  def __init__(self, workdir: pathlib.Path, last_step: int, expected: int = 0) -> None:
    super().__init__()
    self._path = workdir / 'metrics.jsonl'
    rows, damaged = parse_rows(self._path)
    self.rows = [row for row in rows if row['step'] <= last_step]
    if damaged:
      aside = workdir / 'metrics.damaged.jsonl'
      with files.writing(aside), aside.open('ab') as file:
        file.write(b''.join(line + b'\n' for line in damaged.values()))
      lines = ', '.join(map(str, damaged))
      log.warning('%s: line %s cannot be read and is kept in %s', self._path, lines, aside.name)
    if len(self.rows) < expected:
      log.warning('%s has %d rows up to step %d; %d were written', self._path, len(self.rows), last_step, expected)
    files.write_text(self._path, ''.join(json.dumps(row) + '\n' for row in self.rows))
    with files.writing(self._path):
      self._file = self._path.open('a', encoding='utf-8')
    self._board = Board(workdir / 'tensorboard', purge_step=last_step)
    for row in self.rows:
      if row['step'] == last_step:  # what a killed process may not have flushed: all before is in the older files
        self._write_to_board(row)

  def write(self, step: int, split: str, values: Mapping[str, float]) -> Row:
    row = super().write(step, split, values)
    with files.writing(self._path):
      self._file.write(json.dumps(row) + '\n')
      self._file.flush()
    self.board(step, split, values)
    return row

  def _write_to_board(self, row: Row) -> None:
    values = {name: value for name, value in row.items() if name not in ('step', 'split')}
    self.board(row['step'], row['split'], {name: math.nan if v is None else v for name, v in values.items()})

  def board(self, step: int, split: str, values: Mapping[str, float]) -> None:
    for name, value in values.items():
      self._board.add(f'{split}/{name}', float(value), step)

  def sync(self) -> None:
    with files.writing(self._path):
      os.fsync(self._file.fileno())
    self._board.flush()

  def close(self) -> None:
    with files.writing(self._path):
      self._file.close()
    self._board.close()


class Board:
  """A TensorBoard event file, written in the caller's thread so that what goes wrong is known here.

  TensorBoard hides what older files of the folder hold from `purge_step` on.
  """

  def __init__(self, folder: pathlib.Path, purge_step: int) -> None:
    self._folder = folder
    with files.writing(folder):
      folder.mkdir(parents=True, exist_ok=True)
      # Without a suffix of its own, a run started again within a second would overwrite the file before.
      self._events = EventsWriter(str(folder / 'events'), f'.{time.time_ns()}')
      start = SessionLog(status=SessionLog.START)
      self._events.write_event(Event(step=purge_step, wall_time=time.time(), session_log=start))
    self._flushed = time.monotonic()

  def add(self, tag: str, value: float, step: int) -> None:
    with files.writing(self._folder):
      self._events.write_event(Event(step=step, wall_time=time.time(), summary=scalar(tag, value)))
    if time.monotonic() - self._flushed > FLUSH_SECONDS:
      self.flush()

  def flush(self) -> None:
    """Write everything to the disk."""
    with files.writing(self._folder):
      self._events.flush()
    self._flushed = time.monotonic()

  def close(self) -> None:
    with files.writing(self._folder):
      self._events.close()


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
  """Return the row of a line, if it is one: a step, a split, and numbers or null."""
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
    return None
  if not isinstance(row, dict) or not isinstance(row.get('split'), str):
    return None
  numbers = [value for name, value in row.items() if name != 'split']
  if not all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in numbers):
    return None
  step = row.get('step')
  return row if isinstance(step, int) and step >= 0 else None


class Progress:
  """Step, loss, tokens/s and time left: a bar on a terminal, else a line every few seconds.

  Speed is measured from the first update on, so that compilation does not count.
  """

  def __init__(self, first: int, steps: int, tokens: int) -> None:
    self._steps, self._tokens = steps, tokens
    bar = has_terminal(sys.stderr)
    self._bar = tqdm.tqdm(total=steps, initial=first, unit='step', dynamic_ncols=True) if bar else None
    self._begun: tuple[int, float] | None = None  # step and time
    self._last = (first, 0.0)
    self._printed = 0.0

  def tick(self, step: int) -> None:
    """Move the bar to a step that may still be running; it is drawn a few times a second."""
    if self._bar is not None:
      self._bar.update(step - self._bar.n)

  def update(self, step: int, loss: float) -> float | None:
    """Show a logged step; return the tokens a second since the last one, if there was one."""
    now = time.monotonic()
    before, self._last = self._last, (step, now)
    if self._begun is None:
      self._begun = self._last
    rate = None
    speed = ''
    if step > self._begun[0]:
      rate = (step - before[0]) * self._tokens / max(now - before[1], 1e-9)
      left = (now - self._begun[1]) / (step - self._begun[0]) * (self._steps - step)
      speed = f'  {rate:,.0f} tokens/s  {clock(left)} left'
    if self._bar is not None:
      self._bar.set_postfix_str(f'loss {loss:.4f}{speed}', refresh=False)
    elif now - self._printed > LINE_SECONDS or step == self._steps:
      self._printed = now
      log.info(f'step {step}/{self._steps}  loss {loss:.4f}{speed}')
    return rate

  def pause(self) -> None:
    """Leave out the time since the last update: it was not spent on training."""
    if self._begun is not None:
      now = time.monotonic()
      self._begun = (self._begun[0], self._begun[1] + now - self._last[1])
      self._last = (self._last[0], now)

  def close(self) -> None:
    if self._bar is not None:
      self._bar.close()


def has_terminal(stream: Any) -> bool:
  """Return whether `stream` is a terminal that says how large it is: tqdm draws nothing in 0 columns or rows."""
  try:
    return stream.isatty() and min(os.get_terminal_size(stream.fileno())) > 0
  except (OSError, ValueError, AttributeError):
    return False


def clock(seconds: float) -> str:
  """Return 1:02:03, or 2:03."""
  minutes, seconds = divmod(max(0, round(seconds)), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
