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


def start(seconds: int, grace: int = 0) -> None:
  """Set the limit of this process, and begin to watch; it ends `grace` seconds later than the limit."""
  global _seconds  # noqa: PLW0603
  _seconds = seconds
  threading.Thread(target=_watch, args=(grace,), name='io_timeout', daemon=True).start()


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


def _watch(grace: int) -> NoReturn:
  while True:
    time.sleep(0.2)
    now = time.monotonic()
    for deadline, name in list(_waits):
      if now > deadline + grace:
        where = 'here or in another process of this run'
        os.write(2, f'error: --io_timeout={_seconds}: {name} takes longer, {where}\n'.encode())
        os._exit(1)
