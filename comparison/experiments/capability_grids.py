"""Grids of what models can do: lags, position encodings, approximations of attention, shares of attention."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from comparison.experiments.base import Cell, Scale
from comparison.experiments.grid import Grid, Score
from comparison.experiments.trained import Trial, scored_test
from comparison.experiments.training_grids import GATED, common
from seqmodels.models import Model
from tasks.adding import Adding
from tasks.base import Task
from tasks.language import Language
from tasks.recall import Recall
from training.settings import TrainSettings

ENCODINGS = ('none', 'sinusoidal', 'learned', 'rotary', 'alibi', 't5')
FEATURES = (16, 64, 256)  # of a Performer
FIVE = {'seeds': [0, 1, 2, 3, 4], 'tuning_seeds': [0, 1]}


class LongLags(Grid):
  """The adding problem over its length: two numbers, about half of the length apart, and up to all of it.

  More updates at greater lengths, the same for all. The rate is constant after its warm-up, so that the curve of the
  training loss shows whether a model still learns.
  """

  name = 'long_lags'
  at_laptop = False
  loss_unit = ''
  baselines_beside = 'transformer'

  def variants(self, scale: Scale) -> Sequence[Cell]:
    return GATED[:2] if scale == 'smoke' else (*GATED, {'architecture': 'lru'})

  def points(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'overnight':
      return [{'length': length, 'steps': steps} for length, steps in ((50, 2500), (200, 4000), (600, 5000))]
    return [{'length': length} for length in ((10,) if scale == 'smoke' else (50, 200, 600, 1600))]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {'size': 6e3, 'batch': 8, 'steps': 4, 'rates': [3e-3], 'seeds': [0, 1]},
      {'size': 2e4, 'batch': 32},
      {'rates': [1e-3, 3e-3], 'seeds': [0, 1, 2, 3, 4], 'tuning_seeds': [0]},
      {'size': 1e5, 'batch': 64, 'steps': 20_000, 'rates': [3e-4, 1e-3, 3e-3, 1e-2]},
    )

  def settings(self, cell: Cell) -> TrainSettings:
    return dataclasses.replace(super().settings(cell), schedule='constant')

  def task(self, cell: Cell) -> Task:
    return Adding(length=cell['length'], evaluation_examples=1000)


class OfTwoTasks(Grid):
  """Characters of the embedded text, and recall of values by their keys, each with a budget of its own."""

  at_laptop = False

  def points(self, scale: Scale) -> Sequence[Cell]:
    budgets: dict[str, Cell] = {
      'language': {'length': 64, 'batch': 16, 'steps': 800},
      'recall': {'length': 32, 'batch': 64, 'steps': 3000},  # attention needs a few hundred, recurrence more
    }
    if scale == 'smoke':
      budgets = {name: budget | {'batch': 4, 'steps': 4} for name, budget in budgets.items()}
    if scale == 'accelerator':
      budgets = {
        'language': {'length': 512, 'batch': 32, 'steps': 8000},
        'recall': {'length': 256, 'batch': 64, 'steps': 20_000},
      }
    return [{'task': name, **budget} for name, budget in budgets.items()]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {'size': 6e3, 'rates': [3e-3], 'seeds': [0, 1]},
      {'size': 5e4},
      {'rates': [3e-3, 1e-2], **FIVE},
      {'size': 3e6, 'rates': [3e-4, 1e-3, 3e-3]},
    )

  def task(self, cell: Cell) -> Task:
    if cell['task'] == 'language':
      return Language(length=cell['length'])
    return recall(cell['length'])


def recall(length: int) -> Recall:
  """Return up to four pairs among 32 tokens and up to 32 among 256; their number is drawn for each example."""
  pairs = length // 8
  return Recall(
    train_examples=0, evaluation_examples=500, vocabulary=max(18, 4 * pairs), pairs=pairs, fewest_pairs=1,
    length=length, distance='uniform',
  )  # fmt: skip


class PositionEncodings(OfTwoTasks):
  """A Transformer with each position encoding; recall is also tested at twice the length of training.

  Two encodings are chosen on the first two seeds, and compared on the others.
  """

  name = 'position_encodings'
  takes_architectures = False

  def variants(self, scale: Scale) -> Sequence[Cell]:
    names = ('none', 'rotary') if scale == 'smoke' else ENCODINGS
    return [{'architecture': 'transformer', 'position': name} for name in names]

  def common(self, scale: Scale) -> Cell:
    found = super().common(scale)
    return found if scale == 'smoke' else found | {'seeds': list(range(7))}

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    found = dict(super().scores(model, trial, task, cell))
    if isinstance(task, Recall) and cell['position'] != 'learned':  # whose table ends at the length of training
      longer = dataclasses.replace(task, length=2 * task.length)
      value, parts = scored_test(model, trial.params, longer)['accuracy']
      found['accuracy_longer'] = value, 'share', {'parts': parts}
    return found


class Approximations(OfTwoTasks):
  """Attention and what approximates it: Performer over its features, linear attention; Linformer as an encoder.

  Position encoding and norm are the same for all causal models, and for both encoders.
  """

  name = 'approximations'
  takes_architectures = False

  def variants(self, scale: Scale) -> Sequence[Cell]:
    features = FEATURES[:1] if scale == 'smoke' else FEATURES
    performers = [{'architecture': 'performer', 'features': count} for count in features]
    return [{'architecture': 'transformer'}, *performers, {'architecture': 'linear_transformer'}]

  def cells(self, scale: Scale) -> list[Cell]:
    cells = super().cells(scale)
    masked = [{**cell, 'task': 'masked'} for cell in cells if cell['task'] == 'language']
    return cells + [
      {**cell, 'architecture': name}
      for name in ('encoder', 'linformer_encoder')
      for cell in masked
      if cell['architecture'] == 'transformer'
    ]

  def task(self, cell: Cell) -> Task:
    return Language(length=cell['length'], objective='masked') if cell['task'] == 'masked' else super().task(cell)

  def fields(self, cell: Cell) -> Mapping[str, Any]:
    if cell['task'] == 'masked':
      return {'position': 'learned', 'norm': 'rms'}
    return {'position': 'sinusoidal', **({'mixer': {'features': cell['features']}} if 'features' in cell else {})}


class AttentionShares(OfTwoTasks):
  """Four layers, of which attention has none, one, two or all, beside two kinds of recurrence."""

  name = 'attention_shares'
  takes_architectures = False

  def variants(self, scale: Scale) -> Sequence[Cell]:
    whole = {'architecture': 'transformer', 'recurrence': 'none', 'attention_layers': 4}
    kinds = ('lstm',) if scale == 'smoke' else ('lstm', 'gated_delta')
    counts = (1,) if scale == 'smoke' else (0, 1, 2)
    mixed = [
      {'architecture': f'{kind}_residual' if kind == 'lstm' else kind, 'recurrence': kind, 'attention_layers': count}
      for kind in kinds
      for count in counts
    ]
    return [whole, *mixed]

  def common(self, scale: Scale) -> Cell:
    return super().common(scale) | {'depth': 4}

  def fields(self, cell: Cell) -> Mapping[str, Any]:
    return {
      'pattern': pattern(cell['recurrence'], cell['attention_layers']),
      **({'position': 'rotary'} if cell['attention_layers'] else {'position': 'none'}),
    }


def pattern(recurrence: str, attention: int) -> tuple[str, ...]:
  """Return four mixers; the attention is last, and evenly spread where there is more."""
  return {
    0: (recurrence,) * 4,
    1: (recurrence,) * 3 + ('attention',),
    2: (recurrence, 'attention') * 2,
    4: ('attention',) * 4,
  }[attention]
