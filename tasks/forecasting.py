"""Forecast the next `horizon` steps of each variable from the last `lookback` (Zhou et al. 2021)."""

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.spec import Spec, Vectors
from tasks import forecast_baselines, smoothing
from tasks.base import Batch
from tasks.datasets import m4, naming
from tasks.datasets import series as datasets
from tasks.fitted import Fitted
from tasks.forecast_task import ForecastTask
from tasks.rollout import FREE

CHANNELS, NORMALISE = ('joint', 'independent'), ('none', 'last', 'instance', 'smoothing')
EPSILON = 1e-5  # added to the variance of a window (Kim et al. 2022)


class Windows(NamedTuple):
  """Say of some windows which series and variable they are of, and how they are normalised.

  variables: [b]; read where channels are independent. centre [b 1 n] or, another for every step, [b t n]; spread [b n]:
  see `Forecasting._standard`.
  """

  owner: np.ndarray
  variables: np.ndarray
  centre: np.ndarray
  spread: np.ndarray


@dataclass(frozen=True)
class Forecasting(Fitted, ForecastTask):
  """Forecast windows of time series.

  `dataset` is a name (seasonal | ETTh1 | ETTm1 | exchange_rate | m4_hourly), the path of the user's own CSV file, for
  which `date`, `columns`, `missing` and `period` say how it is read (see own_csv.load), or `tfds:NAME[/CONFIG]`, for
  which `columns` and `period` do (see tfds_series.load).

  Values are scaled by mean and deviation of the training rows, and so are the errors `loss`, `mse` and `mae`; `mase`
  and `smape` are those of forecast_metrics. Every window of a split counts; those of validation and test look back
  across the border, as is usual. `channels`: all variables in one example (`joint`), or each variable of each window an
  example of its own (`independent`, Nie et al. 2023). `normalise="last"` subtracts the last value seen (NLinear, Zeng
  et al. 2023) from inputs and targets alike: the error is the same as when it is added to the outputs instead;
  `"instance"` subtracts the mean of what is seen and divides by its deviation (Kim et al. 2022, without their learned
  scale and shift), and errors are those of outputs that are scaled back. `"smoothing"` subtracts the level at the end
  of what is seen and a season, both by exponential smoothing of the whole series so far, and divides by the deviation
  of the rest: a hybrid of smoothing and a network like that of Smyl (2020), where the season is multiplied and the
  coefficients are trained with the network; here it is added, and they are chosen beforehand (see smoothing.py).
  `patch`: steps that one token holds (Nie et al. 2023; for an RNN Lin et al. 2023). `train_examples` are the last
  windows, for models and for the linear maps among the baselines.
  """

  fixed_options = ('channels', 'normalise', 'patch', 'form', 'quantiles')
  series: str = field(default='seasonal', metadata={'option': 'dataset'})
  lookback: int = 336
  channels: str = 'joint'
  normalise: str = 'none'
  split: str = 'auto'
  date: str = 'auto'
  columns: str = ''
  missing: str = 'refuse'
  period: int = 0

  def __post_init__(self) -> None:
    super().__post_init__()
    datasets.check_options(self.series, self.split, self._reading)
    for option, value, allowed in (('channels', self.channels, CHANNELS), ('normalise', self.normalise, NORMALISE)):
      if value not in allowed:
        raise unknown(f'task.{option}', value, allowed)
    check_positive(**{'task.lookback': self.lookback})
    if self.normalise == 'smoothing' and self.form != 'direct':
      raise InputError(
        f'task.normalise=smoothing needs task.form=direct, not {self.form}: the season goes on by itself'
      )
    if self.lookback % self.patch:
      raise InputError(f'task.patch={self.patch} must divide task.lookback={self.lookback}')

  @property
  def _reading(self) -> datasets.Reading:
    return datasets.Reading(self.date, self.columns, self.missing, self.period)

  @functools.cached_property
  def _stamp(self) -> tuple:
    return naming.stamp(self.series, datasets.SERIES)

  @property
  def data(self) -> datasets.Series:
    own = datasets.load(self.series, self.split, self._reading, self._stamp)
    return datasets.rescaled(own, self.series, self.restored) if self.kept else own

  @property
  def _variables(self) -> int:
    """Return the number of variables in one example."""
    return self.data.values.shape[1] if self.channels == 'joint' else 1

  @property
  def spec(self) -> Spec:
    inputs, given = Vectors(self.patch * self._variables), self.lookback // self.patch
    if self.form == 'autoregressive':
      return Spec('causal', inputs, self.outputs(inputs.size), length=given + self.horizon // self.patch - 1)
    return Spec('causal', inputs, self.outputs(self.horizon * self._variables), length=given, readout='last')

  def windows(self, split: str) -> Int64[np.ndarray, ' w']:
    """Return the first rows of the split's windows; of training, the last ones that hold `train_examples`.

    Raises InputError if a series is too short for one.
    """
    every = self._windows[split]
    if split != 'train' or not self.train_examples:
      return every
    count = -(-self.train_examples // self._of_window)
    return every[-count:]

  @property
  def _of_window(self) -> int:
    """Return the number of examples that a window gives."""
    return self.data.values.shape[1] // self._variables

  @functools.cached_property
  def _windows(self) -> dict[str, Int64[np.ndarray, ' w']]:
    found: dict[str, list[np.ndarray]] = {split: [] for split in self.splits}
    for start, (train, validation, test) in zip(self.data.starts, self.data.ends, strict=True):
      borders = {
        'train': (start, train),
        'validation': (train - self.lookback, validation),
        'test': (validation - self.lookback, test),
      }
      for split, (first, end) in borders.items():
        rows = np.arange(first, end - self.lookback - self.horizon + 1)
        if first < start or not len(rows):
          raise InputError(
            f'task.lookback={self.lookback} and task.horizon={self.horizon} do not fit into {self.series}, whose '
            f'{split} split ends at row {end - start} after {train - start} rows of training'
          )
        found[split].append(rows)
    return {split: np.concatenate(rows) for split, rows in found.items()}

  def _every(self, split: str) -> int:
    return len(self.windows(split)) * self._of_window

  def count(self, split: str) -> int:
    """Return the number of windows, or of windows of a variable; `train_examples` are the last ones."""
    return self.limited(split, self._every(split))

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    data = self.data
    if split == 'train' and self.train_examples:
      indices = indices + self._every('train') - self.train_examples
    numbers, variables = np.divmod(indices, self._of_window)
    every = np.lib.stride_tricks.sliding_window_view(data.values, self.lookback + self.horizon, axis=0)  # [first n t]
    first = self.windows(split)[numbers]
    whole = every[first].swapaxes(1, 2) if self.channels == 'joint' else every[first, variables][:, :, None]
    windows = Windows(data.owner(first), variables, *self._standard(whole[:, : self.lookback], first, variables))
    extras = self._units(windows)
    if split != 'train':
      extras |= self._references(split, windows, whole)
    normalised = (whole - windows.centre) / windows.spread[:, None, :]
    return self._batch(split, normalised.astype(np.float32, order='C'), extras)

  def _batch(self, split: str, whole: Float[np.ndarray, 'b t n'], extras: dict[str, np.ndarray]) -> Batch:
    """Return normalised windows as inputs and targets."""
    rows, given = len(whole), self.lookback // self.patch
    if self.form == 'direct':
      inputs, targets = whole[:, : self.lookback], whole[:, self.lookback :]
      weights = np.ones(rows, np.float32)
      return Batch(inputs.reshape(rows, given, -1), targets.reshape(rows, -1), weights, extras=extras)
    tokens = whole.reshape(rows, -1, self.patch * whole.shape[2])
    weights = np.ones((rows, tokens.shape[1] - 1), np.float32)
    if split != 'train':
      weights[:, : given - 1] = 0
    return Batch(tokens[:, :-1], tokens[:, 1:], weights, extras=extras)

  def _standard(
    self, past: Float[np.ndarray, 'b s n'], first: np.ndarray, variables: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Return what is subtracted from windows and what they are then divided by, [b t n] (t may be 1) and [b n]."""
    if self.normalise == 'smoothing':
      centre = self._smooth_part(first, variables)
      return centre, np.sqrt((past - centre[:, : self.lookback]).var(axis=1) + EPSILON)
    if self.normalise == 'instance':
      return past.mean(axis=1, keepdims=True), np.sqrt(past.var(axis=1) + EPSILON)
    last = past[:, -1:]
    return last if self.normalise == 'last' else np.zeros_like(last), np.ones_like(last[:, 0])

  def _smooth_part(self, first: np.ndarray, variables: np.ndarray) -> Float[np.ndarray, 'b t n']:
    """Return the level at the end of the past and every step's season; beyond the past, the last one is repeated."""
    period = self.data.periods[0]
    if self.lookback < period:
      raise InputError(f'task.lookback={self.lookback} must be at least a season, {period}, for normalise=smoothing')
    ahead = self.lookback - period + np.arange(self.horizon) % period
    rows = first[:, None] + np.concatenate([np.arange(self.lookback), ahead])[None, :]
    level, season = self._smoothed
    end = first[:, None] + self.lookback - 1
    if self.channels == 'joint':
      return level[end] + season[rows]
    return (level[end, variables[:, None]] + season[rows, variables[:, None]])[:, :, None]

  @functools.cached_property
  def _smoothed(self) -> smoothing.Smoothed:
    return smoothing.smooth(self.data.values, self.data.starts, self.data.ends, self.data.periods[0])

  def _units(self, windows: Windows) -> dict[str, np.ndarray]:
    """Return spread, scale, shift and naive error, [b n] each; shift [b m] where it is another for every target.

    outputs · spread + a constant are the scaled values of the data set, outputs · scale + shift are in its own units.
    """
    data, (owner, variables, centre, spread) = self.data, windows
    mean, deviation, naive = (
      table[owner] if self.channels == 'joint' else table[owner, variables][:, None]
      for table in (data.mean, data.deviation, data.naive)
    )
    ahead = centre[:, -self.horizon :] if self.form == 'direct' else centre[:, -1:]
    shift = (mean[:, None, :] + ahead * deviation[:, None, :]).reshape(len(owner), -1)
    units = {'spread': spread, 'scale': deviation * spread, 'shift': shift, 'naive': naive}
    return {name: x.astype(np.float32) for name, x in units.items()}

  def _references(
    self, split: str, windows: Windows, whole: Float[np.ndarray, 'b t n']
  ) -> dict[str, Float[np.ndarray, 'b m']]:
    """Return the forecasts that scores are relative to, in the units of the targets. whole: before normalisation."""
    found, period = {}, self.data.periods[0]
    owner, variables, centre, spread = windows
    if period <= self.lookback:
      found['seasonal_naive'] = whole[:, self.lookback - period + np.arange(self.horizon) % period]
    if self._has_naive2:
      table = self._naive2[split]
      scaled = table[owner] if self.channels == 'joint' else table[owner, variables][:, None, :]
      found['naive2'] = scaled.swapaxes(1, 2)
    own = {name: (x - centre[:, -self.horizon :]) / spread[:, None, :] for name, x in found.items()}
    return {name: x.astype(np.float32).reshape(len(whole), -1) for name, x in own.items()}

  @property
  def _has_naive2(self) -> bool:
    """Whether scores are relative to Naive2, too: in M4, for the hours that the competition asked for."""
    return self.series == 'm4_hourly' and self.horizon == m4.HORIZON

  @functools.cached_property
  def _naive2(self) -> dict[str, np.ndarray]:
    splits = ('validation', 'test')
    return {split: forecast_baselines.naive2_table(self.data, split, self.horizon) for split in splits}

  def identity(self) -> dict[str, Any]:
    name = naming.recorded(self.series, datasets.SERIES, 'file')
    return {'dataset': name, 'split': self.split, **self.data.identity}

  def fitted(self) -> dict[str, Any]:
    return datasets.fitted_of(self.data)

  def units(self) -> dict[str, Any]:
    """Return mean and deviation of each series and variable: values · deviation + mean are the data."""
    return {'mean': self.data.mean.tolist(), 'deviation': self.data.deviation.tolist()}

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the errors of the last value, the values a season ago, linear maps and Naive2; see forecast_baselines.

    Maps are fitted to the windows that models are trained on. None reads a step of the horizon, so that errors beside
    an autoregressive model are those of its free-running forecasts, `free_…`.
    """
    windows = {split: self.windows(split) for split in self.splits}
    found = forecast_baselines.evaluate(self.data, windows, self.lookback, self.horizon, self._has_naive2)
    return {name: self._as_of_model(errors) for name, errors in found.items()}

  def _as_of_model(self, errors: dict[str, float]) -> dict[str, float]:
    """Return the errors of a forecast without quantiles by the names of the model's metrics that they stand beside."""
    if self.form == 'autoregressive':
      return {FREE + name: value for name, value in errors.items() if name != 'loss'}
    return errors | {'loss': errors['mae'], 'crps': errors['mae']} if self.quantiles else errors
