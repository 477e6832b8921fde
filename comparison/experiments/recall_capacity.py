"""How large a state recalls how many pairs: multi-query associative recall, for widths from small to large."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import cast

from comparison.experiments.base import Cell, Row, Scale
from comparison.experiments.grid import Score, Trials, tuning_seeds
from comparison.experiments.trained import Trial, by_accuracy, score
from comparison.experiments.training_grids import common
from comparison.experiments.variants import Variant
from seqmodels.models import Model
from tasks.base import Task
from tasks.recall import Recall

RECALLED = 0.95  # accuracy with which a wider model is not tried; of attention, which is expected to recall everything:
RECALLED_BY_ATTENTION = 0.99
MIXERS = (('lstm', 'residual'), ('gru', 'residual'), ('linear_transformer', ''), ('gated_deltanet', ''), ('mamba2', ''))


class RecallCapacity(Trials):
  """The width, and with it the state, grows until the most pairs are recalled; all else is the same for all models.

  A model trains on up to `pairs` pairs, the number drawn anew for each example, since models of every kind learn many
  pairs sooner beside few; it is tested on each number of `tested`, fillers standing where the other pairs would. A cell
  tries its widths in turn, two at least. It ends with the first one that recalls the most pairs for one of the seeds:
  that a state suffices is a statement of existence.
  """

  name = 'recall_capacity'
  version = 5

  def cells(self, scale: Scale) -> list[Cell]:
    shared = common(
      scale,
      {
        'pairs': 2, 'tested': [2], 'vocabulary': 16, 'length': 8, 'widths': [8, 16], 'batch': 32, 'steps': 4,
        'rates': [3e-3], 'seeds': [0, 1],
      },
      {
        'pairs': 8, 'tested': [2, 4, 8], 'vocabulary': 32, 'length': 32, 'widths': [8, 24], 'steps': 500,
        'rates': [1e-2], 'seeds': [0, 1],
      },
      {
        'pairs': 16, 'tested': [4, 8, 16], 'vocabulary': 64, 'length': 64, 'widths': [8, 16, 32, 64], 'steps': 4000,
        'rates': [1e-3, 3e-3, 1e-2, 3e-2], 'seeds': [0, 1, 2], 'tuning_seeds': [0],
      },
      {
        'pairs': 64, 'tested': [4, 8, 16, 32, 64], 'vocabulary': 512, 'length': 256,
        'widths': [8, 16, 32, 64, 128, 256], 'batch': 64, 'steps': 20_000,
      },
    )  # fmt: skip
    mixers = MIXERS[:1] if scale in ('smoke', 'laptop') else MIXERS
    variants = [('transformer', ''), *mixers]
    return [{'architecture': architecture, 'block': block, **shared} for architecture, block in variants]

  def cost(self, cell: Cell) -> float:
    tuning = len(tuning_seeds(cell))
    trials = len(cell['rates']) * tuning + len(cell['seeds']) - tuning
    return 4 + 6e-6 * cell['length'] * cell['batch'] * cell['steps'] * trials * len(cell['widths'])

  def run(self, cell: Cell) -> Iterable[Row]:
    enough = RECALLED_BY_ATTENTION if cell['architecture'] == 'transformer' else RECALLED
    for place, width in enumerate(cell['widths']):
      rows = list(super().run({**cell, 'width': width}))
      yield from rows
      most = [row['value'] for row in rows if row['metric'] == 'accuracy' and row['pairs'] == max(cell['tested'])]
      if place and max(most, default=0.0) >= enough:
        return

  def build(self, variant: Variant, task: Task, cell: Cell) -> Model:
    return variant.build(task.spec, width=cell['width'], depth=cell['depth'])

  def task(self, cell: Cell) -> Recall:
    return Recall(
      train_examples=0,
      evaluation_examples=500,
      vocabulary=cell['vocabulary'],
      pairs=cell['pairs'],
      fewest_pairs=1,
      length=cell['length'],
      distance='uniform',
    )

  def selection(self, model: Model, trial: Trial, task: Task, cell: Cell) -> float:
    return by_accuracy(score(model, trial.params, task, 'validation'))

  def rows_of(self, model: Model, run: Trial, task: Task, cell: Cell) -> Iterable[tuple[str, Score]]:
    yield from self.of_trial(model, run, task, cell).items()
    for pairs in cell['tested']:
      reached = score(model, run.params, with_pairs(task, pairs), 'test')['accuracy']
      yield 'accuracy', (reached, 'share', {'pairs': pairs})

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    del model, trial, task, cell
    return {}  # those of each number of pairs are rows of their own


def with_pairs(task: Task, pairs: int) -> Recall:
  """Return the task with that number of pairs in every example."""
  return dataclasses.replace(cast(Recall, task), fewest_pairs=pairs, most_pairs=pairs)
