"""What a forecast must beat: the last value, the value a day ago, and a linear map."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

RIDGES = (1e-3, 1e-2, 1e-1)  # relative to the mean square of the inputs; the best on validation is taken

Forecast = Callable[[Float64[np.ndarray, 'w s']], Float64[np.ndarray, 'w t']]


def evaluate(
  values: Float64[np.ndarray, 't n'], windows: dict[str, range], lookback: int, horizon: int, period: int
) -> dict[str, dict[str, float]]:
  """Mean squared and absolute error of each baseline over all variables of all test windows.

  The seasonal one is left out if the lookback is shorter than the period.
  """
  forecasts: dict[str, Forecast] = {'copy_last': lambda past: np.repeat(past[:, -1:], horizon, axis=1)}
  if lookback >= period:
    day = lookback - period + np.arange(horizon) % period
    forecasts['seasonal_naive'] = lambda past: past[:, day]
  forecasts['linear'] = fit_linear(values, windows, lookback, horizon)
  return {name: _errors(forecast, values, windows['test'], lookback, horizon) for name, forecast in forecasts.items()}


def fit_linear(values: Float64[np.ndarray, 't n'], windows: dict[str, range], lookback: int, horizon: int) -> Forecast:
  """One linear map for all variables of what follows the last value on what went before it (NLinear, Zeng et al. 2023).

  Ridge regression by normal equations in float64; the penalty is chosen on the validation windows.
  """
  gram, cross, count = np.zeros((lookback + 1, lookback + 1)), np.zeros((lookback + 1, horizon)), 0
  for variable in range(values.shape[1]):
    past, future = _pairs(values[:, variable], windows['train'], lookback, horizon)
    inputs = _features(past)
    gram += inputs.T @ inputs
    cross += inputs.T @ (future - past[:, -1:])
    count += len(inputs)
  scale = np.trace(gram[:-1, :-1]) / lookback

  def forecast(ridge: float) -> Forecast:
    weights = np.linalg.solve(gram + ridge * scale * np.eye(lookback + 1), cross)
    return lambda past: past[:, -1:] + _features(past) @ weights

  choices = [forecast(ridge) for ridge in RIDGES]
  scores = [_errors(choice, values, windows['validation'], lookback, horizon)['mse'] for choice in choices]
  return choices[int(np.argmin(scores))]


def _features(past: Float64[np.ndarray, 'w s']) -> Float64[np.ndarray, 'w s+1']:
  return np.concatenate([past - past[:, -1:], np.ones((len(past), 1))], axis=1)


def _pairs(series: np.ndarray, starts: range, lookback: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
  windows = np.lib.stride_tricks.sliding_window_view(series, lookback + horizon)[starts.start : starts.stop]
  return windows[:, :lookback], windows[:, lookback:]


def _errors(forecast: Forecast, values: np.ndarray, starts: range, lookback: int, horizon: int) -> dict[str, float]:
  squared = absolute = 0.0
  for variable in range(values.shape[1]):
    past, future = _pairs(values[:, variable], starts, lookback, horizon)
    error = forecast(past) - future
    squared, absolute = squared + float(np.square(error).sum()), absolute + float(np.abs(error).sum())
  count = len(starts) * horizon * values.shape[1]
  return {'loss': squared / count, 'mse': squared / count, 'mae': absolute / count}
