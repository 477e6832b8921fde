"""The progress of a run on the terminal: a bar, or lines in a log."""

import logging
import os
import sys
import time
from typing import Any

import tqdm

log = logging.getLogger('seqmodels')
LINE_SECONDS = 5.0  # between two progress lines where there is no terminal


class Progress:
  """Step, loss, tokens/s and time left: a bar on a terminal, else a line every few seconds.

  Speed is measured from the first update on, so that compilation does not count.
  """

  def __init__(self, first: int, steps: int) -> None:
    self._steps, self._tokens = steps, 0  # tokens since the last update
    bar = has_terminal(sys.stderr)
    self._bar = tqdm.tqdm(total=steps, initial=first, unit='step', dynamic_ncols=True) if bar else None
    self._begun: tuple[int, float] | None = None  # step and time
    self._last = (first, 0.0)
    self._printed = 0.0

  def tick(self, step: int, tokens: int) -> None:
    """Move the bar to a step that may still be running, and count its tokens; it is drawn a few times a second."""
    self._tokens += tokens
    if self._bar is not None:
      self._bar.update(step - self._bar.n)

  def update(self, step: int, loss: float) -> None:
    """Show a logged step, with the tokens a second since the last one."""
    now = time.monotonic()
    before, self._last = self._last, (step, now)
    tokens, self._tokens = self._tokens, 0
    if self._begun is None:
      self._begun = self._last
    speed = ''
    if step > self._begun[0]:
      rate = tokens / max(now - before[1], 1e-9)
      left = (now - self._begun[1]) / (step - self._begun[0]) * (self._steps - step)
      speed = f'  {rate:,.0f} tokens/s  {clock(left)} left'
    if self._bar is not None:
      self._bar.set_postfix_str(f'loss {loss:.4f}{speed}', refresh=False)
    elif now - self._printed > LINE_SECONDS or step == self._steps:
      self._printed = now
      log.info(f'step {step}/{self._steps}  loss {loss:.4f}{speed}')

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
