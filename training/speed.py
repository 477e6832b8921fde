"""Step times, throughput, data wait, memory and utilisation, between two logged steps; and their display."""

import logging
import time
from collections.abc import Sequence

import jax
import numpy as np

from seqmodels.models import sizing
from training.peaks import known_peak, measured_peak
from training.progress import Progress
from training.run import Run

log = logging.getLogger('seqmodels')

MEASURED_AFTER = 10.0  # seconds of steps before the peak of an unknown device is measured: short runs do without


class Speed:
  """Times of steps, from the end of one to the end of the next.

  Args:
    tokens: of a step, over all devices, where `step` says no other number.
    flops_per_token: of training.
    devices: that share a step.
    dtype: of the computation.
  """

  def __init__(self, tokens: int, flops_per_token: float, devices: Sequence[jax.Device], dtype: str) -> None:
    self.tokens, self.flops_per_token, self.devices, self.dtype = tokens, flops_per_token, list(devices), dtype
    self._peak = known_peak(self.devices[0].device_kind)
    self._last: float | None = None
    self._seconds: list[float] = []
    self._tokens = 0
    self._waited = 0.0
    self._total = 0.0

  def step(self, waited: float, tokens: int = 0) -> None:
    """Note the end of a step, the seconds of it in which the device had no batch, and its tokens (0: the usual)."""
    now = time.perf_counter()
    if self._last is not None:
      self._seconds.append(now - self._last)
      self._tokens += tokens or self.tokens
      self._waited += waited
    self._last = now

  def pause(self) -> None:
    """Leave out the time until the end of the next step: evaluation or a save is in it."""
    self._last = None

  def values(self) -> dict[str, float]:
    """Return the values of the steps since the last call; none, if there were none."""
    if not self._seconds:
      return {}
    seconds, waited = np.asarray(self._seconds), self._waited
    rate = self._tokens / float(seconds.sum())
    self._seconds, self._tokens, self._waited = [], 0, 0.0
    self._total += float(seconds.sum())
    values = {
      'tokens_per_second': rate,
      'tokens_per_second_per_device': rate / len(self.devices),
      'step_seconds_p50': float(np.percentile(seconds, 50)),
      'step_seconds_p99': float(np.percentile(seconds, 99)),
      'data_wait_share': min(1.0, waited / float(seconds.sum())),
    }
    return values | memory_in_use(self.devices) | self._utilisation(rate)

  def _utilisation(self, rate: float) -> dict[str, float]:
    """Return the model FLOPs utilisation (Chowdhery et al. 2022) under a name that says what it is a share of."""
    if self._peak is None:
      if self._total < MEASURED_AFTER:
        return {}
      self._peak = measured_peak(self.devices[0], self.dtype)
      self.pause()  # measuring takes time
    name = 'utilisation_of_measured_peak' if self._peak.is_measured else 'utilisation'
    return {name: rate * self.flops_per_token / (self._peak.flops * len(self.devices))}


def memory_in_use(devices: Sequence[jax.Device]) -> dict[str, float]:
  """Return the bytes in use now and at most so far, on the fullest device, where devices say so."""
  stats = [device.memory_stats() or {} for device in devices if device.process_index == jax.process_index()]
  names = {'memory_bytes': 'bytes_in_use', 'peak_memory_bytes': 'peak_bytes_in_use'}
  return {
    name: float(max(found[key] for found in stats))
    for name, key in names.items()
    if stats and all(key in found for found in stats)
  }


def shown(values: dict[str, float]) -> str:
  """Return the speed of a run in a few words, for its last lines."""
  text = f'{values["tokens_per_second"]:,.0f} tokens/s'
  p50, p99 = (1e3 * values[f'step_seconds_{name}'] for name in ('p50', 'p99'))
  text += f', a step {p50:.3g} ms (p99 {p99:.3g} ms), data wait {values["data_wait_share"]:.1%}'
  if 'utilisation' in values:
    text += f', utilisation {values["utilisation"]:.1%} of the data sheet'
  elif 'utilisation_of_measured_peak' in values:
    text += f', utilisation {values["utilisation_of_measured_peak"]:.1%} of a measured peak'
  return text


class Display:
  """The speed and the progress of a run that goes on from step `first`; the first step has `tokens`."""

  def __init__(self, run: Run, first: int, tokens: int) -> None:
    settings = run.settings
    flops = sizing.training_flops(run.model, settings.segment, settings.memory)
    self.progress = Progress(first, settings.steps)
    self.speed = Speed(tokens, flops, list(run.mesh.devices.flat), run.model.config.dtype)
    self._last: dict[str, float] = {}

  def step(self, step: int, waited: float, tokens: int) -> None:
    """Note that a step has been dispatched, and its tokens; see `Speed.step`."""
    self.progress.tick(step, tokens)
    self.speed.step(waited, tokens)

  def logged(self, step: int, loss: float) -> dict[str, float]:
    """Show a logged step; return the speed since the last one."""
    self.progress.update(step, loss)
    values = self.speed.values()
    self._last = values or self._last
    return values

  def pause(self) -> None:
    """Leave out the time since the last step: it was not spent on training."""
    self.progress.pause()
    self.speed.pause()

  def close(self) -> None:
    """End the bar, and log the last speed."""
    self.progress.close()
    if self._last:
      log.info('%s', shown(self._last))
