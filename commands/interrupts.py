"""End the process at SIGINT and SIGTERM: one line on stderr, exit code 128 + the signal's number, at any moment.

A KeyboardInterrupt is not enough. Raised during an import or in a callback it is swallowed or blamed on whatever was
running, and while the main thread compiles it is not raised at all. So the signals get a handler that leaves the
process, and a thread that does the same where the main thread does not come to run the handler.

Code that installs handlers of its own, as the training loop does to save its state, is left alone while they stand.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 0.3  # seconds that the main thread has to flush stdout and leave by itself

_said = threading.Lock()


def install() -> None:
  """Handle both signals from now on. Signals that the parent process ignores (nohup) stay ignored."""
  for number in SIGNALS:
    if signal.getsignal(number) is not signal.SIG_IGN:
      signal.signal(number, _leave)
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
  threading.Thread(target=_watch, args=(reader,), daemon=True, name='interrupts').start()


def _leave(number: int, frame: FrameType | None = None) -> None:
  """Print `interrupted` and end the process, without the clean-up that threads of JAX would crash in."""
  del frame
  _say()
  with contextlib.suppress(OSError, RuntimeError, ValueError):  # closed, or interrupted in the middle of a write
    sys.stdout.flush()
  os._exit(128 + number)


def _watch(reader: int) -> None:
  """Leave on behalf of a main thread that is busy in a library."""
  while True:
    for number in os.read(reader, 1):
      if signal.getsignal(number) is _leave:
        time.sleep(GRACE)
        _say()
        os._exit(128 + number)


def _say() -> None:
  if _said.acquire(blocking=False):
    os.write(2, b'interrupted\n')
