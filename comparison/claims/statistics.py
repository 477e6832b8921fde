"""Intervals: bootstrap for timings, Student's t for seeds, both at 95 %. NumPy only."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
FEWEST = 5  # samples below which a percentile interval of a median is too narrow: of three it holds it 3 times in 4
# 97.5 % quantiles of Student's t at 1, 2, … degrees of freedom; the normal's beyond.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


class Interval(NamedTuple):
  """A number and its 95 % interval."""

  value: float
  low: float
  high: float

  @classmethod
  def exact(cls, value: float) -> 'Interval':
    return cls(value, value, value)


def bootstrap(
  samples: Sequence[float], statistic: Callable[..., np.ndarray] = np.median, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
  """Return the percentile bootstrap interval (Efron, 1979) of a statistic that takes `axis`.

  One sample is an exact number (the compiler's, say) and gives an interval of width zero; fewer than FEWEST give an
  unbounded one.
  """
  values = np.asarray(samples, np.float64)
  if 1 < len(values) < FEWEST:
    return Interval(float(statistic(values, axis=0)), -np.inf, np.inf)
  draws = statistic(values[_indices(len(values), resamples, seed)], axis=1)
  low, high = np.quantile(draws, (0.025, 0.975))
  return Interval(float(statistic(values, axis=0)), float(low), float(high))


def ratio(numerator: Sequence[float], denominator: Sequence[float], seed: int = 0) -> Interval:
  """Return the median of pairwise ratios of interleaved samples, in which drift of the machine cancels."""
  count = min(len(numerator), len(denominator))
  return bootstrap(np.asarray(numerator[:count]) / np.asarray(denominator[:count]), seed=seed)


def mean(values: Sequence[float]) -> Interval:
  """Return the mean with Student's t interval; the interval of a single value is unbounded."""
  array = np.asarray(values, np.float64)
  centre = float(array.mean())
  if len(array) < 2:
    return Interval(centre, -np.inf, np.inf)
  degrees = len(array) - 1
  quantile = STUDENT[degrees - 1] if degrees <= len(STUDENT) else 1.96
  half = quantile * float(array.std(ddof=1)) / np.sqrt(len(array))
  return Interval(centre, centre - half, centre + half)


def log_slope(samples: Mapping[float, Sequence[float]], seed: int = 0) -> Interval:
  """Return the exponent p of value ∝ x^p: least squares through the medians on log-log axes, bootstrap over repeats.

  samples: x → repeats. Needs two or more different x.
  """
  x = np.log(np.array(sorted(samples), np.float64))
  centred = (x - x.mean()) / ((x - x.mean()) ** 2).sum()

  def fit(medians: np.ndarray) -> np.ndarray:
    return np.round(np.log(medians) @ centred, 12)  # equal numbers have no slope, not one of 1e-15

  return _over_medians(samples, fit, seed)


def growth(samples: Mapping[float, Sequence[float]], seed: int = 0) -> Interval:
  """Return the relative growth of a cost over the range of x: slope of a straight line × range ÷ mean cost."""
  x = np.array(sorted(samples), np.float64)
  centred = (x - x.mean()) / ((x - x.mean()) ** 2).sum()

  def fit(medians: np.ndarray) -> np.ndarray:
    return medians @ centred * (x[-1] - x[0]) / medians.mean(axis=1)

  return _over_medians(samples, fit, seed)


def crossing(samples: Mapping[float, Sequence[float]], seed: int = 0) -> Interval:
  """Return where a ratio rises through 1 for good, interpolated on log-log axes; bootstrap over the repeats.

  samples: x → repeats of the ratio. 0 when it is above 1 from the first x, infinity when it is not at the last.
  """
  x = np.log(np.array(sorted(samples), np.float64))

  def cross(medians: np.ndarray) -> np.ndarray:
    y = np.log(medians)
    out = np.empty(len(y))
    for row in range(len(y)):
      below = np.flatnonzero(y[row] <= 0)
      if not len(below):
        out[row] = 0.0
      elif below[-1] == len(x) - 1:
        out[row] = np.inf
      else:
        i = below[-1]
        share = -y[row, i] / (y[row, i + 1] - y[row, i])
        out[row] = np.exp(x[i] + share * (x[i + 1] - x[i]))
    return out

  return _over_medians(samples, cross, seed)


def _over_medians(
  samples: Mapping[float, Sequence[float]], function: Callable[[np.ndarray], np.ndarray], seed: int
) -> Interval:
  columns = [np.asarray(samples[x], np.float64) for x in sorted(samples)]
  centre = function(np.array([[np.median(column) for column in columns]]))[0]
  draws = np.stack(
    [np.median(column[_indices(len(column), RESAMPLES, seed + i)], axis=1) for i, column in enumerate(columns)], axis=1
  )
  values = np.sort(function(draws))  # order statistics, because quantile() would interpolate with infinity
  low, high = float(values[int(0.025 * len(values))]), float(values[int(0.975 * len(values)) - 1])
  return Interval(float(centre), min(low, float(centre)), max(high, float(centre)))


def _indices(count: int, resamples: int, seed: int) -> np.ndarray:
  return np.random.default_rng(seed).integers(0, count, (resamples, count))
