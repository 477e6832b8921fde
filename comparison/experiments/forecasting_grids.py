"""Grids of forecasts: long series with few of them to learn from, and windows of ten thousand steps."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from comparison.experiments.base import Cell, Scale
from comparison.experiments.grid import Score
from comparison.experiments.sides import RESIDUAL_LSTM, OfSides
from comparison.experiments.trained import Trial
from comparison.experiments.training_grids import common
from seqmodels.models import Model
from tasks.base import Task
from tasks.forecasting import Forecasting

MOST_READ, LESS = 2880, 960  # steps that linear maps read


@dataclass(frozen=True)
class Sampled(Forecasting):
  """Forecasting scored on every `stride`-th window of validation and test, which share most of their steps.

  spread_out: whether training reads windows from all over the training part, as many as `train_examples` asks for, or
  the last ones, which are much alike.
  """

  stride: int = 1
  spread_out: bool = True

  def windows(self, split: str) -> Int64[np.ndarray, ' w']:
    found = super().windows(split)
    if split != 'train':
      return found[:: self.stride]
    if not self.spread_out:
      return found
    every = self._windows['train']
    return every[np.linspace(0, len(every) - 1, len(found)).round().astype(int)]

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the baselines; beyond MOST_READ, those that read the last LESS steps, since linear maps take too long."""
    if self.lookback <= MOST_READ:
      return super().baselines()
    found = dataclasses.replace(self, lookback=LESS).baselines()
    return {f'{name} of {LESS} steps': values for name, values in found.items()}


class Forecasts(OfSides):
  """Forecasts of each variable of a series by itself, windows normalised by their own mean and deviation."""

  at_laptop = False
  beside = (RESIDUAL_LSTM,)
  loss_unit = ''  # squared errors of scaled values
  baselines_beside = 'transformer'

  def task(self, cell: Cell) -> Task:
    return Sampled(
      series=cell['dataset'], lookback=cell['lookback'], horizon=cell['horizon'], patch=cell['patch'],
      channels='independent', normalise='instance', train_examples=cell['examples'], stride=cell['stride'],
    )  # fmt: skip

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    found = super().scores(model, trial, task, cell)
    return {name: found[name] for name in ('loss', 'mae')}


class LongSeries(Forecasts):
  """An electricity transformer's load, read over longer and longer windows, with few training windows and with more."""

  name = 'long_series'
  version = 2

  def points(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'smoke':
      return [{'lookback': 24, 'length': 24, 'examples': 50}]
    lookbacks = (336, 1440, 2880) if scale == 'accelerator' else (96, 336, 720)
    counts = (1600, 6400, 25_600) if scale == 'accelerator' else (400, 1600, 6400)
    return [{'lookback': lookback, 'length': lookback, 'examples': n} for lookback in lookbacks for n in counts]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {
        'dataset': 'seasonal', 'horizon': 8, 'patch': 1, 'stride': 100, 'size': 8e3, 'batch': 4, 'steps': 4,
        'rates': [3e-3], 'seeds': [0, 1], 'tuning_seeds': [0],
      },
      {},
      {
        'dataset': 'ETTh1', 'horizon': 96, 'stride': 64, 'size': 3e4, 'batch': 16, 'steps': 600,
        'rates': [1e-3, 3e-3, 1e-2, 3e-2], 'seeds': [0, 1, 2],
      },
      {'size': 1e6, 'stride': 16, 'batch': 32, 'steps': 2000, 'seeds': [0, 1, 2, 3, 4]},
    )  # fmt: skip


class TenThousandSteps(Forecasts):
  """The load every 15 minutes, read over ten thousand steps and over ten days, in the same patches on both sides."""

  name = 'ten_thousand_steps'
  version = 2

  def points(self, scale: Scale) -> Sequence[Cell]:
    patch = self.common(scale)['patch']
    lookbacks = {'smoke': (96,), 'overnight': (10_080,)}.get(scale, (960, 10_080))
    horizons = (8,) if scale == 'smoke' else (24, 96, 384)
    return [{'lookback': b, 'length': b // patch, 'horizon': h} for b in lookbacks for h in horizons]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {
        'dataset': 'seasonal', 'patch': 12, 'stride': 100, 'size': 1.2e4, 'batch': 4, 'steps': 4,
        'rates': [3e-3], 'seeds': [0, 1], 'tuning_seeds': [0], 'examples': 0,
      },
      {},
      {
        'dataset': 'ETTm1', 'patch': 32, 'stride': 480, 'size': 1e5, 'batch': 16, 'steps': 600,
        'rates': [1e-3, 3e-3, 1e-2, 3e-2], 'seeds': [0, 1, 2, 3, 4],
      },
      {'patch': 16, 'size': 1e6, 'batch': 32, 'steps': 5000},
    )  # fmt: skip
