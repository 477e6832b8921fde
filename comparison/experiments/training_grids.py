"""Grids of trained models: clipping, learning rates, amounts of data, and whether an RNN needs positions."""

from collections.abc import Sequence
from dataclasses import replace

from comparison.experiments.base import Cell, Scale
from comparison.experiments.grid import EarlyStopped, Grid
from comparison.experiments.variants import depth
from tasks.base import Task
from tasks.language import Language
from tasks.temporal_order import TemporalOrder
from training.settings import TrainSettings

GATED = ({'architecture': 'transformer'}, {'architecture': 'lstm'}, {'architecture': 'gru'})
HALF_DECADES = [1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2, 1e-1, 3.16e-1, 1.0]


def common(scale: Scale, smoke: Cell, laptop: Cell, overnight: Cell, accelerator: Cell) -> Cell:
  """Return what the cells of a scale share: each scale changes some of what the one before says."""
  found = {'depth': depth(scale)} | smoke
  for name, more in (('laptop', laptop), ('overnight', overnight), ('accelerator', accelerator)):
    if scale == 'smoke':
      break
    found |= more
    if scale == name:
      break
  return found


class OfLanguage(Grid):
  """Characters of the embedded text."""

  def task(self, cell: Cell) -> Task:
    return Language(length=cell['length'])

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {'size': 6e3, 'length': 16, 'batch': 4, 'steps': 4, 'rates': [3e-3], 'seeds': [0, 1]},
      {'size': 3e4, 'length': 64, 'batch': 16, 'steps': 150, 'rates': [3e-3, 1e-2], 'seeds': [0, 1, 2]},
      {'size': 1e5, 'length': 128, 'steps': 600, 'rates': [1e-3, 3e-3, 1e-2, 3e-2]},
      {'size': 3e6, 'length': 512, 'batch': 32, 'steps': 4000, 'seeds': [0, 1, 2, 3, 4]},
    )


class Clipping(OfLanguage):
  """Training with the gradient's norm clipped and without, by AdamW and by SGD, each at its own learning rates."""

  name = 'clipping'
  at_laptop = False
  baselines_beside = 'transformer'

  def variants(self, scale: Scale) -> Sequence[Cell]:
    return GATED[:2] if scale == 'smoke' else (*GATED, {'architecture': 'rnn'})

  def common(self, scale: Scale) -> Cell:
    return super().common(scale) | ({} if scale == 'smoke' else {'seeds': [0, 1, 2, 3, 4], 'tuning_seeds': [0, 1]})

  def points(self, scale: Scale) -> Sequence[Cell]:
    rates = self.common(scale)['rates']
    of_sgd = [100 * rate for rate in rates]
    return [
      {'clip': clip, 'optimizer': optimizer, 'rates': own}
      for optimizer, own in (('sgd', of_sgd), ('adamw', rates))
      for clip in (0.0, 1.0)
    ]

  def settings(self, cell: Cell) -> TrainSettings:
    return replace(super().settings(cell), clip=cell['clip'], optimizer=cell['optimizer'])


class LearningRates(OfLanguage):
  """Nine half-decades of learning rates, with a linear warm-up over a tenth of the updates and without."""

  name = 'learning_rates'
  at_laptop = False
  extends = False
  baselines_beside = 'transformer'

  def variants(self, scale: Scale) -> Sequence[Cell]:
    two = ({'architecture': 'transformer'}, {'architecture': 'lstm'})
    return two if scale == 'smoke' else (*two, {'architecture': 'lstm', 'block': 'residual'})

  def points(self, scale: Scale) -> Sequence[Cell]:
    rates = HALF_DECADES[4:6] if scale == 'smoke' else HALF_DECADES
    return [{'warmup': share, 'rates': rates} for share in (0.0, 0.1)]

  def common(self, scale: Scale) -> Cell:
    more = {'steps': 400, 'seeds': [0, 1, 2, 3, 4]}
    return super().common(scale) | (more if scale == 'overnight' else {})

  def settings(self, cell: Cell) -> TrainSettings:
    return replace(super().settings(cell), warmup_steps=round(cell['warmup'] * cell['steps']))


class SampleEfficiency(EarlyStopped, OfLanguage):
  """From few windows of text to many, with dropout and without, as many updates for all; the best on validation count.

  Few windows are learned by heart long before the end: the test loss there is above that of the unigram.
  """

  name = 'sample_efficiency'
  version = 2
  at_laptop = False
  baselines_beside = 'transformer'

  def variants(self, scale: Scale) -> Sequence[Cell]:
    return GATED[:2] if scale == 'smoke' else GATED

  def points(self, scale: Scale) -> Sequence[Cell]:
    counts = (8, 32) if scale == 'smoke' else (30, 100, 300, 1000, 3000)
    return [{'examples': count, 'dropout': dropout} for count in counts for dropout in (0.0, 0.2)]

  def task(self, cell: Cell) -> Task:
    return Language(length=cell['length'], train_examples=cell['examples'])


class PositionsOfRecurrence(Grid):
  """Which of two symbols came first, with position encodings added to the input and without."""

  name = 'positions_of_recurrence'

  def variants(self, scale: Scale) -> Sequence[Cell]:
    return GATED

  def points(self, scale: Scale) -> Sequence[Cell]:
    return [{'position': 'none'}, {'position': 'sinusoidal'}]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {'size': 6e3, 'length': 10, 'batch': 8, 'steps': 4, 'rates': [3e-3], 'seeds': [0, 1]},
      {'size': 1.2e4, 'length': 30, 'batch': 64, 'steps': 250, 'rates': [3e-3, 1e-2], 'seeds': [0, 1, 2]},
      {'length': 100, 'steps': 2000, 'rates': [1e-3, 3e-3, 1e-2, 3e-2]},
      {'size': 1e5, 'length': 500, 'steps': 10_000},
    )

  def task(self, cell: Cell) -> Task:
    return TemporalOrder(length=cell['length'])
