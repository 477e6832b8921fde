"""Forecast by Naive2, the benchmark that the OWA of the M4 competition divides by (Makridakis et al. 2018).

As in the competition's own program: a series is seasonally adjusted by classical multiplicative decomposition if a test
at the 90 % level finds the season in it; the last adjusted value is repeated and multiplied by the season again.
"""

import numpy as np
from jaxtyping import Float64

QUANTILE = 1.645  # of the normal distribution, at 90 % both ways


def forecast(past: Float64[np.ndarray, ' t'], period: int, horizon: int) -> Float64[np.ndarray, ' h']:
  """Return the forecast of the `horizon` values after `past`, which must be positive where a season is found."""
  season = np.ones(1)
  if period > 1 and is_seasonal(past, period):
    season = seasonal_indices(past, period)
  following = season[(len(past) + np.arange(horizon)) % len(season)]
  return past[-1] / season[(len(past) - 1) % len(season)] * following


def is_seasonal(values: Float64[np.ndarray, ' t'], period: int) -> bool:
  """Tell whether the autocorrelation at lag `period` is beyond Bartlett's limit, over three seasons or more."""
  if len(values) < 3 * period:
    return False
  centred = values - values.mean()
  variance = centred @ centred
  if variance == 0:
    return False
  correlations = np.array([centred[lag:] @ centred[:-lag] / variance for lag in range(1, period + 1)])
  limit = QUANTILE * np.sqrt((1 + 2 * np.sum(correlations[:-1] ** 2)) / len(values))
  return bool(abs(correlations[-1]) > limit)


def seasonal_indices(values: Float64[np.ndarray, ' t'], period: int) -> Float64[np.ndarray, ' p']:
  """Return the factor of each step of a season, of mean 1: the mean ratio to a centred moving average."""
  ends = [] if period % 2 else [0.5]  # of an even season half of the steps at both ends count
  weights = np.array([*ends, *[1.0] * (period - len(ends)), *ends]) / period
  trend = np.convolve(values, weights, mode='valid')
  first = len(weights) // 2
  ratios = values[first : first + len(trend)] / trend
  place = (first + np.arange(len(trend))) % period
  means = np.bincount(place, ratios, period) / np.bincount(place, minlength=period)
  return means / means.mean()
