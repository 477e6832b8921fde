"""Compute errors of forecasts that compare series of different sizes, and scores of forecasts of quantiles.

MASE: the absolute error over that of the seasonal naive forecast before the test rows (Hyndman & Koehler 2006).
sMAPE: 200 |y − f| / (|y| + |f|), in percent, of values in their own units (Makridakis 1993; 0 where both are 0).
CRPS: the continuous ranked probability score, 2 ∫ pinball(τ) dτ over the levels τ (Gneiting & Raftery 2007), here the
mean over equally spaced levels. That of a forecast of one value is its absolute error.
Skill: 1 − MASE / MASE of the seasonal naive forecast. OWA: the mean of sMAPE and MASE, each over that of Naive2
(Makridakis et al. 2018).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Values = Float[Array, '*b'] | Float[np.ndarray, '*b']


def smape(forecast: Values, actual: Values, error: Values) -> Any:
  """Return the symmetric absolute percentage error of each value, from 0 to 200. error: forecast less actual."""
  xp = np if isinstance(error, np.ndarray) else jnp
  size = xp.abs(forecast) + xp.abs(actual)
  return xp.where(size > 0, 200 * xp.abs(error) / xp.where(size > 0, size, 1.0), 0.0)


def scaled_error(error: Values, naive: Values) -> Any:
  """Return each absolute error over the `naive` one; 0 where that is 0, which must weigh nothing."""
  xp = np if isinstance(error, np.ndarray) else jnp
  return xp.where(naive > 0, xp.abs(error) / xp.where(naive > 0, naive, 1.0), 0.0)


def levels(count: int) -> Float[np.ndarray, ' k']:
  """Return `count` levels equally far from each other, from 0 and from 1: 9 are 0.1 … 0.9."""
  return np.arange(1, count + 1, dtype=np.float32) / np.float32(count + 1)


def crps(quantiles: Float[Array, '*b k'], actual: Float[Array, '*b']) -> Float[Array, '*b']:
  """Return twice the mean pinball loss of the quantiles at `levels(k)` (Koenker & Bassett 1978)."""
  level = jnp.asarray(levels(quantiles.shape[-1])).reshape((1,) * actual.ndim + (-1,))
  error = actual[..., None] - quantiles
  return 2 * jnp.mean(jnp.maximum(level * error, (level - 1) * error), axis=-1)


def relative(values: dict[str, float]) -> dict[str, float]:
  """Return `skill` and `owa` of mean errors, where the errors of what they divide by stand beside them."""
  found = {}
  if values.get('mase_seasonal_naive', 0) > 0 and 'mase' in values:
    found['skill'] = 1 - values['mase'] / values['mase_seasonal_naive']
  if 'mase_naive2' in values:
    found['owa'] = (values['smape'] / values['smape_naive2'] + values['mase'] / values['mase_naive2']) / 2
  return found
