"""End the process at SIGINT and SIGTERM: one line on stderr, exit code 128 + the signal's number, at any moment.

A KeyboardInterrupt is not enough. Raised during an import or in a callback it is swallowed or blamed on whatever was
running, and while the main thread compiles it is not raised at all. So the signals get a handler that leaves the
process, and a thread that does the same where the main thread does not come to run the handler.

Code that installs handlers of its own, as the training loop does to save its state, is left alone while they stand.

`_signal` and `_thread` are what `signal` and `threading` are made of. These import `enum` and others, 30 ms in which a
signal would find no handler yet (Python 3.11); the built-in modules take none.
"""

import _signal
import _thread
import os
import sys
import time

SIGNALS = (_signal.SIGINT, _signal.SIGTERM)
GRACE = 0.3  # seconds that the main thread has to flush stdout and leave by itself

hint = ''  # what follows `interrupted` on its line: the command that goes on
begun: float | None = None  # when the process began, by `time.monotonic`, if `install` has been called

_said = _thread.allocate_lock()


def install() -> None:
  """Handle both signals from now on. Signals that the parent process ignores (nohup) stay ignored."""
  global begun  # noqa: PLW0603
  begun = time.monotonic()
  for number in SIGNALS:
    if _signal.getsignal(number) != _signal.SIG_IGN:
      _signal.signal(number, _leave)
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
  _thread.start_new_thread(_watch, (reader,))


def _leave(number: int, frame: object = None) -> None:
  """Print `interrupted` and end the process, without the clean-up that threads of JAX would crash in."""
  del frame
  _say()
  try:  # noqa: SIM105  (contextlib is not imported yet)
    sys.stdout.flush()
  except (OSError, RuntimeError, ValueError):  # closed, or interrupted in the middle of a write
    pass
  os._exit(128 + number)


def _watch(reader: int) -> None:
  """Leave on behalf of a main thread that is busy in a library."""
  while True:
    for number in os.read(reader, 1):
      if _signal.getsignal(number) is _leave:
        time.sleep(GRACE)
        _say()
        os._exit(128 + number)


def _say() -> None:
  if _said.acquire(blocking=False):
    os.write(2, f'interrupted{hint}\n'.encode(errors='replace'))
