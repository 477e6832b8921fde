"""The goodput ledger: where the time of a run went, in goodput.jsonl, summed over its processes. Imports no JAX.

Two kinds of rows, appended and never changed:

  {"start": step, "time": …, "host": …, "pid": …}         a process begins, from the checkpoint of that step
  {"steps": [from, to], "seconds": {kind: seconds, …}, "time": …}   its time since the row before

Every moment of a process belongs to one kind. A row ends at every checkpoint, so that the steps of a killed process
that its successor repeats are known: their time counts as lost.
"""

import contextlib
import json
import os
import pathlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from seqmodels.errors import InputError
from training import files
from training.waiting import within

NAME = 'goodput.jsonl'
START_UP, COMPILE, DATA, STEP, SAVE, EVALUATION = 'start-up', 'compile', 'data wait', 'step', 'save', 'evaluation'
KINDS = (START_UP, COMPILE, DATA, STEP, SAVE, EVALUATION)
LOST = 'lost steps'
REPEATED = (DATA, STEP, EVALUATION)  # lost with the steps they belong to
ROW_SECONDS = 30.0  # a row at least so often: a process that is killed loses the time since the last


class Ledger:
  """Account every moment to one kind: `switch` ends one interval and begins the next.

  Rows are kept back until `open` names the folder. From then on a thread writes one every ROW_SECONDS, also while the
  caller waits for a compiler.

  Args:
    begun: when the process began, by `time.monotonic`; None: now.
  """

  def __init__(self, begun: float | None = None) -> None:
    self.kind, self.step = START_UP, 0
    self._since = time.monotonic() if begun is None else begun
    self._first = 0  # step of the row before
    self._seconds: dict[str, float] = {}
    self._lock = threading.Lock()
    self._path: pathlib.Path | None = None
    self._file: Any = None
    self._end = threading.Event()

  def switch(self, kind: str) -> float:
    """Go on with `kind`; return the seconds since the last switch."""
    with self._lock:
      seconds = self._account()
      self.kind = kind
    return seconds

  @contextlib.contextmanager
  def during(self, kind: str) -> Iterator[None]:
    """Account what happens inside to `kind`, then go on with the kind before."""
    before = self.kind
    self.switch(kind)
    try:
      yield
    finally:
      self.switch(before)

  def open(self, folder: pathlib.Path, step: int) -> None:
    """Write to the ledger of `folder` from now on; the process begins at `step`. Raises WriteError."""
    self._path, self.step, self._first = folder / NAME, step, step
    with within(f'opening {NAME}'):
      self._file = files.open_to_append(self._path)
    start = {'start': step, 'time': time.time(), 'host': socket.gethostname(), 'pid': os.getpid()}
    self._write(json.dumps(start))
    threading.Thread(target=self._write_regularly, name='goodput', daemon=True).start()

  def flush(self) -> None:
    """Write the time since the last row. Raises WriteError."""
    with self._lock:
      self._account()
      if self._file is None or not self._seconds:
        return
      seconds = {kind: round(value, 6) for kind, value in self._seconds.items()}
      row = {'steps': [self._first, self.step], 'seconds': seconds, 'time': round(time.time(), 3)}
      self._first, self._seconds = self.step, {}
      self._write(json.dumps(row))

  def close(self) -> None:
    """Write the last row and close the file. Raises WriteError."""
    self._end.set()
    try:
      self.flush()
    finally:
      with self._lock:
        if self._file is not None:
          file, self._file = self._file, None
          with within(f'closing {NAME}'), files.writing(str(self._path)):
            file.close()

  def _account(self) -> float:
    now = time.monotonic()
    seconds, self._since = now - self._since, now
    self._seconds[self.kind] = self._seconds.get(self.kind, 0.0) + seconds
    return seconds

  def _write(self, line: str) -> None:
    with within(f'writing {NAME}'), files.writing(str(self._path)):
      self._file.write(line + '\n')
      self._file.flush()

  def _write_regularly(self) -> None:
    while not self._end.wait(ROW_SECONDS):
      with contextlib.suppress(files.WriteError):  # the next row of the loop's own thread says it
        self.flush()


