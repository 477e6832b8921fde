"""Signals in training: noted, so that the state is saved at the next step, instead of ending the process."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SAME_SIGNAL = 0.2  # seconds: a terminal and a job queue may both pass one Ctrl-C on
POLL_SECONDS = 0.1
COMPILING = 'compiling'  # the name of the threads of `polled`


class Stop:
  """While entered, SIGTERM and SIGINT do not end the process: `signal` says that one has come.

  A second one ends it at once. Signals that the parent process ignores stay ignored.
  """

  def __init__(self) -> None:
    self.signal: signal.Signals | None = None
    self._time = 0.0

  def __enter__(self) -> 'Stop':
    numbers = [number for number in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(number) != signal.SIG_IGN]
    self._before = {number: signal.signal(number, self._note) for number in numbers}
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if self.signal is None:
      self.signal, self._time = signal.Signals(number), now
    elif now - self._time > SAME_SIGNAL:
      os.write(2, b'\nsecond signal: stopped at once, without saving\n')
      os._exit(128 + number)


def polled(call: Callable[[], Any], poll: Callable[[], None]) -> Any:
  """Return `call()`, run in a thread, while the caller's calls `poll` every POLL_SECONDS.

  A compiler lets no signal handler of its thread run, and may take minutes. What `poll` raises leaves `call` alone;
  then `is_compiling` until it ends.
  """
  results: list[Any] = []
  errors: list[BaseException] = []
  done = threading.Event()

  def run() -> None:
    try:
      results.append(call())
    except BaseException as error:
      errors.append(error)
    finally:
      done.set()

  threading.Thread(target=run, name=COMPILING, daemon=True).start()
  while not done.wait(POLL_SECONDS):
    poll()
  if errors:
    raise errors[0]
  return results[0]


def is_compiling() -> bool:
  """Return whether a call that was left alone is still at work: the interpreter must not be shut down under it."""
  return any(thread.name == COMPILING for thread in threading.enumerate())


@contextlib.contextmanager
def leaving() -> Iterator[None]:
  """End the process at once for a SystemExit inside, where an evaluation that a signal has ended is still at work."""
  try:
    yield
  except SystemExit as stopped:
    if is_compiling():
      code = stopped.code
      if not isinstance(code, int | None):  # what the interpreter does with it
        print(code, file=sys.stderr)
        code = 1
      for stream in (sys.stdout, sys.stderr):
        stream.flush()
      os._exit(code or 0)
    raise
