"""Define how forecasts are scored: losses, metrics, and what a model forecasts from its own forecasts."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.models import Model
from seqmodels.notation import Params
from seqmodels.spec import Vectors
from tasks import losses
from tasks.answers import outputs_of
from tasks.base import Batch, Decoding, HostSums, Sums
from tasks.forecast_metrics import crps, relative, scaled_error, smape
from tasks.pipeline import IndexedTask
from tasks.rollout import FREE, rollout
from tasks.shown import Forecast, Shown

FORMS = ('direct', 'autoregressive')
MOST_QUANTILES = 99


@dataclass(frozen=True)
class ForecastTask(IndexedTask):
  """Score forecasts of `horizon` steps.

  form: `direct`: one output is the whole forecast, read at the end of the past. `autoregressive`: every output is the
  next `patch` steps (Salinas et al. 2020). Then the model trains on all steps of a window but the first; an evaluation
  counts those of the horizon, each forecast from the true steps before it, and the metrics `free_…` are those of the
  horizon forecast from the model's own forecasts.

  quantiles: 0: the outputs are the forecast, and the loss is its squared error. Else an odd number of quantiles of each
  value (forecast_metrics.levels), the loss is the CRPS over them, and the median is the forecast that the other
  metrics score and that a free-running model reads; one quantile is the median, and the loss its absolute error.
  """

  horizon: int = 96
  patch: int = 1
  form: str = 'direct'
  quantiles: int = 0

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.form not in FORMS:
      raise unknown('task.form', self.form, FORMS)
    check_positive(**{'task.horizon': self.horizon, 'task.patch': self.patch})
    if self.form == 'autoregressive' and self.horizon % self.patch:
      raise InputError(f'task.patch={self.patch} must divide task.horizon={self.horizon}, since a step is a patch')
    if self.quantiles and (self.quantiles % 2 == 0 or not 0 < self.quantiles <= MOST_QUANTILES):
      raise InputError(
        f'task.quantiles={self.quantiles} must be 0 (none) or odd, so that the median is one, up to {MOST_QUANTILES}'
      )

  def outputs(self, values: int) -> Vectors:
    """Return the outputs that forecast so many values."""
    return Vectors(values * (self.quantiles or 1))

  def _quantiles(self, outputs: Float[Array, 'b *t n']) -> Float[Array, 'b m k']:
    """Return the quantiles of each target; without them, the forecast alone."""
    return outputs.reshape(outputs.shape[0], -1, self.quantiles or 1)

  def loss(self, outputs: Float[Array, 'b *t n'], batch: Batch) -> Sums:
    """Return the squared error or the CRPS of scaled values, over every target of every counted example."""
    quantiles, targets, spread = self._quantiles(outputs), _flat(batch.targets), _wide(batch, 'spread')
    weights = _over_targets(batch.weights, targets)
    if self.quantiles:
      return losses.summed(crps(quantiles, targets) * spread, weights)
    return losses.summed(jnp.square((quantiles[..., 0] - targets) * spread), weights)

  def metrics(self, outputs: Float[Array, 'b *t n'], batch: Batch) -> dict[str, Sums]:
    """Return loss, mse and mae of scaled values; smape, and mase where the naive error is not 0.

    With quantiles, mse and the others are those of the median; beside them crps, of scaled values, and coverage, the
    share of targets between the first and the last quantile. `mase_seasonal_naive` (and `smape_naive2`, `mase_naive2`)
    are the errors of the forecasts that `derived` divides by.
    """
    quantiles, targets = self._quantiles(outputs), _flat(batch.targets)
    point = quantiles[..., quantiles.shape[-1] // 2]
    weights = _over_targets(batch.weights, point)
    scale, shift, naive = (_wide(batch, name) for name in ('scale', 'shift', 'naive'))
    comparable = weights * (naive > 0).astype(weights.dtype)
    actual = targets * scale + shift
    # Differences are taken before the level of the series is added, beside which they may be lost to rounding.
    error_of = lambda values: (values - targets) * scale
    own_smape = lambda values: losses.summed(smape(values * scale + shift, actual, error_of(values)), weights)
    own_mase = lambda values: losses.summed(scaled_error(error_of(values), naive), comparable)
    error = (point - targets) * _wide(batch, 'spread')
    found = {
      'loss': self.loss(outputs, batch),
      'mse': losses.summed(jnp.square(error), weights),
      'mae': losses.summed(jnp.abs(error), weights),
      'smape': own_smape(point),
      'mase': own_mase(point),
    }
    if self.quantiles:
      found['crps'] = found['loss']
    if self.quantiles > 1:
      inside = (quantiles[..., 0] <= targets) & (targets <= quantiles[..., -1])
      found['coverage'] = losses.summed(inside.astype(jnp.float32), weights)
    if self.form == 'direct' and 'seasonal_naive' in batch.extras:
      found['mase_seasonal_naive'] = own_mase(batch.extras['seasonal_naive'])
    if self.form == 'direct' and 'naive2' in batch.extras:
      found['smape_naive2'] = own_smape(batch.extras['naive2'])
      found['mase_naive2'] = own_mase(batch.extras['naive2'])
    return found

  def derived(self, values: dict[str, float]) -> dict[str, float]:
    """Return `skill` and, on M4, `owa`; see forecast_metrics."""
    return relative(values)

  def free_running(
    self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()
  ) -> dict[str, HostSums]:
    """Return the metrics of a horizon that an autoregressive model forecasts from its own forecasts, as `free_…`."""
    del decoding
    if self.form != 'autoregressive':
      return {}
    given, outputs = self._rolled(model, params, batch)
    targets = np.asarray(batch.targets)[:, -outputs.shape[1] :].reshape(len(given), -1)
    direct = dataclasses.replace(self, form='direct', quantiles=0)
    forecast = self.point(outputs).reshape(targets.shape)
    counted = np.asarray(batch.weights).max(axis=1)
    found = direct.metrics(forecast, Batch(given, targets, counted, extras=batch.extras))
    pairs = {name: pair for name, pair in found.items() if name != 'loss'}
    return {FREE + name: (np.asarray(total), np.asarray(weight)) for name, (total, weight) in pairs.items()}

  def _rolled(self, model: Model, params: Params, batch: Batch) -> tuple[np.ndarray, jax.Array]:
    """Return the steps of the past, and the outputs of a horizon that a model forecasts from its own forecasts."""
    steps = self.horizon // self.patch
    given = batch.inputs[:, : batch.inputs.shape[1] - (steps - 1)]
    return given, rollout(model, params, given, steps, 1, self.point if self.quantiles else None)

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return past, future and forecast of each window; with quantiles of a direct forecast its first and last one.

    They are in the units of the data, unless a window is normalised by another number at each step (smoothing).
    """
    del decoding
    scale, shift = batch.extras['scale'], batch.extras['shift']
    rows, values = scale.shape
    if shift.shape != scale.shape:
      scale, shift = np.ones_like(scale), np.zeros_like(scale)
    own = lambda x: np.asarray(x).reshape(rows, -1, values) * scale[:, None] + shift[:, None]
    if self.form == 'direct':
      quantiles = self._quantiles(outputs_of(model, params, batch))
      past, point, targets = batch.inputs, quantiles[..., quantiles.shape[-1] // 2], batch.targets
    else:
      past, outputs = self._rolled(model, params, batch)
      point, targets = self.point(outputs), batch.targets[:, -outputs.shape[1] :]
    parts = [past, targets, point]
    if self.form == 'direct' and self.quantiles > 1:
      parts += [quantiles[..., 0], quantiles[..., -1]]
    return list(map(Forecast, *map(own, parts)))

  def free_running_scores(self, totals: dict[str, tuple[float, float]]) -> dict[str, float]:
    scores = super().free_running_scores(totals)
    found = relative({name.removeprefix(FREE): value for name, value in scores.items()})
    return scores | {FREE + name: value for name, value in found.items()}

  def point(self, outputs: Float[Array, 'b t n']) -> Float[Array, 'b t m']:
    """Return the forecast of each value: the outputs, or the median among them."""
    quantiles = self.quantiles or 1
    return outputs.reshape(*outputs.shape[:2], -1, quantiles)[..., quantiles // 2]


def _flat(targets: Float[Array, 'b *t n']) -> Float[Array, 'b m']:
  return targets.reshape(targets.shape[0], -1)


def _wide(batch: Batch, name: str) -> Float[Array, 'b m']:
  """Return what belongs to a window's variable, for each of its targets."""
  values = batch.extras[name]
  return jnp.tile(values, (1, _flat(batch.targets).shape[1] // values.shape[1]))


def _over_targets(weights: Float[Array, ' b *t'], targets: Float[Array, 'b m']) -> Float[Array, 'b m']:
  rows, count = targets.shape
  flat = weights.reshape(rows, -1)
  return jnp.repeat(flat, count // flat.shape[1], axis=1)
