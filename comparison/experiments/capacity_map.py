"""Measure fifteen architectures, four with reflections too, for their bytes of state: recall, parity, copying."""

from collections.abc import Mapping, Sequence

from comparison.experiments.base import Cell, Scale
from comparison.experiments.capability_grids import recall
from comparison.experiments.grid import Grid, Score
from comparison.experiments.trained import Trial
from comparison.experiments.training_grids import common
from seqmodels.models import Model
from tasks.base import Task
from tasks.formal_languages import FormalLanguages
from tasks.selective_copying import SelectiveCopying
from training.evaluate import evaluate, possible_evaluations
from training.settings import EvalSettings

# The second form of these may reflect its state, without which it cannot count modulo 2 (Grazzi et al. 2024).
REFLECTING = ('min_lstm', 'mamba2', 'gated_deltanet', 'griffin')
FIELDS = {'mixer': {'negative_eigenvalues': True}}
ARCHITECTURES = (
  'transformer', 'sliding_window', 'rnn', 'lstm', 'gru', 'min_lstm', 'lru', 'linear_transformer', 'retnet', 'mamba2',
  'gla', 'gated_deltanet', 'xlstm', 'griffin', 'hybrid',
)  # fmt: skip
TOGETHER = EvalSettings(batch_size=100)


class CapacityMap(Grid):
  """Recall by keys, parity of a string, and selective copying; `accuracy_longer` is that of longer sequences.

  Recall is tested at twice the length, parity at all lengths from that of training to four times it, copying at four
  times the length: different multiples, so that `accuracy_longer` compares models, not tasks. The bytes of state are
  those of the longest sequence trained on.
  """

  name = 'capacity_map'
  at_laptop = False
  baselines_beside = 'transformer'
  baseline_metrics = ('accuracy',)

  def variants(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'smoke':
      return [{'architecture': 'transformer'}]
    reflecting = ({'architecture': name, 'reflecting': 1, 'fields': FIELDS} for name in REFLECTING)
    return [*({'architecture': name} for name in ARCHITECTURES), *reflecting]

  def points(self, scale: Scale) -> Sequence[Cell]:
    steps = {'smoke': 4, 'accelerator': 10_000}.get(scale, 2000)
    large = scale == 'accelerator'
    lengths = {'recall': 256 if large else 32, 'parity': 40, 'copying': 256 if large else 48}
    return [{'task': name, 'length': length, 'steps': steps} for name, length in lengths.items()]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {'size': 2e4, 'batch': 4, 'rates': [3e-3], 'seeds': [0]},
      {'batch': 64},
      {'size': 5e4, 'rates': [1e-3, 3e-3, 1e-2], 'seeds': [0, 1, 2], 'tuning_seeds': [0]},
      {'size': 1e6, 'rates': [3e-4, 1e-3, 3e-3]},
    )

  def task(self, cell: Cell) -> Task:
    length = cell['length']
    if cell['task'] == 'recall':
      return recall(length)
    if cell['task'] == 'parity':
      return FormalLanguages(length=length, longest=4 * length, evaluation_examples=500)
    return SelectiveCopying(symbols=8, items=length // 6, length=length, evaluation_examples=500)

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    found = dict(super().scores(model, trial, task, cell))
    longer = possible_evaluations(model, task).get('longer')
    if longer is not None:
      found['accuracy_longer'] = evaluate(model, trial.params, task, longer, TOGETHER)['accuracy'], 'share'
    return found
