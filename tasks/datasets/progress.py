"""Show how far a download is: a bar in a terminal, a line now and then in a log."""

import logging
import sys
import time
from typing import Self

log = logging.getLogger('seqmodels')

LOG_SECONDS = 10.0  # between two lines of a log


class Progress:
  """Implement the progress bar of Pooch, which sets `total` and calls `update` with the bytes received."""

  def __init__(self, name: str, total: int) -> None:
    self.name, self.total, self.received = name, total, 0
    self._bar = None
    self._logged = time.monotonic()
    if sys.stderr.isatty():
      import tqdm

      self._bar = tqdm.tqdm(total=total, desc=name, unit='B', unit_scale=True, leave=False, file=sys.stderr)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def update(self, size: int) -> None:
    self.received += size
    if self._bar is not None:
      self._bar.total = self.total or None
      self._bar.update(size)
    elif time.monotonic() - self._logged >= LOG_SECONDS:
      self._logged = time.monotonic()
      share = f' of {self.total / 1e6:.1f}' if self.total else ''
      log.info('%s: %.1f%s MB', self.name, self.received / 1e6, share)

  def reset(self) -> None:
    """Count from 0 again: at the end Pooch fills the bar in one step."""
    self.received = 0
    if self._bar is not None:
      self._bar.reset()

  def close(self) -> None:
    if self._bar is not None:
      self._bar.refresh()  # a short download ends before the bar is drawn again
      self._bar.close()
      self._bar = None
