"""Training inside an experiment: a model on a task for some updates, compiled once for all of its trials."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from comparison.experiments.base import Cell
from comparison.experiments.subjects import Subject
from comparison.records import AT_EQUAL_FLOPS
from seqmodels.models import Model, sizing
from seqmodels.notation import Params
from tasks.base import Batch, Evaluation
from training.evaluate import evaluate
from training.optimizer import Optimizer, make_optimizer
from training.settings import EvalSettings, TrainSettings
from training.step import TrainState, make_step


class Run(NamedTuple):
  """One trained model: its parameters, the loss of every update, and whether it stayed finite."""

  params: Params
  losses: np.ndarray
  finite: bool


class Trainer:
  """Trains a model on a task from any seed at any learning rate with one compiled step."""

  def __init__(self, model: Model, task: Any, settings: TrainSettings):
    self.model, self.task, self.settings = model, task, settings
    self.base = make_optimizer(dataclasses.replace(settings, learning_rate=1.0))
    self.step = make_step(model, task, self._optimizer(1.0))

  def _optimizer(self, learning_rate: float) -> Optimizer:
    """The optimiser at a learning rate that is part of its state, so that every rate shares the compiled step.

    The last thing that the optimiser does is to multiply by the learning rate, so multiplying again is the same.
    """

    def update(updates: Any, rate: jax.Array, params: Any = None) -> tuple[Any, jax.Array]:
      del params
      return jax.tree.map(lambda u: u * rate, updates), rate

    scale = optax.GradientTransformation(lambda params: jnp.float32(learning_rate), update)
    return Optimizer(optax.chain(self.base.transform, scale), self.base.schedule)

  def run(self, learning_rate: float, seed: int) -> Run:
    """`settings.steps` updates on batches of the task's training split drawn with `seed`."""
    params = self.model.init(jax.random.key(seed))
    carry = self.model.init_state(self.settings.batch_size, self.settings.segment) if self.settings.segment else None
    optimizer_state = self._optimizer(learning_rate).transform.init(params)
    state = TrainState(jnp.zeros((), jnp.int32), params, optimizer_state, carry)
    losses = []
    for batch in self._batches(seed):
      state, metrics = self.step(state, batch)
      losses.append(metrics['loss'])
    curve = np.asarray(jax.device_get(losses))
    return Run(state.params, curve, bool(np.isfinite(curve).all()))

  def _batches(self, seed: int) -> Iterator[Batch]:
    segment = self.settings.segment or None
    stream = iter(self.task.dataset('train', self.settings.batch_size, seed=seed, segment=segment))
    for _ in range(self.settings.steps):
      yield next(stream)


def updates(model: Model, cell: Cell) -> int:
  """How many updates a cell trains for: its `steps`, or as many as the training FLOPs of another model's steps buy.

  A cell with `matched` names that model in `budget_of`: of the same parameters, trained for `steps`.
  """
  if 'matched' not in cell:
    return cell['steps']
  other = Subject(cell['budget_of']).build(model.spec, params=cell['size'], depth=cell['depth'])
  length = model.spec.length
  return round(cell['steps'] * sizing.sequence_flops(other, length) / sizing.sequence_flops(model, length))


def metric(name: str, cell: Cell) -> str:
  """The name of a metric in a cell's rows."""
  return name + AT_EQUAL_FLOPS if 'matched' in cell else name


def equal_flops(*architectures: str) -> list[Cell]:
  """What the cells of a second budget add to those that they repeat: the FLOPs of the LSTM.

  architectures: those whose FLOPs a token are so far from it at as many parameters that another number of updates
  matters; the rows of the others stand for both budgets.
  """
  return [{'architecture': name, 'matched': 'flops', 'budget_of': 'lstm'} for name in architectures]


def score(model: Model, params: Params, task: Any, split: str, batch_size: int = 100) -> dict[str, float]:
  """The task's metrics over the whole split, as sums over weights."""
  return evaluate(model, params, task, Evaluation(split), EvalSettings(batch_size))


def trials(
  trainer: Trainer, rates: Iterable[float], seeds: Iterable[int], judge: Any
) -> tuple[float, list[tuple[int, Run]], float]:
  """Every learning rate with every seed; the rate with the best mean of `judge(params)` over the seeds.

  Returns that rate, its runs by seed, and its mean score. Runs that diverged score minus infinity.
  """
  seeds = list(seeds)
  best: tuple[float, list[tuple[int, Run]], float] | None = None
  for rate in rates:
    runs = [(seed, trainer.run(rate, seed)) for seed in seeds]
    mean = float(np.mean([judge(run.params) if run.finite else -np.inf for _, run in runs]))
    if best is None or mean > best[2]:
      best = (rate, runs, mean)
  if best is None or not np.isfinite(best[2]):
    raise FloatingPointError(f'every learning rate of {list(rates)} diverged for at least one seed')
  return best
