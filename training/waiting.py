"""A limit on how long the processes of a run wait for one that hangs while it reads or writes files. Imports no JAX.

A process that hangs in a file system still answers the others' heartbeats, so that they would wait for ever. A thread
watches what is `within` the limit, in the process that reads or writes and in those that wait for it, and ends the
process with one line where it takes longer. A run of one process has no limit: nothing waits for it.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

T = TypeVar('T')
IO_TIMEOUT = 1800  # seconds
_waits: list[tuple[float, str]] = []  # deadlines by `time.monotonic`, and what must have ended by then
_seconds = 0  # 0: no limit


def start(seconds: int, *, has_grace: bool = False) -> None:
  """Set the limit of this process, and begin to watch. has_grace: it ends a tenth later, or 2 seconds."""
  global _seconds  # noqa: PLW0603
  _seconds = seconds
  threading.Thread(target=_watch, args=(has_grace,), name='io_timeout', daemon=True).start()


@contextlib.contextmanager
def within(name: str) -> Iterator[None]:
  """End this process with one line, which says `name`, unless the block ends within the limit."""
  if not _seconds:
    yield
    return
  wait = (time.monotonic() + _seconds, name)
  _waits.append(wait)
  try:
    yield
  finally:
    _waits.remove(wait)


def each(name: str, items: Iterable[T]) -> Iterator[T]:
  """Yield the items, each of which must come within the limit."""
  iterator = iter(items)
  while True:
    with within(name):
      try:
        item = next(iterator)
      except StopIteration:
        return
    yield item


def _watch(has_grace: bool) -> NoReturn:
  while True:
    time.sleep(0.2)
    if name := _late(time.monotonic(), has_grace=has_grace):
      where = 'here or in another process of this run'
      os.write(2, f'error: --io_timeout={_seconds}: {name} takes longer, {where}\n'.encode())
      os._exit(1)


def _late(now: float, *, has_grace: bool) -> str:
  """Return the name of what should have ended by now; '' where there is none."""
  grace = max(2, _seconds // 10) if has_grace else 0
  return next((name for deadline, name in list(_waits) if now > deadline + grace), '')
