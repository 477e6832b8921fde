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
from tensorboardX import SummaryWriter

from seqmodels.errors import InputError

log = logging.getLogger('seqmodels')

Row = dict[str, Any]
LINE_SECONDS = 5.0  # between two progress lines where there is no terminal


@contextlib.contextmanager
def held() -> Iterator[list[logging.LogRecord]]:
  """Keeps back what is logged inside; the records are given to whoever asked, for `log.handle`."""
  records: list[logging.LogRecord] = []

  def keep(record: logging.LogRecord) -> bool:
    records.append(record)
    return False

  log.addFilter(keep)
  try:
    yield records
  finally:
    log.removeFilter(keep)


class MetricsWriter:
  """Appends rows to metrics.jsonl and TensorBoard. Opening it drops what lies after `last_step`."""

  def __init__(self, workdir: pathlib.Path, last_step: int) -> None:
    self._path = workdir / 'metrics.jsonl'
    self.rows = [row for row in read_rows(self._path) if row['step'] <= last_step]
    self._rewrite()
    self._file = self._path.open('a')
    self._board = SummaryWriter(str(workdir / 'tensorboard'), purge_step=last_step + 1, flush_secs=30)

  def write(self, step: int, split: str, values: Mapping[str, float]) -> Row:
    """One row. A value that is not finite is written as null: JSON has no word for it."""
    numbers = {name: float(value) for name, value in values.items()}
    row: Row = {'step': step, 'split': split}
    row |= {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    self.rows.append(row)
    self._file.write(json.dumps(row) + '\n')
    self._file.flush()
    self.board(step, split, numbers)
    return row

  def board(self, step: int, split: str, values: Mapping[str, float]) -> None:
    """To TensorBoard alone: what depends on time."""
    for name, value in values.items():
      self._board.add_scalar(f'{split}/{name}', value, step)

  def row(self, step: int, split: str) -> Row | None:
    """The row of a step and split, if it has been written."""
    return next((row for row in reversed(self.rows) if row['step'] == step and row['split'] == split), None)

  def sync(self) -> None:
    """Until the rows are on disk: a checkpoint must never be newer than its metrics."""
    os.fsync(self._file.fileno())

  def close(self) -> None:
    self._file.close()
    self._board.close()

  def _rewrite(self) -> None:
    temporary = self._path.with_suffix('.partial')
    temporary.write_text(''.join(json.dumps(row) + '\n' for row in self.rows))
    temporary.replace(self._path)


def read_rows(path: pathlib.Path) -> list[Row]:
  """The rows of a JSON Lines file; the last line of a killed process may be partial and is left out."""
  if not path.exists():
    return []
  rows = []
  for line in path.read_text().splitlines():
    try:
      row = json.loads(line)
    except json.JSONDecodeError:
      break
    if not isinstance(row, dict) or 'step' not in row:
      raise InputError(f'{path} is damaged: {line[:60]!r} is not a row with a step')
    rows.append(row)
  return rows


class Progress:
  """Step, loss, tokens/s and time left: a bar on a terminal, else a line every few seconds.

  Speed is measured from the first update on, so that compilation does not count.
  """

  def __init__(self, first: int, steps: int, tokens: int) -> None:
    self._steps, self._tokens = steps, tokens
    terminal = sys.stderr.isatty()
    self._bar = tqdm.tqdm(total=steps, initial=first, unit='step', dynamic_ncols=True) if terminal else None
    self._begun: tuple[int, float] | None = None  # step and time
    self._last = (first, 0.0)
    self._printed = 0.0

  def update(self, step: int, loss: float) -> float | None:
    """Shows a logged step; returns the tokens a second since the last one, if there was one."""
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
      self._bar.update(step - self._bar.n)
    elif now - self._printed > LINE_SECONDS or step == self._steps:
      self._printed = now
      log.info(f'step {step}/{self._steps}  loss {loss:.4f}{speed}')
    return rate

  def pause(self) -> None:
    """The time since the last update was not spent on training."""
    if self._begun is not None:
      now = time.monotonic()
      self._begun = (self._begun[0], self._begun[1] + now - self._last[1])
      self._last = (self._last[0], now)

  def close(self) -> None:
    if self._bar is not None:
      self._bar.close()


def clock(seconds: float) -> str:
  """1:02:03, or 2:03."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
