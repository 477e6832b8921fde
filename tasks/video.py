"""Predict frames of videos of moving digits (Srivastava et al. 2015), scored as OpenSTL does (Tan et al. 2023).

MSE and MAE are summed over the pixels of a frame, in [0, 1], and averaged over frames. SSIM is scikit-image's with its
defaults, of outputs clipped to [0, 1]. Its data_range is 2: OpenSTL does not set it, and scikit-image, in the versions
that did not refuse this, took it from the type, as the width of [−1, 1].
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.models import Model
from seqmodels.notation import Params
from seqmodels.spec import Spec
from tasks import draws, losses, moving_digits
from tasks.answers import outputs_of
from tasks.base import Batch, Decoding, Evaluation, HostSums, Sums
from tasks.frames import LONGEST, Frames
from tasks.rollout import FREE, rollout
from tasks.shown import Film, Shown
from tasks.ssim import ssim

FORMS = ('autoregressive', 'direct')
DATA_RANGE = 2.0  # of SSIM, as in OpenSTL
MOST_DIGITS = 8
SEEN = 500  # training videos, at most, whose mean frame is a baseline: more do not change it
TOGETHER = 100  # videos that are made at once for the baselines


@dataclass(frozen=True)
class Video(Frames):
  """Read `history` frames and predict those after them, of `frames` in all, with `digits` digits that move.

  form: `autoregressive`: the output at a frame is the next one, given the true frames so far; metrics `free_…` are
  those of frames that the model predicts from its own predictions. `direct`: black frames stand in the place of what is
  to be predicted, so that the model never reads a frame of the future (as in the decoder without input of Srivastava
  et al. 2015), and the metrics themselves are those of the published 10 → 10. What counts, in training too, are the
  frames after the history.
  """

  digits: int = 2
  history: int = 10
  form: str = 'autoregressive'

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.form not in FORMS:
      raise unknown('task.form', self.form, FORMS)
    check_positive(**{'task.digits': self.digits, 'task.history': self.history})
    if self.digits > MOST_DIGITS:
      raise InputError(f'task.digits={self.digits} must be at most {MOST_DIGITS}')
    if self.history >= self.frames:
      raise InputError(f'task.history={self.history} must be less than task.frames={self.frames}')

  @property
  def spec(self) -> Spec:
    return Spec('causal', self.vectors, self.vectors, length=(self.frames - 1) * self.tokens_of_frame)

  def video(self, split: str, indices: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the frames [b t s s] of videos by number, as unsigned bytes."""
    each = moving_digits.WORDS
    words = draws.words(self.key(split, seed), indices, self.digits * (each + 1))
    images = self.glyphs(split).images
    which = draws.integers(words[:, self.digits * each :], len(images))
    places = moving_digits.trajectories(words[:, : self.digits * each], self.frames)
    return moving_digits.draw(images[which][:, :, None], places, self.size)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    tokens, each = self.tokens(self.video(split, indices, seed)), self.tokens_of_frame
    inputs, targets = tokens[:, :-each], tokens[:, each:]
    weights = np.ones(inputs.shape[:2], np.float32)
    weights[:, : (self.history - 1) * each] = 0
    if self.form == 'direct':
      inputs = inputs.copy()
      inputs[:, self.history * each :] = 0
    return Batch(inputs, targets, weights)

  def loss(self, outputs: Float[Array, 'b l d'], batch: Batch) -> Sums:
    """Return the squared error, averaged over pixels."""
    return losses.summed(jnp.mean(jnp.square(outputs - batch.targets), axis=-1), batch.weights)

  def metrics(self, outputs: Float[Array, 'b l d'], batch: Batch) -> dict[str, Sums]:
    """Return loss, and mse, mae and ssim of frames; ssim only where the tokens are whole frames (not every segment)."""
    difference = outputs - batch.targets
    count = jnp.sum(batch.weights, axis=1) / self.tokens_of_frame
    found = {
      'loss': self.loss(outputs, batch),
      'mse': (losses.summed(jnp.sum(jnp.square(difference), axis=-1), batch.weights)[0], count),
      'mae': (losses.summed(jnp.sum(jnp.abs(difference), axis=-1), batch.weights)[0], count),
    }
    if outputs.shape[1] % self.tokens_of_frame == 0:
      frames = self.pixels(jnp.clip(outputs, 0.0, 1.0))
      similar = ssim(frames, self.pixels(jnp.asarray(batch.targets)), DATA_RANGE)
      found['ssim'] = losses.summed(similar, batch.weights[:, :: self.tokens_of_frame])
    return found

  def free_running(
    self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()
  ) -> dict[str, HostSums]:
    """Return mse, mae and ssim of frames that the model predicts from its own predictions, as `free_…`.

    What it reads of them is clipped to [0, 1].
    """
    del decoding
    if self.form != 'autoregressive':
      return {}
    outputs = self._rolled(model, params, batch)
    future = Batch(None, batch.targets[:, -outputs.shape[1] :], batch.weights[:, -outputs.shape[1] :])
    return self._free(_metrics(self, outputs, future))

  def _rolled(self, model: Model, params: Params, batch: Batch) -> Float[Array, 'b l d']:
    """Return the frames after the history that a model predicts from its own predictions."""
    steps, each = self.frames - self.history, self.tokens_of_frame
    return rollout(model, params, batch.inputs[:, : self.history * each], steps, each, _clipped)

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return the frames of the history, those after it, and those that a model predicts without seeing them."""
    del decoding
    future = (self.frames - self.history) * self.tokens_of_frame
    is_direct = self.form == 'direct'
    outputs = outputs_of(model, params, batch) if is_direct else self._rolled(model, params, batch)
    parts = batch.inputs[:, : self.history * self.tokens_of_frame], batch.targets[:, -future:], outputs[:, -future:]
    return list(map(Film, *(np.clip(self.pixels(np.asarray(part)), 0.0, 1.0) for part in parts)))

  def _free(self, found: dict[str, Sums]) -> dict[str, HostSums]:
    return {FREE + name: (np.asarray(a), np.asarray(b)) for name, (a, b) in found.items() if name != 'loss'}

  def evaluations(self) -> dict[str, Evaluation]:
    """Return validation and test, and `longer`: twice as many frames."""
    frames = min(2 * self.frames, LONGEST)
    return super().evaluations() | {'longer': Evaluation('test', {'frames': frames})}

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the errors of the frame before, of black frames and of the mean frame of training videos.

    Where a model is free-running, the frame before is the last one given.
    """
    seen, each = min(SEEN, self.count('train') or SEEN), self.tokens_of_frame
    mean = sum(batch.targets.sum(axis=0) for batch in self._some('train', seen)) / seen
    mean = np.tile(mean.reshape(-1, each, mean.shape[1]).mean(axis=0), (self.frames - 1, 1))
    totals: dict[str, dict[str, np.ndarray]] = {}
    for batch in self._some('test', self.count('test')):
      last = batch.inputs[:, (self.history - 1) * each : self.history * each]
      repeated = np.tile(last, (1, self.frames - 1, 1))
      forecasts = {
        'copy_last': (batch.inputs if self.form == 'autoregressive' else repeated, repeated),
        'black_frame': (np.zeros_like(batch.targets),) * 2,
        'mean_frame': (np.broadcast_to(mean.astype(np.float32), batch.targets.shape),) * 2,
      }
      for name, (teacher_forced, free) in forecasts.items():
        scores = dict(_metrics(self, teacher_forced, batch))
        if self.form == 'autoregressive':
          scores |= self._free(_metrics(self, free, batch))
        own = totals.setdefault(name, {})
        for metric, pair in scores.items():
          own[metric] = own.get(metric, np.zeros(2)) + np.sum(np.asarray(pair, np.float64), axis=1)
    return {name: {metric: float(a / b) for metric, (a, b) in own.items()} for name, own in totals.items()}

  def _some(self, split: str, count: int) -> Iterator[Batch]:
    for first in range(0, count, TOGETHER):
      yield self.arrays(split, np.arange(first, min(first + TOGETHER, count)))


_metrics = functools.partial(jax.jit, static_argnums=0)(Video.metrics)


def _clipped(outputs: Float[Array, 'b k d']) -> Float[Array, 'b k d']:
  return jnp.clip(outputs, 0.0, 1.0)
