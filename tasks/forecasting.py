"""Forecast the next `horizon` steps of each variable from the last `lookback` (Zhou et al. 2021)."""

import functools
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int64

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.spec import Spec, Vectors
from tasks import forecast_baselines, losses
from tasks.base import Batch, Sums
from tasks.datasets import files
from tasks.datasets import series as datasets
from tasks.forecast_metrics import scaled_error, smape
from tasks.pipeline import IndexedTask

CHANNELS, NORMALISE = ('joint', 'independent'), ('none', 'last')


@dataclass(frozen=True)
class Forecasting(IndexedTask):
  """Forecast windows of time series.

  `dataset` is a name (seasonal | ETTh1 | ETTm1 | exchange_rate | m4_hourly) or the path of the user's own CSV file, for
  which `date`, `columns`, `missing` and `period` say how it is read (see own_csv.load).

  Values are scaled by mean and deviation of the training rows, and so are the errors `loss`, `mse` and `mae`; `mase`
  and `smape` are those of forecast_metrics. Every window of a split counts; those of validation and test look back
  across the border, as is usual. `channels`: all variables in one example (`joint`), or each variable of each window an
  example of its own (`independent`, Nie et al. 2023). `normalise="last"` subtracts the last value seen (NLinear, Zeng
  et al. 2023) from inputs and targets alike: the error is the same as when it is added to the outputs instead. `patch`:
  steps that one token holds (Nie et al. 2023; for an RNN Lin et al. 2023). `train_examples` are the last windows.
  """

  series: str = field(default='seasonal', metadata={'option': 'dataset'})
  lookback: int = 336
  horizon: int = 96
  channels: str = 'joint'
  normalise: str = 'none'
  patch: int = 1
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
    check_positive(**{'task.lookback': self.lookback, 'task.horizon': self.horizon, 'task.patch': self.patch})
    if self.lookback % self.patch:
      raise InputError(f'task.patch={self.patch} must divide task.lookback={self.lookback}')

  @property
  def _reading(self) -> datasets.Reading:
    return datasets.Reading(self.date, self.columns, self.missing, self.period)

  @functools.cached_property
  def _stamp(self) -> tuple:
    return () if self.series in datasets.SERIES else files.stamp(self.series)

  @property
  def data(self) -> datasets.Series:
    return datasets.load(self.series, self.split, self._reading, self._stamp)

  @property
  def _variables(self) -> int:
    """Return the number of variables in one example."""
    return self.data.values.shape[1] if self.channels == 'joint' else 1

  @property
  def spec(self) -> Spec:
    inputs, outputs = Vectors(self.patch * self._variables), Vectors(self.horizon * self._variables)
    return Spec('causal', inputs, outputs, length=self.lookback // self.patch, readout='last')

  def windows(self, split: str) -> Int64[np.ndarray, 'w']:
    """Return the first rows of the split's windows. Raises InputError if a series is too short for one."""
    return self._windows[split]

  @functools.cached_property
  def _windows(self) -> dict[str, Int64[np.ndarray, 'w']]:
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
    return len(self.windows(split)) * (self.data.values.shape[1] // self._variables)

  def count(self, split: str) -> int:
    """Return the number of windows, or of windows of a variable; `train_examples` are the last ones."""
    every = self._every(split)
    if split != 'train' or not self.train_examples:
      return every
    if self.train_examples > every:
      raise InputError(f'task.train_examples={self.train_examples} must be at most {every}, as many as there are')
    return self.train_examples

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    data = self.data
    if split == 'train' and self.train_examples:
      indices = indices + self._every('train') - self.train_examples
    windows, variables = np.divmod(indices, data.values.shape[1] // self._variables)
    every = np.lib.stride_tricks.sliding_window_view(data.values, self.lookback + self.horizon, axis=0)  # [first n t]
    first = self.windows(split)[windows]
    whole = every[first].swapaxes(1, 2) if self.channels == 'joint' else every[first, variables][:, :, None]
    last = whole[:, self.lookback - 1]
    if self.normalise == 'last':
      whole = whole - last[:, None, :]
    whole = whole.astype(np.float32, order='C')
    inputs = whole[:, : self.lookback].reshape(len(indices), self.lookback // self.patch, -1)
    targets = whole[:, self.lookback :].reshape(len(indices), -1)
    units = self._units(data.owner(first), variables, last)
    return Batch(inputs, targets, np.ones(len(indices), np.float32), extras=units)

  def _units(self, owner: np.ndarray, variables: np.ndarray, last: Float[np.ndarray, 'b n']) -> dict[str, np.ndarray]:
    """Return scale, shift and naive error, [b n] each: outputs · scale + shift are in the data's own units."""
    mean, scale, naive = (
      table[owner] if self.channels == 'joint' else table[owner, variables][:, None]
      for table in (self.data.mean, self.data.deviation, self.data.naive)
    )
    shift = mean + last * scale if self.normalise == 'last' else mean
    return {name: x.astype(np.float32) for name, x in (('scale', scale), ('shift', shift), ('naive', naive))}

  def loss(self, outputs: Float[Array, 'b n'], batch: Batch) -> Sums:
    """Return the squared error, over every target of every counted example."""
    return losses.summed(jnp.square(outputs - batch.targets), _spread(batch.weights, outputs))

  def metrics(self, outputs: Float[Array, 'b n'], batch: Batch) -> dict[str, Sums]:
    """Return loss and mse (the same) and mae, of scaled values; smape, and mase where the naive error is not 0."""
    weights = _spread(batch.weights, outputs)
    mse = self.loss(outputs, batch)
    mae = losses.summed(jnp.abs(outputs - batch.targets), weights)
    scale, shift, naive = (jnp.tile(batch.extras[name], (1, self.horizon)) for name in ('scale', 'shift', 'naive'))
    forecast, actual = outputs * scale + shift, batch.targets * scale + shift
    comparable = weights * (naive > 0).astype(weights.dtype)
    return {
      'loss': mse,
      'mse': mse,
      'mae': mae,
      'smape': losses.summed(smape(forecast, actual), weights),
      'mase': losses.summed(scaled_error(forecast, actual, naive), comparable),
    }

  def identity(self) -> dict[str, Any]:
    name = self.series if self.series in datasets.SERIES else 'file'  # which may have moved
    return {'dataset': name, 'split': self.split, **self.data.identity}

  def units(self) -> dict[str, Any]:
    """Return mean and deviation of each series and variable: values · deviation + mean are the data."""
    return {'mean': self.data.mean.tolist(), 'deviation': self.data.deviation.tolist()}

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the errors of the last value, the values a season ago and a linear map; see forecast_baselines."""
    windows = {split: self.windows(split) for split in self.splits}
    return forecast_baselines.evaluate(self.data, windows, self.lookback, self.horizon)


def _spread(weights: Float[Array, 'b'], outputs: Float[Array, 'b n']) -> Float[Array, 'b n']:
  return jnp.broadcast_to(weights[:, None], outputs.shape)
