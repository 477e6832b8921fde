"""Compute errors of forecasts that compare series of different sizes.

MASE: the absolute error over that of the seasonal naive forecast before the test rows (Hyndman & Koehler 2006).
sMAPE: 200 |y − f| / (|y| + |f|), in percent, of values in their own units (Makridakis 1993; 0 where both are 0).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Values = Float[Array, '*b'] | Float[np.ndarray, '*b']


def smape(forecast: Values, actual: Values) -> Any:
  """Return the symmetric absolute percentage error of each value, from 0 to 200."""
  xp = np if isinstance(forecast, np.ndarray) else jnp
  size = xp.abs(forecast) + xp.abs(actual)
  return xp.where(size > 0, 200 * xp.abs(forecast - actual) / xp.where(size > 0, size, 1.0), 0.0)


def scaled_error(forecast: Values, actual: Values, naive: Values) -> Any:
  """Return each absolute error over the `naive` one; 0 where that is 0, which must weigh nothing."""
  xp = np if isinstance(forecast, np.ndarray) else jnp
  return xp.where(naive > 0, xp.abs(forecast - actual) / xp.where(naive > 0, naive, 1.0), 0.0)
