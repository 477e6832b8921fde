"""Training inside an experiment: the same run and loop as train.py, compiled once for all trials of a model."""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from comparison.experiments.base import Cell
from comparison.experiments.variants import Variant
from comparison.records import AT_EQUAL_FLOPS
from seqmodels.models import Model, sizing
from seqmodels.notation import Params
from tasks.base import Evaluation
from training.evaluate import NotFinite, check_finite, evaluate, evaluate_examples, quotient
from training.loop import Diverged, Loop
from training.mesh_settings import MeshSettings
from training.programs import Programs
from training.run import make_run
from training.settings import EvalSettings, TrainSettings

OF_LOSS = 1e-4  # of a nat, beside an accuracy of 1


class Trial(NamedTuple):
  """One trained model: its parameters, the loss of every update, and whether all of it stayed finite.

  scores: update → what the trainer's `scoring` made of the parameters after it.
  """

  params: Params
  losses: np.ndarray
  finite: bool
  scores: Mapping[int, Any] = {}


class Scoring(NamedTuple):
  """After which updates parameters are scored on the way, and how."""

  updates: Collection[int]
  score: Callable[[Params], Any]


class Trainer:
  """Trains a model on a task from any seed at any learning rate, with the loop and one compiled step of a run.

  Args:
    settings: of every trial; its `seed` and `learning_rate` are those of the trial, its loss is logged at every update.
    scoring: of the parameters on the way; None: of none.
  """

  def __init__(self, model: Model, task: Any, settings: TrainSettings, scoring: Scoring | None = None) -> None:
    settings, mesh = dataclasses.replace(settings, log_every=1), MeshSettings(data=1)
    self.setup = make_run(model, task, settings, mesh_settings=mesh)
    self.scoring = scoring

  @functools.cached_property
  def programs(self) -> Programs:
    return self.setup.programs(self.setup.trace_step())

  def run(self, learning_rate: float, seed: int) -> Trial:
    """Take `settings.steps` updates on batches of the task's training split drawn with `seed`."""
    run = self.setup
    state, batches = run.initial_state(seed, learning_rate), run.batches(seed)
    if self.scoring is not None:
      return train(ScoredLoop(self.scoring, run, self.programs, state, batches))
    return train(Loop(run, self.programs, state, batches))


class ScoredLoop(Loop):
  """A loop that scores the parameters on the way."""

  def __init__(self, scoring: Scoring, *args: Any) -> None:
    super().__init__(*args)
    self.scoring, self.scores = scoring, dict[int, Any]()

  def evaluate(self) -> None:
    if self.step in self.scoring.updates:
      self.finish()  # raises where the loss is not finite
      self.scores[self.step] = self.scoring.score(self.state.params)


def train(loop: Loop) -> Trial:
  """Train to the end, or until the loss is not finite any more."""
  try:
    loop.fit()
    check_finite(loop.state.params)
    finite = True
  except (Diverged, NotFinite):
    finite = False
  losses = [row['loss'] for row in loop.metrics.rows if row['split'] == 'train']
  found = np.asarray([math.nan if x is None else x for x in losses], np.float32)
  return Trial(loop.state.params, found, finite, loop.scores if isinstance(loop, ScoredLoop) else {})


def has_second_budget(cell: Cell) -> bool:
  """Return whether a cell trains with another model's FLOPs, beside the cell that trains for as many updates."""
  return 'matched' in cell


def updates(model: Model, cell: Cell) -> int:
  """Return how many updates a cell trains for: its `steps`, or as many as another model's training FLOPs buy.

  A cell with `matched` names that model in `budget_of`: of the same parameters, trained for `steps`; of the same layers
  or of `budget_depth`.
  """
  if not has_second_budget(cell):
    return cell['steps']
  layers = cell.get('budget_depth', cell['depth'])
  other = Variant(cell['budget_of']).build(model.spec, params=cell['size'], depth=layers)
  length = model.spec.length
  return round(cell['steps'] * sizing.sequence_flops(other, length) / sizing.sequence_flops(model, length))


def metric(name: str, cell: Cell) -> str:
  """Return the name of a metric in a cell's rows."""
  return name + AT_EQUAL_FLOPS if has_second_budget(cell) else name


def equal_flops(*architectures: str) -> list[Cell]:
  """Return what the cells of a second budget add to those that they repeat: the FLOPs of the LSTM.

  architectures: those whose FLOPs a token are so far from it at as many parameters that another number of updates
  matters; the rows of the others stand for both budgets.
  """
  return [{'architecture': name, 'matched': 'flops', 'budget_of': 'lstm'} for name in architectures]


PARTS = 20  # of the test examples, in order: neighbours, which may be alike, stay together


def in_parts(sums: Float64[np.ndarray, '2 n']) -> list[float]:
  """Return the score on at most PARTS equal parts of the examples that weigh anything, from sum and weight of each."""
  counted = sums[:, sums[1] > 0]
  parts = np.array_split(counted, min(PARTS, counted.shape[1]), axis=1) if counted.size else []
  return [float(f'{total / weight:.6g}') for total, weight in (part.sum(axis=1) for part in parts)]


def scored_test(model: Model, params: Params, task: Any, batch_size: int = 100) -> dict[str, tuple[float, list[float]]]:
  """Return the task's metrics over the whole test split, each with its values `in_parts`; none of derived metrics."""
  found = evaluate_examples(model, params, task, Evaluation('test'), EvalSettings(batch_size))
  values = {name: quotient(*pair.sum(axis=1)) for name, pair in found.items()}
  parts = {name: in_parts(pair) for name, pair in found.items()}
  return {name: (value, parts.get(name, [])) for name, value in (values | task.derived(values)).items()}


def by_accuracy(scores: Mapping[str, float]) -> float:
  """Return an accuracy to select by; the loss, in nats, breaks ties between models that are right everywhere."""
  return scores['accuracy'] - OF_LOSS * scores['loss']


def score(model: Model, params: Params, task: Any, split: str, batch_size: int = 100) -> dict[str, float]:
  """Return the task's metrics over the whole split, as sums over weights."""
  return evaluate(model, params, task, Evaluation(split), EvalSettings(batch_size))


def trials(
  trainer: Trainer, rates: Iterable[float], seeds: Iterable[int], judge: Any
) -> tuple[float, list[tuple[int, Trial]], float]:
  """Train every learning rate with every seed, and choose by the mean of `judge(params)` over the seeds.

  Returns the best rate, its runs by seed, and its mean score. Runs that diverged score minus infinity.
  """
  seeds = list(seeds)
  best: tuple[float, list[tuple[int, Trial]], float] | None = None
  for rate in rates:
    runs = [(seed, trainer.run(rate, seed)) for seed in seeds]
    mean = float(np.mean([judge(run.params) if run.finite else -np.inf for _, run in runs]))
    if best is None or mean > best[2]:
      best = (rate, runs, mean)
  if best is None or not np.isfinite(best[2]):
    raise FloatingPointError(f'every learning rate of {list(rates)} diverged for at least one seed')
  return best
