"""Grids about optimisation: random settings, plateaus, skip connections, sizes of the state, memory of segments."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from comparison.experiments import program
from comparison.experiments.base import Cell, Row, Scale
from comparison.experiments.capability_grids import FIVE
from comparison.experiments.grid import LAST, EarlyStopped, Score
from comparison.experiments.trained import Trial, in_parts
from comparison.experiments.training_grids import GATED, OfLanguage
from comparison.experiments.variants import Variant
from seqmodels.models import Model
from tasks.base import Batch, Evaluation, Shard, Task
from tasks.language import Language
from training.evaluate import evaluate_examples, quotient
from training.run import make_run
from training.settings import EvalSettings, TrainSettings

DRAWS = 32
DECADES = 1.5  # of learning rates on either side of the default


class Defaults(NamedTuple):
  """Hold what is usual for an architecture: the learning rate of Adam, the norm of clipping, the rate of dropout."""

  rate: float
  clip: float
  dropout: float


# Transformer: characters in nanoGPT (Karpathy 2022), with the dropout of Vaswani et al. (2017); LSTM and GRU:
# characters in AWD-LSTM (Merity, Keskar & Socher 2018). All recalled.
OF_TRANSFORMERS, OF_RNNS = Defaults(1e-3, 1.0, 0.1), Defaults(2e-3, 0.25, 0.1)


class RandomSettings(OfLanguage):
  """Random settings of training: multiples of what is usual for the architecture, the same multiples for all.

  So the volume that is searched is the same. Rates of SGD are those of AdamW times 100, as in `clipping`. Optimizer,
  warm-up and depth, whose defaults are no numbers to multiply, come from one list for all.
  """

  name = 'random_settings'
  version = 2
  at_laptop = False
  extends = False
  baselines_beside = 'transformer'

  def variants(self, scale: Scale) -> Sequence[Cell]:
    return GATED[:2] if scale == 'smoke' else GATED

  def points(self, scale: Scale) -> Sequence[Cell]:
    draws = range(1 if scale == 'smoke' else DRAWS)
    return [{'draw': number, **settings_of(number, 'transformer', scale)} for number in draws]

  def cells(self, scale: Scale) -> list[Cell]:
    return [cell | settings_of(cell['draw'], cell['architecture'], scale) for cell in super().cells(scale)]

  def cells_of(self, scale: Scale, architectures: Sequence[str]) -> list[Cell]:
    cells = super().cells_of(scale, architectures)
    return [cell | settings_of(cell['draw'], cell['architecture'], scale) for cell in cells]

  def settings(self, cell: Cell) -> TrainSettings:
    chosen = {name: cell[name] for name in ('clip', 'optimizer')}
    return replace(super().settings(cell), warmup_steps=round(cell['warmup'] * cell['steps']), **chosen)


def settings_of(number: int, architecture: str, scale: Scale = 'overnight') -> Cell:
  """Return the settings of a draw: multiples do not depend on the architecture, nor on other draws."""
  draw = np.random.default_rng(number)
  usual = OF_RNNS if architecture in ('lstm', 'gru', 'rnn') else OF_TRANSFORMERS
  multiple, optimizer = 10 ** draw.uniform(-DECADES, DECADES), str(draw.choice(['adamw', 'sgd']))
  return {
    'rates': [float(f'{usual.rate * multiple * (100 if optimizer == "sgd" else 1):.3g}')],
    'seeds': [number],
    'optimizer': optimizer,
    'clip': usual.clip * float(draw.choice([0.0, 0.1, 1.0, 10.0])),
    'warmup': float(draw.choice([0.0, 0.1])),
    'dropout': usual.dropout * float(draw.choice([0.0, 1.0, 2.0])),
    'depth': 1 if scale == 'smoke' else int(draw.choice([1, 2, 3])),
  }


class Plateaus(OfLanguage):
  """Training on a short text at a constant rate, until the training loss falls no more; it also chooses the rate."""

  name = 'plateaus'
  at_laptop = False

  def variants(self, scale: Scale) -> Sequence[Cell]:
    return GATED[:2] if scale == 'smoke' else GATED

  def points(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'smoke':
      return [{'examples': 8}]
    return [{'examples': 150, 'steps': 8000, 'rates': [1e-3, 3e-3, 1e-2], 'seeds': [0, 1, 2]}]

  def task(self, cell: Cell) -> Task:
    return Language(length=cell['length'], train_examples=cell['examples'])

  def settings(self, cell: Cell) -> TrainSettings:
    return replace(super().settings(cell), schedule='constant')

  def selection(self, model: Model, trial: Trial, task: Task, cell: Cell) -> float:
    return -float(np.mean(trial.losses[-max(1, round(LAST * len(trial.losses))) :]))

  def of_trial(self, model: Model, run: Trial, task: Task, cell: Cell) -> dict[str, Score]:
    """Add `fall`: by how much the training loss still fell, from the last tenth but one to the last."""
    before, last = np.array_split(run.losses, min(10, len(run.losses)))[-2:]
    fall = float(before.mean() - last.mean())
    return {**super().of_trial(model, run, task, cell), 'fall': (fall, 'nats')}


class OnFiveSeeds(OfLanguage):
  """The learning rate is chosen on two seeds, and trained with five."""

  def common(self, scale: Scale) -> Cell:
    return super().common(scale) | ({} if scale == 'smoke' else FIVE)


class Skips(OnFiveSeeds):
  """The same blocks with skip connections and without, norms and feed-forward kept; beside them the stacked LSTM."""

  name = 'skips'
  at_laptop = False
  takes_architectures = False

  def variants(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'smoke':
      return [{'architecture': 'transformer', 'block': 'residual', 'skips': 0}]
    pairs = [
      {'architecture': name, 'block': 'residual', 'skips': skips}
      for name in ('transformer', 'lstm')
      for skips in (1, 0)
    ]
    return [*pairs, {'architecture': 'lstm', 'block': '', 'skips': 0}]

  def points(self, scale: Scale) -> Sequence[Cell]:
    return [{'depth': depth} for depth in ((2,) if scale == 'smoke' else (2, 6))]

  def fields(self, cell: Cell) -> Mapping[str, Any]:
    return {'block': 'unskipped'} if cell['block'] and not cell['skips'] else {}


class StateSizes(EarlyStopped, OfLanguage):
  """A larger and a smaller state at as many parameters, on few windows of text; the best on validation count.

  Linear attention keeps width²/heads numbers, whatever its parameters; Mamba-2 keeps `state_width` numbers a channel.
  """

  name = 'state_sizes'
  version = 2
  at_laptop = False
  takes_architectures = False

  def variants(self, scale: Scale) -> Sequence[Cell]:
    linear = [{'architecture': 'linear_transformer', 'family': 'linear attention', 'heads': n} for n in (1, 2, 4, 8)]
    mamba = [{'architecture': 'mamba2', 'family': 'Mamba-2', 'state_width': n} for n in (4, 16, 64)]
    return linear[:1] if scale == 'smoke' else linear + mamba

  def points(self, scale: Scale) -> Sequence[Cell]:
    return [{'examples': 8 if scale == 'smoke' else 100}]

  def task(self, cell: Cell) -> Task:
    return Language(length=cell['length'], train_examples=cell['examples'])

  def fields(self, cell: Cell) -> Mapping[str, Any]:
    return {'heads': cell['heads']} if 'heads' in cell else {'mixer': {'state_width': cell['state_width']}}


@dataclass(frozen=True)
class InOrder(Language):
  """A text that training reads in contiguous streams, as with segments, also where every window starts anew."""

  def dataset(
    self, split: str, batch_size: int, *, seed: int = 0, shard: Shard = Shard(), segment: int | None = None
  ) -> Any:
    if split != 'train' or segment is not None:
      return super().dataset(split, batch_size, seed=seed, shard=shard, segment=segment)
    return super().dataset(split, batch_size, seed=seed, shard=shard, segment=self.length).map(_starting_anew)


def _starting_anew(batch: Batch) -> Batch:
  return batch._replace(reset=None)  # nor is a state carried


class SegmentMemory(OnFiveSeeds):
  """Transformer-XL over the length of its memory; beside it, windows of as many tokens without any memory.

  All train on the same tokens in the same order. All are scored on every token of the test split, read in windows, or
  in segments with the memory carried on. The training step is compiled, with the shortest memory, for segments of
  `length` tokens and of half as many, whose dependent steps are counted.
  """

  name = 'segment_memory'
  version = 2
  at_laptop = False
  takes_architectures = False

  def variants(self, scale: Scale) -> Sequence[Cell]:
    del scale
    return [{'architecture': 'transformer_xl'}]

  def points(self, scale: Scale) -> Sequence[Cell]:
    segment = 16 if scale == 'smoke' else 64
    return [{'length': segment, 'memory': memory} for memory in (0, segment, 4 * segment)]

  def cells(self, scale: Scale) -> list[Cell]:
    cells = super().cells(scale)
    if scale == 'smoke' or not cells:
      return cells
    longest = {**cells[0], 'architecture': 'transformer', 'length': 4 * cells[0]['length'], 'memory': 0}
    return [*cells, {**longest, 'batch': cells[0]['batch'] // 4}]  # as many tokens an update

  def common(self, scale: Scale) -> Cell:
    return super().common(scale) | ({'steps': 1500} if scale == 'overnight' else {})  # memory takes longer to learn

  def task(self, cell: Cell) -> Task:
    return InOrder(length=cell['length'])

  def settings(self, cell: Cell) -> TrainSettings:
    read = {'segment': cell['length'], 'memory': cell['memory']} if cell['memory'] else {}
    return replace(super().settings(cell), **read)

  def run(self, cell: Cell) -> Iterable[Row]:
    yield from super().run(cell)
    if cell['memory'] == cell['length']:
      for segment in (cell['length'] // 2, cell['length']):
        steps = _dependent_steps(cell, self.task(cell | {'length': segment}), self.settings(cell | {'length': segment}))
        yield {'metric': 'dependent_steps', 'value': steps, 'unit': 'steps', **_flat(cell), 'segment': segment}

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    loss, parts = _loss(model, trial, task, 'test', cell)
    return {'loss': (loss, 'nats', {'parts': parts})}

  def selection(self, model: Model, trial: Trial, task: Task, cell: Cell) -> float:
    return -_loss(model, trial, task, 'validation', cell)[0]


def _flat(cell: Cell) -> Row:
  return {name: cell[name] for name in ('architecture', 'size', 'depth', 'length', 'memory')}


def _dependent_steps(cell: Cell, task: Task, settings: TrainSettings) -> int:
  """Return how many steps of the compiled training step must follow one another; 1 without loops."""
  model = Variant(cell['architecture'], 'xla').build(task.spec, params=cell['size'], depth=cell['depth'])
  step = make_run(model, task, settings).trace_step().lower().compile()
  return max(1, program.dependent_steps(step.as_text()))


def _loss(model: Model, trial: Trial, task: Task, split: str, cell: Cell) -> tuple[float, list[float]]:
  """Return the loss of a split and its values in parts, which are the same for every memory of that segment."""
  memory = cell['memory']
  read = EvalSettings(segment=cell['length'], memory=memory) if memory else EvalSettings(100)
  pair = evaluate_examples(model, trial.params, task, Evaluation(split), read)['loss']
  return quotient(*pair.sum(axis=1)), in_parts(pair)