class Goodput(NamedTuple):
  """The sums of a ledger: seconds by kind, lost steps among them, over all processes of a run."""

  seconds: dict[str, float]
  processes: int
  step: int  # the furthest
  lost_steps: int
  damaged: int  # lines that cannot be read

  @property
  def total(self) -> float:
    return sum(self.seconds.values())

  @property
  def useful(self) -> float:
    """Return the share of the time that went into steps that were kept."""
    return self.seconds[STEP] / self.total if self.total else 0.0


def read(path: pathlib.Path) -> Goodput:
  """Return the sums of a ledger; lines that cannot be read, such as a torn last one, are left out and counted.

  InputError if there is no such file.
  """
  try:
    lines = path.read_bytes().split(b'\n')
  except OSError as error:
    raise InputError(f'{path} cannot be read: {files.reason(error)}') from error
  found = [(_row(line), line) for line in lines if line.strip()]
  return summed([row for row, _ in found if row is not None])._replace(damaged=sum(row is None for row, _ in found))


def summed(rows: list[dict[str, Any]]) -> Goodput:
  """Return the sums of a ledger's rows, in the order in which they were written."""
  kept: list[tuple[int, int, dict[str, float]]] = []  # rows that nothing has taken back yet
  lost, lost_steps, processes, furthest = 0.0, 0, 0, 0
  for row in rows:
    if 'start' not in row:
      kept.append((*row['steps'], dict(row['seconds'])))
      furthest = max(furthest, row['steps'][1])
      continue
    processes += 1
    reached = max((end for _, end, _ in kept), default=row['start'])
    lost_steps += max(0, reached - row['start'])
    for i, (first, end, seconds) in enumerate(kept):
      if end <= row['start']:
        continue
      share = (end - max(first, row['start'])) / (end - first) if end > first else 1.0
      for kind in REPEATED:
        lost += share * seconds.get(kind, 0.0)
        seconds[kind] = (1 - share) * seconds.get(kind, 0.0)
      kept[i] = (min(first, row['start']), row['start'], seconds)
  total = {kind: sum(seconds.get(kind, 0.0) for *_, seconds in kept) for kind in KINDS}
  return Goodput(total | {LOST: lost}, processes, furthest, lost_steps, 0)


def _row(line: bytes) -> dict[str, Any] | None:
  """Return the row of a line, if it is one."""
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):
    return None
  if not isinstance(row, dict):
    return None
  if 'start' in row:
    return row if _is_count(row['start']) else None
  steps, seconds = row.get('steps'), row.get('seconds')
  if not (isinstance(steps, list) and len(steps) == 2 and all(map(_is_count, steps)) and steps[0] <= steps[1]):
    return None
  if not isinstance(seconds, dict) or not all(isinstance(value, int | float) for value in seconds.values()):
    return None
  return row


def _is_count(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def line(goodput: Goodput) -> str:
  """Return the last line of a run: the share of useful time, then where the rest went."""
  rest = {kind: value for kind, value in goodput.seconds.items() if kind != STEP and value >= 0.005 * goodput.total}
  shares = ', '.join(f'{kind} {value / goodput.total:.0%}' for kind, value in rest.items())
  processes = f'{goodput.processes} process' + ('es' if goodput.processes != 1 else '')
  text = f'goodput {goodput.useful:.1%} of {words(goodput.total)} in {processes}'
  return f'{text}; the rest: {shares}' if shares else text


def table(goodput: Goodput) -> str:
  """Return the table of --mode=report."""
  rows = [*goodput.seconds.items(), ('total', goodput.total)]
  width, right = max(len(name) for name, _ in rows), max(len(words(value)) for _, value in rows)
  share = lambda value: value / (goodput.total or 1.0)
  lines = [f'  {name:<{width}}  {words(value):>{right}}  {share(value):>6.1%}' for name, value in rows]
  about = f'{goodput.processes} started, step {goodput.step:,} reached, {goodput.lost_steps:,} steps done twice'
  if goodput.damaged:
    about += f'; {goodput.damaged} lines of the ledger cannot be read'
  return '\n'.join([f'Processes: {about}', *lines, f'goodput {goodput.useful:.1%}: the share of steps that were kept'])


def words(seconds: float) -> str:
  """Return 12.3 s, or 1:02:03."""
  if seconds < 60:
    return f'{seconds:.1f} s'
  minutes, rest = divmod(round(seconds), 60)
  return f'{minutes // 60}:{minutes % 60:02}:{rest:02}'
