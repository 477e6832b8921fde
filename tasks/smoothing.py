"""Smooth series exponentially into a level and a season, as Holt and Winters do (additive, without a trend).

Nothing looks ahead: at each step the estimates are those of the values so far. In the first seasons, means take the
place of the smoothing, which would otherwise keep where it began.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

ALPHAS, GAMMAS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8), (0.05, 0.1, 0.2, 0.4)  # of the level, of the season


class Smoothed(NamedTuple):
  """Hold, for each row and variable, the level and the season's share after the value of the row has been seen."""

  level: Float64[np.ndarray, 't n']
  season: Float64[np.ndarray, 't n']


def smooth(
  values: Float64[np.ndarray, 't n'], starts: Int64[np.ndarray, ' k'], ends: Int64[np.ndarray, 'k 3'], period: int
) -> Smoothed:
  """Smooth each of k series, one after the other along the first axis; period 1: no season.

  The coefficients of each series and variable are those of ALPHAS and GAMMAS with the least squared error one step
  ahead over its training rows (ends[:, 0]).
  """
  lengths = ends[:, 2] - starts
  inside = np.arange(lengths.max())[None, :] < lengths[:, None]
  series = np.zeros((*inside.shape, values.shape[1]))
  series[inside] = values
  grid = np.array(np.meshgrid(ALPHAS, GAMMAS if period > 1 else (0.0,))).reshape(2, -1, 1, 1)
  squares = np.zeros((grid.shape[1], len(starts), values.shape[1]))
  for t, (error, _, _) in enumerate(_steps(series, grid[0], grid[1], period)):
    counts = (t >= 2 * period) & (t < ends[:, 0] - starts)
    squares += np.where(counts[None, :, None], np.square(error), 0)
  alpha, gamma = grid[:, squares.argmin(axis=0), 0, 0]
  found = [(level, season) for _, level, season in _steps(series, alpha, gamma, period)]
  level, season = (np.stack(parts, axis=1)[inside] for parts in zip(*found, strict=True))
  return Smoothed(level, season)


def _steps(
  series: Float64[np.ndarray, 'k t n'], alpha: np.ndarray, gamma: np.ndarray, period: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """Yield, for each step, the error of the forecast of it, and level and season after it, [… k n]."""
  shape = np.broadcast_shapes(alpha.shape, series[:, 0].shape)
  level, seasons = np.zeros(shape), np.zeros((period, *shape))
  for t in range(series.shape[1]):
    place = t % period
    error = series[:, t] - level - seasons[place]
    level = level + np.maximum(alpha, 1 / (t + 1)) * error
    if period > 1:
      gain = np.maximum(gamma, 1 / (t // period + 1))
      seasons[place] += gain * (series[:, t] - level - seasons[place])
    yield error, level, seasons[place].copy()
