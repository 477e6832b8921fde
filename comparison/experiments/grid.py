"""Train variants at every point of a grid, with several learning rates and seeds each, and score them all."""

import abc
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from comparison.experiments import gate
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.trained import Scoring, Trainer, Trial, score, scored_test
from comparison.experiments.variants import Variant, columns
from seqmodels.models import Model
from seqmodels.notation import Params
from tasks.base import Task
from training.settings import TrainSettings

STEP = math.sqrt(10)  # from one learning rate to the next
MOST_ADDED = 2  # rates in all, beyond the edges of a grid
Runs = dict[int, Trial]  # by seed
Score = tuple[float, str] | tuple[float, str, Row]  # value, unit, and columns beside them
LAST = 0.05  # share of the updates whose mean loss is the training loss
# Of what the tasks score; of `loss`, an experiment says it. An error rate is no share: insertions count too.
UNITS = {
  'accuracy': 'share', 'bits': 'bits', 'bleu': 'BLEU', 'label_error_rate': 'errors a label', 'wer': 'errors a word',
}  # fmt: skip
FIELDS = ('dropout', 'heads', 'position')  # of ModelConfig, where a cell has them
BINS = 16  # means of equal parts of the updates, which a row keeps of the losses of training


class Trials(Experiment):
  """Learning rates × seeds → scores, of the model and task of a cell.

  A cell has `architecture`, `block`, `size` (parameters), `depth`, `batch`, `steps`, `rates` and `seeds`. Every rate is
  trained and written, with its score of validation as `selection`, so that a judge picks the best (`claims.base.tuned`)
  or looks at all. While the best rate ends the grid, the next one is tried too, up to MOST_ADDED:
  all variants of a comparison get the same rule. With `tuning_seeds` in the cell, the rates are compared with these
  seeds, and only the best one is trained with all `seeds`; if one of these diverges, the next best is. A trial that
  diverged has no score, the row `diverged` is 1, and its rate has no `selection`.

  at_laptop: whether it belongs to the part of the comparison that takes minutes. baselines_beside: the architecture
  whose cells also write the task's baselines, every metric of `baseline_metrics`.
  """

  takes_architectures = True
  extends = True
  loss_unit = 'nats'
  baselines_beside = ''
  baseline_metrics: tuple[str, ...] = ('loss',)
  at_laptop = True

  @abc.abstractmethod
  def task(self, cell: Cell) -> Task: ...

  def settings(self, cell: Cell) -> TrainSettings:
    steps = cell['steps']
    return TrainSettings(steps=steps, batch_size=cell['batch'], schedule='cosine', warmup_steps=steps // 10, clip=1.0)

  def build(self, variant: Variant, task: Task, cell: Cell) -> Model:
    return variant.build(task.spec, params=cell['size'], depth=cell['depth'])

  def fields(self, cell: Cell) -> Mapping[str, Any]:
    """Return fields of ModelConfig that the cell sets; by default those of FIELDS."""
    return {name: cell[name] for name in FIELDS if name in cell}

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    """Return metric → value, unit and further columns of a trained model; by default what the task says of its test."""
    del cell
    found = scored_test(model, trial.params, task)
    return {name: (value, self.unit(name), {'parts': parts}) for name, (value, parts) in found.items()}

  def baselines(self, task: Task) -> Mapping[str, Mapping[str, float]]:
    """Return name → metric → value of the task's baselines, the metrics named as those of `scores`."""
    return task.baselines()

  def unit(self, metric: str) -> str:
    return self.loss_unit if metric == 'loss' else UNITS.get(metric, '')

  def trainer(self, model: Model, task: Task, cell: Cell) -> Trainer:
    return Trainer(model, task, self.settings(cell))

  def selection(self, model: Model, trial: Trial, task: Task, cell: Cell) -> float:
    """Return how good a trained model is on validation; more is better."""
    del cell
    return -score(model, trial.params, task, 'validation')['loss']

  def cost(self, cell: Cell) -> float:
    tokens = cell['steps'] * cell['batch'] * cell.get('length', 128)
    tuning = len(tuning_seeds(cell))
    return 5 + 2.5e-10 * tokens * cell['size'] * (len(cell['rates']) * tuning + len(cell['seeds']) - tuning)

  def run(self, cell: Cell) -> Iterable[Row]:
    variant = Variant(cell['architecture'], '', cell['block'], fields={**cell.get('fields', {}), **self.fields(cell)})
    task = self.task(cell)
    admitted, refused = gate.admit([variant], kind=task.spec.kind)
    yield from refused
    if not admitted:
      return
    model = self.build(variant, task, cell)
    trainer = self.trainer(model, task, cell)
    trials = self.trials(trainer, model, task, cell)
    flat = {name: value for name, value in cell.items() if isinstance(value, str | int | float)}
    length = task.spec.length
    for rate, (runs, selection) in trials.items():
      row = {
        **flat, **columns(variant, model, length), 'length': length, 'learning_rate': rate, 'rates': list(trials),
        'updates': cell['steps'], 'selection': selection if math.isfinite(selection) else None,
      }  # fmt: skip
      for seed, run in runs.items():
        yield {'metric': 'diverged', 'value': int(not run.finite), 'unit': '', **row, 'seed': seed}
        if run.finite:
          for metric, (value, unit, *beside) in self.rows_of(model, run, task, cell):
            yield {'metric': metric, 'value': value, 'unit': unit, **row, 'seed': seed, **(beside[0] if beside else {})}
    if cell['architecture'] == self.baselines_beside:
      for name, values in self.baselines(task).items():
        for metric in self.baseline_metrics:
          if metric in values:
            point = {column: value for column, value in flat.items() if column not in ('architecture', 'block')}
            labels = {'scored': metric, 'unit': self.unit(metric), 'baseline': name}
            yield {**point, 'metric': 'baseline', 'value': values[metric], **labels}

  def rows_of(self, model: Model, run: Trial, task: Task, cell: Cell) -> Iterable[tuple[str, Score]]:
    """Return the metric and the score of every row of a trained model; a metric may have several points."""
    return self.of_trial(model, run, task, cell).items()

  def of_trial(self, model: Model, run: Trial, task: Task, cell: Cell) -> dict[str, Score]:
    last = max(1, round(LAST * len(run.losses)))
    train = float(np.mean(run.losses[-last:]))
    curve = [float(f'{part.mean():.4g}') for part in np.array_split(run.losses, min(BINS, len(run.losses)))]
    return {'train_loss': (train, self.loss_unit, {'curve': curve}), **self.scores(model, run, task, cell)}

  def trials(self, trainer: Trainer, model: Model, task: Task, cell: Cell) -> dict[float, tuple[Runs, float]]:
    """Return rate → its runs and their mean score of validation, with the rates that were added at an edge."""
    tuning = tuning_seeds(cell)

    def tried(rate: float) -> tuple[Runs, float]:
      runs = {seed: trainer.run(rate, seed) for seed in tuning}
      scores = [self.selection(model, run, task, cell) if run.finite else -math.inf for run in runs.values()]
      return runs, float(np.mean(scores))

    found = {rate: tried(rate) for rate in cell['rates']}
    most = len(found) + (MOST_ADDED if self.extends and len(found) > 1 else 0)
    while True:
      best = max(found, key=lambda rate: found[rate][1])
      if best in (min(found), max(found)) and len(found) < most:
        rate = float(f'{best * STEP if best == max(found) else best / STEP:.3g}')
        found[rate] = tried(rate)
        continue
      runs, selection = found[best]
      if selection == -math.inf:  # at all rates
        break
      runs |= {seed: trainer.run(best, seed) for seed in cell['seeds'] if seed not in runs}
      if all(run.finite for run in runs.values()):
        break
      found[best] = runs, -math.inf
    return dict(sorted(found.items()))


def tuning_seeds(cell: Cell) -> Sequence[int]:
  """Return the seeds that learning rates are compared with, by default all of them."""
  return cell['tuning_seeds'] if 'tuning_seeds' in cell else cell['seeds']


class Grid(Trials):
  """Variants × points; a subclass says what they are, in about forty lines. A cell is one variant at one point."""

  @abc.abstractmethod
  def variants(self, scale: Scale) -> Sequence[Cell]:
    """Return `architecture`, and where they matter `block` and `fields` of ModelConfig."""

  @abc.abstractmethod
  def points(self, scale: Scale) -> Sequence[Cell]:
    """Return the coordinates of the figure."""

  @abc.abstractmethod
  def common(self, scale: Scale) -> Cell:
    """Return what all cells share: size (parameters), depth, batch, steps, rates, seeds, options of the task."""

  def cells(self, scale: Scale) -> list[Cell]:
    if scale == 'laptop' and not self.at_laptop:
      return []
    return self.pairs(scale, self.variants(scale))

  def pairs(self, scale: Scale, variants: Iterable[Cell]) -> list[Cell]:
    """Return the cells of these variants at every point."""
    common, pairs = self.common(scale), itertools.product(variants, self.points(scale))
    return [{'block': '', **common, **variant, **point} for variant, point in pairs]


class Checkpoint(NamedTuple):
  """The loss of validation after some updates, and metric → score of the test and its values in parts."""

  validation: float
  test: Mapping[str, tuple[float, list[float]]]


class EarlyStopped(Grid):
  """Models are scored after each of BINS equal parts of the updates; those with the best validation loss count.

  `selection` is that loss. The row `loss` says after which update it was (`stopped`), and keeps the test loss after
  each part (`checkpoints`), as that of `train_loss` keeps the training loss over each part (`curve`).
  """

  def trainer(self, model: Model, task: Task, cell: Cell) -> Trainer:
    def checkpoint(params: Params) -> Checkpoint:
      return Checkpoint(score(model, params, task, 'validation')['loss'], scored_test(model, params, task))

    return Trainer(model, task, self.settings(cell), scoring=Scoring(ends_of_parts(cell['steps']), checkpoint))

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    stopped = min(trial.scores, key=lambda update: trial.scores[update].validation)
    found = trial.scores[stopped].test
    course = {'checkpoints': [float(f'{point.test["loss"][0]:.5g}') for point in trial.scores.values()]}
    return {
      name: (found[name][0], self.unit(name), {'parts': found[name][1], 'stopped': stopped, **beside})
      for name, beside in (('loss', course), ('accuracy', {}))
    }

  def selection(self, model: Model, trial: Trial, task: Task, cell: Cell) -> float:
    return -min(point.validation for point in trial.scores.values())


def ends_of_parts(steps: int) -> list[int]:
  """Return the last update of each of at most BINS equal parts."""
  return np.cumsum([len(part) for part in np.array_split(np.arange(steps), min(BINS, steps))]).tolist()
