"""Forecasting: the next `horizon` steps of each variable from the last `lookback` (Zhou et al. 2021)."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.spec import Spec, Vectors
from tasks import forecast_baselines, losses
from tasks.base import Batch, Sums
from tasks.datasets import series as datasets
from tasks.pipeline import IndexedTask

CHANNELS, NORMALISE = ('joint', 'independent'), ('none', 'last')


@dataclass(frozen=True)
class Forecasting(IndexedTask):
  """Options: `dataset` (seasonal | ETTh1 | ETTm1), `lookback`, `horizon`, `channels`, `normalise`,
  `patch`.

  Values are scaled by mean and deviation of the training rows, and so are all errors. Every window of a split counts;
  those of validation and test look back across the border, as is usual. `channels`: all variables in one example
  (`joint`), or each variable of each window an example of its own (`independent`, Nie et al. 2023). `normalise="last"`
  subtracts the last value seen (NLinear, Zeng et al. 2023) from inputs and targets alike: the error is the same as when
  it is added to the outputs instead. `patch`: steps that one token holds (Nie et al. 2023; for an RNN Lin et al. 2023).
  """

  series: str = field(default='seasonal', metadata={'option': 'dataset'})
  lookback: int = 336
  horizon: int = 96
  channels: str = 'joint'
  normalise: str = 'none'
  patch: int = 1

  def __post_init__(self) -> None:
    super().__post_init__()
    for option, value, allowed in (
      ('dataset', self.series, datasets.SERIES),
      ('channels', self.channels, CHANNELS),
      ('normalise', self.normalise, NORMALISE),
    ):
      if value not in allowed:
        raise unknown(f'task.{option}', value, allowed)
    check_positive(**{'task.lookback': self.lookback, 'task.horizon': self.horizon, 'task.patch': self.patch})
    if self.lookback % self.patch:
      raise InputError(f'task.patch={self.patch} must divide task.lookback={self.lookback}')

  @property
  def data(self) -> datasets.Series:
    return datasets.load(self.series)

  @property
  def _variables(self) -> int:
    """Variables in one example."""
    return self.data.values.shape[1] if self.channels == 'joint' else 1

  @property
  def spec(self) -> Spec:
    inputs, outputs = Vectors(self.patch * self._variables), Vectors(self.horizon * self._variables)
    return Spec('causal', inputs, outputs, length=self.lookback // self.patch, readout='last')

  def windows(self, split: str) -> range:
    """The first rows of the split's windows. Raises InputError if the split is too short for one."""
    train, validation, test = self.data.borders
    first, end = {
      'train': (0, train),
      'validation': (train - self.lookback, validation),
      'test': (validation - self.lookback, test),
    }[split]
    starts = range(first, end - self.lookback - self.horizon + 1)
    if first < 0 or not starts:
      raise InputError(
        f'task.lookback={self.lookback} and task.horizon={self.horizon} do not fit into {self.series}, whose {split}'
        f' split ends at row {end} after {train} rows of training'
      )
    return starts

  def count(self, split: str) -> int:
    """Return the number of windows, or of windows of a variable; `train_examples` are the last ones."""
    every = len(self.windows(split)) * (self.data.values.shape[1] // self._variables)
    if split != 'train' or not self.train_examples:
      return every
    if self.train_examples > every:
      raise InputError(f'task.train_examples={self.train_examples} must be at most {every}, as many as there are')
    return self.train_examples

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    values = self.data.values
    if split == 'train' and self.train_examples:
      indices = indices + dataclasses.replace(self, train_examples=0).count('train') - self.train_examples
    windows, variables = np.divmod(indices, values.shape[1] // self._variables)
    every = np.lib.stride_tricks.sliding_window_view(values, self.lookback + self.horizon, axis=0)  # [first n t]
    first = self.windows(split).start + windows
    whole = every[first].swapaxes(1, 2) if self.channels == 'joint' else every[first, variables][:, :, None]
    if self.normalise == 'last':
      whole = whole - whole[:, self.lookback - 1 : self.lookback]
    whole = whole.astype(np.float32, order='C')
    inputs = whole[:, : self.lookback].reshape(len(indices), self.lookback // self.patch, -1)
    targets = whole[:, self.lookback :].reshape(len(indices), -1)
    return Batch(inputs, targets, np.ones(len(indices), np.float32))

  def loss(self, outputs: Float[Array, 'b n'], batch: Batch) -> Sums:
    """Squared error, over every target of every counted example."""
    return losses.summed(jnp.square(outputs - batch.targets), _spread(batch.weights, outputs))

  def metrics(self, outputs: Float[Array, 'b n'], batch: Batch) -> dict[str, Sums]:
    """loss and mse (the same) and mae, of scaled values."""
    mse = self.loss(outputs, batch)
    mae = losses.summed(jnp.abs(outputs - batch.targets), _spread(batch.weights, outputs))
    return {'loss': mse, 'mse': mse, 'mae': mae}

  def identity(self) -> dict[str, Any]:
    return {'dataset': self.series, 'borders': list(self.data.borders), **self.data.identity}

  def baselines(self) -> dict[str, dict[str, float]]:
    """copy_last, seasonal_naive (a day ago) and linear on every test window; see forecast_baselines."""
    windows = {split: self.windows(split) for split in self.splits}
    return forecast_baselines.evaluate(self.data.values, windows, self.lookback, self.horizon, self.data.period)


def _spread(weights: Float[Array, 'b'], outputs: Float[Array, 'b n']) -> Float[Array, 'b n']:
  return jnp.broadcast_to(weights[:, None], outputs.shape)
