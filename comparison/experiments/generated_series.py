"""Forecasts of generated series, three families of them, from a short history to a very long one."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from comparison.experiments.base import Cell, Scale
from comparison.experiments.forecasting_grids import Forecasts, Sampled
from comparison.experiments.grid import Score
from comparison.experiments.trained import Trial, in_parts
from comparison.experiments.training_grids import common
from seqmodels.models import Model
from tasks.base import Task
from tasks.datasets import series
from training.evaluate import quotient
from training.free_running import free_running_examples
from training.settings import EvalSettings

VERSION = 1  # of what is generated
SEEN = 4000  # steps of validation, and of test
DAY, WEEK = 24, 168


@dataclass(frozen=True)
class Generated(Sampled):
  """Forecasting of one long series of a family, `rows` steps, the last of which validate and test.

  More training windows are a longer history.
  """

  spread_out: bool = False
  family: str = 'seasons'
  rows: int = 20_000

  @property
  def data(self) -> series.Series:
    return generated(self.family, self.rows)

  def identity(self) -> dict[str, Any]:
    return {'dataset': self.family, 'rows': self.rows, **self.data.identity}


@functools.lru_cache(maxsize=4)
def generated(family: str, rows: int) -> series.Series:
  """Return a series of a family, scaled by its training rows."""
  values = FAMILIES[family](np.random.default_rng(0), rows)
  period = (DAY, WEEK) if family == 'seasons' else series.NONE
  borders = (rows - 2 * SEEN, rows - SEEN, rows)
  return series.collected([values[:, None]], [borders], period, {'version': VERSION})


def seasons(random: np.random.Generator, rows: int) -> Float64[np.ndarray, ' t']:
  """Return a daily and a weekly season whose strengths drift, in noise."""
  steps = np.arange(rows)
  drift = [1 + 0.5 * np.sin(2 * np.pi * steps / period) for period in (1009, 2503)]
  waves = [np.sin(2 * np.pi * steps / period + random.uniform(0, 6)) for period in (DAY, WEEK)]
  return drift[0] * waves[0] + drift[1] * waves[1] + 0.3 * random.normal(size=rows)


def regimes(random: np.random.Generator, rows: int) -> Float64[np.ndarray, ' t']:
  """Return an autoregression of two steps whose frequency is another one after every 100 steps, on average."""
  switches = random.random(rows) < 0.01
  frequency = random.choice([0.2, 0.5, 1.0], size=rows)[np.maximum.accumulate(np.where(switches, np.arange(rows), 0))]
  first, second, noise = (2 * 0.97 * np.cos(frequency)).tolist(), -(0.97**2), random.normal(size=rows).tolist()
  values = [0.0, 0.0]
  for step in range(2, rows):
    values.append(first[step] * values[-1] + second * values[-2] + noise[step])
  return np.array(values)


def returns(random: np.random.Generator, rows: int) -> Float64[np.ndarray, ' t']:
  """Return stretches of 24 to 40 steps that nothing foretells, each of them followed by itself, in a little noise."""
  parts: list[np.ndarray] = []
  written = 0
  while written < rows:
    stretch = random.normal(size=int(random.integers(24, 41)))
    parts += [stretch, stretch]
    written += 2 * len(stretch)
  return np.concatenate(parts)[:rows] + 0.1 * random.normal(size=rows)


FAMILIES: Mapping[str, Callable[[np.random.Generator, int], Float64[np.ndarray, ' t']]] = {
  'seasons': seasons,
  'regimes': regimes,
  'returns': returns,
}


class GrowingSeries(Forecasts):
  """The error of forecasts of each family over the number of windows of its history that a model learns from.

  Models learn to forecast every next step of a window, and forecast the horizon from their own forecasts.
  """

  name = 'growing_series'
  version = 2
  forms = 4

  def points(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'smoke':
      return [{'family': 'returns', 'examples': 100}]
    counts = (1000, 10_000, 100_000, 1_000_000) if scale == 'accelerator' else (200, 20_000)
    return [{'family': family, 'examples': count} for family in FAMILIES for count in counts]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {
        'lookback': 24, 'length': 24, 'horizon': 8, 'rows': 9000, 'stride': 400, 'size': 8e3, 'batch': 4, 'steps': 4,
        'rates': [3e-3], 'seeds': [0], 'tuning_seeds': [0],
      },
      {},
      {
        'lookback': 96, 'length': 96, 'horizon': 24, 'rows': 30_000, 'stride': 16, 'size': 3e4, 'batch': 16,
        'steps': 1500, 'rates': [1e-3, 3e-3, 1e-2, 3e-2], 'seeds': [0, 1, 2, 3, 4],
      },
      {'rows': 1_100_000, 'size': 1e6, 'batch': 64, 'steps': 20_000},
    )  # fmt: skip

  def task(self, cell: Cell) -> Task:
    return Generated(
      lookback=cell['lookback'], horizon=cell['horizon'], normalise='instance', train_examples=cell['examples'],
      stride=cell['stride'], family=cell['family'], rows=cell['rows'], form='autoregressive',
    )  # fmt: skip

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    """Return the errors of a horizon that a model forecasts from its own forecasts."""
    del cell
    settings = EvalSettings(100, free_running=SEEN)  # all
    found = free_running_examples(model, trial.params, task, task.evaluations()['test'], settings)
    scored = lambda pair: (quotient(*pair.sum(axis=1)), '', {'parts': in_parts(pair)})
    return {'loss': scored(found['free_mse']), 'mae': scored(found['free_mae'])}

  def baselines(self, task: Task) -> Mapping[str, Mapping[str, float]]:
    return {name: {'loss': values['free_mse']} for name, values in super().baselines(task).items()}
