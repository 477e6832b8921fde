"""A profile of some steps, for TensorBoard's profiler or Perfetto."""

import logging
import pathlib
from typing import Any

import jax

from seqmodels.errors import InputError
from training import files

log = logging.getLogger('seqmodels')


def check(profile: tuple[int, int] | None, steps: int) -> None:
  """Raise InputError for a profile that begins after the last step of the run."""
  if profile is not None and profile[0] > steps:
    first, last = profile
    raise InputError(f'--profile={first}:{last} must begin at a step of the run: train.steps={steps}')


class Profile:
  """Trace the steps `first` to `last`, counted from 1, into `folder`.

  The steps that a process does not run are left out: those before the checkpoint that it goes on from, for one.
  """

  def __init__(self, folder: pathlib.Path, first: int, last: int) -> None:
    self.folder, self.first, self.last = folder, first, last
    self._is_running = False

  def before(self, step: int) -> None:
    """Begin the trace, if step `step` is its first. Raises WriteError."""
    if not self._is_running and self.first <= step <= self.last:
      with files.writing(self.folder):
        self.folder.mkdir(parents=True, exist_ok=True)
      jax.profiler.start_trace(str(self.folder))
      self._is_running = True

  def after(self, step: int, results: Any) -> None:
    """End the trace, if step `step` is its last; `results` of the step are waited for."""
    if self._is_running and step >= self.last:
      jax.block_until_ready(results)
      self.close()

  def close(self) -> None:
    """End the trace, if it has begun."""
    if self._is_running:
      self._is_running = False
      jax.profiler.stop_trace()
      log.info('profile of steps %d to %d: tensorboard --logdir=%s', self.first, self.last, self.folder)
