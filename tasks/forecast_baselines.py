"""Score the forecasts that a model must beat: the last value, the value a season ago, and a linear map."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64, Int64

from tasks.datasets.series import Series
from tasks.forecast_metrics import scaled_error, smape

RIDGES = (1e-3, 1e-2, 1e-1)  # relative to the mean square of the inputs; the best on validation is taken
TOGETHER = 16_384  # windows that are held at once

Starts = dict[str, Int64[np.ndarray, 'w']]  # split → the first row of each window
Forecast = Callable[[Float64[np.ndarray, 'w s']], Float64[np.ndarray, 'w t']]


def evaluate(data: Series, windows: Starts, lookback: int, horizon: int) -> dict[str, dict[str, float]]:
  """Return the errors of each baseline over all variables of all test windows.

  `seasonal_naive` repeats the shortest season, `seasonal_naive_168` the longer one of 168 steps; they are left out if
  the lookback is shorter, and where there are no seasons.
  """
  forecasts: dict[str, Forecast] = {'copy_last': lambda past: np.repeat(past[:, -1:], horizon, axis=1)}
  for number, period in enumerate(data.periods):
    if 1 < period <= lookback:
      name = 'seasonal_naive' if number == 0 else f'seasonal_naive_{period}'
      forecasts[name] = _seasonal(lookback - period + np.arange(horizon) % period)
  forecasts['linear'] = fit_linear(data, windows, lookback, horizon)
  return {name: _errors(forecast, data, windows['test'], lookback, horizon) for name, forecast in forecasts.items()}


def _seasonal(season: Int64[np.ndarray, 't']) -> Forecast:
  return lambda past: past[:, season]


def fit_linear(data: Series, windows: Starts, lookback: int, horizon: int) -> Forecast:
  """Return one linear map for all variables, from the past to the future, both less the last value.

  As NLinear (Zeng et al. 2023). Ridge regression by normal equations in float64; the penalty is chosen on the
  validation windows.
  """
  gram, cross, count = np.zeros((lookback + 1, lookback + 1)), np.zeros((lookback + 1, horizon)), 0
  for past, future, _, _ in _pairs(data, windows['train'], lookback, horizon):
    inputs = _features(past)
    gram += inputs.T @ inputs
    cross += inputs.T @ (future - past[:, -1:])
    count += len(inputs)
  scale = np.trace(gram[:-1, :-1]) / lookback

  def forecast(ridge: float) -> Forecast:
    weights = np.linalg.solve(gram + ridge * scale * np.eye(lookback + 1), cross)
    return lambda past: past[:, -1:] + _features(past) @ weights

  choices = [forecast(ridge) for ridge in RIDGES]
  scores = [_errors(choice, data, windows['validation'], lookback, horizon)['mse'] for choice in choices]
  return choices[int(np.argmin(scores))]


def _features(past: Float64[np.ndarray, 'w s']) -> Float64[np.ndarray, 'w s+1']:
  return np.concatenate([past - past[:, -1:], np.ones((len(past), 1))], axis=1)


def _pairs(data: Series, starts: Int64[np.ndarray, 'w'], lookback: int, horizon: int) -> Iterator[tuple]:
  """Yield past, future, the series and the variable of some windows at a time."""
  for variable in range(data.values.shape[1]):
    every = np.lib.stride_tricks.sliding_window_view(data.values[:, variable], lookback + horizon)
    for first in range(0, len(starts), TOGETHER):
      some = starts[first : first + TOGETHER]
      together = some[-1] - some[0] == len(some) - 1
      windows = every[some[0] : some[-1] + 1] if together else every[some]  # a view costs nothing
      yield windows[:, :lookback], windows[:, lookback:], data.owner(some), variable


def _errors(forecast: Forecast, data: Series, starts: np.ndarray, lookback: int, horizon: int) -> dict[str, float]:
  squared = absolute = percent = scaled = 0.0
  comparable = 0
  for past, future, owner, variable in _pairs(data, starts, lookback, horizon):
    found = forecast(past)
    squared += float(np.square(found - future).sum())
    absolute += float(np.abs(found - future).sum())
    mean, deviation, naive = (getattr(data, name)[owner, variable][:, None] for name in ('mean', 'deviation', 'naive'))
    found, future = found * deviation + mean, future * deviation + mean
    percent += float(smape(found, future).sum())
    scaled += float(scaled_error(found, future, naive).sum())
    comparable += int((naive > 0).sum()) * horizon
  count = len(starts) * horizon * data.values.shape[1]
  errors = {'loss': squared / count, 'mse': squared / count, 'mae': absolute / count, 'smape': percent / count}
  return errors | ({'mase': scaled / comparable} if comparable else {})
