"""Score the forecasts that a model must beat: the last value, the value a season ago, linear maps and Naive2."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from tasks import naive2
from tasks.datasets.series import Series
from tasks.forecast_metrics import relative, scaled_error, smape

RIDGES = (1e-3, 1e-2, 1e-1)  # relative to the mean square of the inputs; the best on validation is taken
KERNEL = 25  # steps of the moving average of DLinear (Zeng et al. 2023)
TOGETHER = 16_384  # windows that are held at once

Starts = dict[str, Int64[np.ndarray, ' w']]  # split → the first row of each window
Forecast = Callable[[Float64[np.ndarray, 'w s']], Float64[np.ndarray, 'w t']]
Part = tuple[np.ndarray, np.ndarray, np.ndarray, int]  # forecast, future, the series and the variable of some windows


def evaluate(
  data: Series, windows: Starts, lookback: int, horizon: int, has_naive2: bool = False
) -> dict[str, dict[str, float]]:
  """Return the errors of each baseline over all variables of all test windows.

  `seasonal_naive` repeats the shortest season, `seasonal_naive_168` the longer one of 168 steps; they are left out if
  the lookback is shorter, and where there are no seasons. `skill` is beside the seasonal naive forecast, which is the
  last value where there are no seasons. has_naive2: whether Naive2 and `owa` belong to the data (`naive2_table`).
  """
  forecasts: dict[str, Forecast] = {'copy_last': lambda past: np.repeat(past[:, -1:], horizon, axis=1)}
  for number, period in enumerate(data.periods):
    if 1 < period <= lookback:
      name = 'seasonal_naive' if number == 0 else f'seasonal_naive_{period}'
      forecasts[name] = _seasonal(lookback - period + np.arange(horizon) % period)
  moments = Moments.of(data, windows['train'], lookback, horizon)
  forecasts['linear'] = fit_linear(data, windows, lookback, horizon, moments)
  forecasts['dlinear'] = fit_dlinear(data, windows, lookback, horizon, moments)
  found = {name: _errors(forecast, data, windows['test'], lookback, horizon) for name, forecast in forecasts.items()}
  if has_naive2:
    table = naive2_table(data, 'test', horizon)
    pairs = _pairs(data, windows['test'], lookback, horizon)
    found['naive2'] = _score(((table[owner, v], future, owner, v) for _, future, owner, v in pairs), data)
  beside = found.get('copy_last' if data.periods[0] == 1 else 'seasonal_naive', {})
  references = {'mase_seasonal_naive': beside.get('mase', 0.0)}
  references |= {f'{name}_naive2': found['naive2'][name] for name in ('smape', 'mase')} if has_naive2 else {}
  return {name: errors | relative(errors | references) for name, errors in found.items()}


def naive2_table(data: Series, split: str, horizon: int) -> Float64[np.ndarray, 'k n h']:
  """Return the forecast of Naive2 for the first `horizon` rows of the split of each series and variable, scaled."""
  ends = data.ends[:, ('train', 'validation', 'test').index(split) - 1]
  table = np.empty((data.count, data.values.shape[1], horizon))
  for series, variable in np.ndindex(*table.shape[:2]):
    mean, deviation = data.mean[series, variable], data.deviation[series, variable]
    past = data.values[data.starts[series] : ends[series], variable] * deviation + mean
    table[series, variable] = (naive2.forecast(past, data.periods[0], horizon) - mean) / deviation
  return table


def _seasonal(season: Int64[np.ndarray, ' t']) -> Forecast:
  return lambda past: past[:, season]


class Moments(NamedTuple):
  """Hold the sums over training windows of all variables that a linear map is fitted from; a past ends in a 1.

  gram: of products of the past with itself. cross: of the past with the future.
  """

  gram: Float64[np.ndarray, 's+1 s+1']
  cross: Float64[np.ndarray, 's+1 h']

  @classmethod
  def of(cls, data: Series, starts: Int64[np.ndarray, ' w'], lookback: int, horizon: int) -> 'Moments':
    gram, cross = np.zeros((lookback + 1, lookback + 1)), np.zeros((lookback + 1, horizon))
    for past, future, _, _ in _pairs(data, starts, lookback, horizon):
      inputs = _with_one(past)
      gram += inputs.T @ inputs
      cross += inputs.T @ future
    return cls(gram, cross)


def fit_linear(data: Series, windows: Starts, lookback: int, horizon: int, moments: Moments | None = None) -> Forecast:
  """Return one linear map for all variables, from the past to the future, both less the last value.

  As NLinear (Zeng et al. 2023); see `_fit`. moments: those of the training windows, if they are known.
  """
  last = np.zeros((lookback, 1))
  last[-1] = 1
  without_last = np.eye(lookback) - last @ np.ones((1, lookback))
  return _fit(data, windows, lookback, horizon, moments, without_last, last)


def fit_dlinear(data: Series, windows: Starts, lookback: int, horizon: int, moments: Moments | None = None) -> Forecast:
  """Return one linear map for all variables, from the past's moving average and from what is left of it.

  As DLinear (Zeng et al. 2023), which is trained by gradient; see `_fit`. The average is over `KERNEL` steps, beyond
  the ends of the past over copies of its first and last value. moments: as of `fit_linear`.
  """
  trend = moving_average(lookback)
  parts = np.concatenate([trend, np.eye(lookback) - trend], axis=1)
  return _fit(data, windows, lookback, horizon, moments, parts, np.zeros((lookback, 1)))


def moving_average(lookback: int) -> Float64[np.ndarray, 's s']:
  """Return the matrix whose product with a past [s] is its moving average."""
  matrix = np.zeros((lookback, lookback))
  for offset in range(-(KERNEL // 2), KERNEL // 2 + 1):
    np.add.at(matrix, (np.clip(np.arange(lookback) + offset, 0, lookback - 1), np.arange(lookback)), 1 / KERNEL)
  return matrix


def _fit(
  data: Series,
  windows: Starts,
  lookback: int,
  horizon: int,
  moments: Moments | None,
  features: Float64[np.ndarray, 's f'],
  anchor: Float64[np.ndarray, 's 1'],
) -> Forecast:
  """Return past · anchor + a linear map of past · features and 1, fitted to the training windows of all variables.

  Ridge regression by normal equations in float64; the penalty is chosen on the validation windows.
  """
  gram, cross = moments or Moments.of(data, windows['train'], lookback, horizon)
  above = np.pad(features, ((0, 1), (0, 1)))
  above[-1, -1] = 1
  shift = np.pad(anchor, ((0, 1), (0, 0)))
  products, targets = above.T @ gram @ above, above.T @ (cross - gram @ shift)
  scale = np.trace(products[:-1, :-1]) / features.shape[1]

  def forecast(ridge: float) -> Forecast:
    weights = shift + above @ np.linalg.solve(products + ridge * scale * np.eye(len(products)), targets)
    return lambda past: _with_one(past) @ weights

  choices = [forecast(ridge) for ridge in RIDGES]
  scores = [_errors(choice, data, windows['validation'], lookback, horizon)['mse'] for choice in choices]
  return choices[int(np.argmin(scores))]


def _with_one(past: Float64[np.ndarray, 'w s']) -> Float64[np.ndarray, 'w s+1']:
  return np.concatenate([past, np.ones((len(past), 1))], axis=1)


def _pairs(data: Series, starts: Int64[np.ndarray, ' w'], lookback: int, horizon: int) -> Iterator[tuple]:
  """Yield past, future, the series and the variable of some windows at a time."""
  for variable in range(data.values.shape[1]):
    every = np.lib.stride_tricks.sliding_window_view(data.values[:, variable], lookback + horizon)
    for first in range(0, len(starts), TOGETHER):
      some = starts[first : first + TOGETHER]
      together = some[-1] - some[0] == len(some) - 1
      windows = every[some[0] : some[-1] + 1] if together else every[some]  # a view costs nothing
      yield windows[:, :lookback], windows[:, lookback:], data.owner(some), variable


def _errors(forecast: Forecast, data: Series, starts: np.ndarray, lookback: int, horizon: int) -> dict[str, float]:
  pairs = _pairs(data, starts, lookback, horizon)
  return _score(((forecast(past), future, owner, variable) for past, future, owner, variable in pairs), data)


def _score(parts: Iterable[Part], data: Series) -> dict[str, float]:
  """Return the mean errors over all values of all parts."""
  squared = absolute = percent = scaled = 0.0
  count = comparable = 0
  for found, future, owner, variable in parts:
    squared += float(np.square(found - future).sum())
    absolute += float(np.abs(found - future).sum())
    mean, deviation, naive = (getattr(data, name)[owner, variable][:, None] for name in ('mean', 'deviation', 'naive'))
    found, future = found * deviation + mean, future * deviation + mean
    percent += float(smape(found, future, found - future).sum())
    scaled += float(scaled_error(found - future, naive).sum())
    comparable += int((naive > 0).sum()) * future.shape[1]
    count += future.size
  errors = {'loss': squared / count, 'mse': squared / count, 'mae': absolute / count, 'smape': percent / count}
  return errors | ({'mase': scaled / comparable} if comparable else {})
