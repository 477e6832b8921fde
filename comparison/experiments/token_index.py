"""How much of what it has read a language model uses: test loss of the same tokens under contexts of many lengths."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import jax
import numpy as np

from comparison.experiments.base import Cell, Row, Scale
from comparison.experiments.grid import Score, tuning_seeds
from comparison.experiments.sides import OfSides
from comparison.experiments.trained import Trial, equal_flops, has_second_budget, in_parts, metric, updates
from comparison.experiments.training_grids import common
from comparison.experiments.variants import Variant
from seqmodels.models import Model, sizing
from seqmodels.notation import Params, State
from tasks.base import Batch, Task
from tasks.language import Language
from training.settings import TrainSettings

SCORED = 16  # the last tokens of a window, on which every context is compared
WINDOWS = 25  # a batch of the test
STREAMS = 8  # of windows that follow each other


class TokenIndex(OfSides):
  """Windows of a text, whose last SCORED tokens are predicted from the last `index` tokens alone.

  The tokens that count are the same for every context. The last of them sees `index` tokens, the first SCORED − 1 less.
  RNNs also read the windows of the test one after another with their state carried on: metric `loss_carried`. A cell
  trains one size with several budgets of tokens. Learning rates are compared with the first budget, and the best is
  kept for the others.
  """

  name = 'token_index'
  version = 4
  at_laptop = False  # no minutes of training show what 1,024 tokens are worth
  adds = staticmethod(has_second_budget)

  def points(self, scale: Scale) -> Sequence[Cell]:
    sizes = {'smoke': (6e3,), 'accelerator': (1e6, 3e6, 1e7)}.get(scale, (3e4, 1e5))
    return [{'size': size} for size in sizes]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {
        'dataset': 'embedded', 'length': 32, 'contexts': [16, 32], 'windows': 48, 'batch': 4, 'budgets': [512, 1024],
        'rates': [3e-3], 'seeds': [0, 1],
      },
      {},
      {
        'dataset': 'enwik8', 'length': 1024, 'contexts': [16, 64, 256, 512, 1024], 'windows': 400, 'batch': 4,
        'budgets': [2_000_000, 6_000_000], 'rates': [1e-3, 3e-3, 1e-2, 3e-2], 'seeds': [0, 1, 2], 'tuning_seeds': [0],
      },
      {
        'windows': 2000, 'batch': 32, 'budgets': [30_000_000, 100_000_000, 300_000_000],
        'rates': [3e-4, 1e-3, 3e-3, 1e-2],
      },
    )  # fmt: skip

  def cells(self, scale: Scale) -> list[Cell]:
    found = super().cells(scale)
    if scale == 'smoke':
      return found
    shared = {'budget_depth': self.common(scale)['depth']}
    return found + [
      {**cell, **budget, **shared}
      for budget in equal_flops('transformer')
      for cell in found
      if cell['architecture'] == budget['architecture']
    ]

  def cost(self, cell: Cell) -> float:
    tuning = len(tuning_seeds(cell))
    tokens = sum(cell['budgets']) * len(cell['seeds']) + cell['budgets'][0] * (len(cell['rates']) - 1) * tuning
    return 5 + 2.5e-10 * tokens * cell['size']

  def task(self, cell: Cell) -> Language:
    return Language(corpus=cell['dataset'], length=cell['length'])

  def settings(self, cell: Cell) -> TrainSettings:
    return dataclasses.replace(super().settings(cell), weight_decay=0.1, beta2=0.99)

  def run(self, cell: Cell) -> Iterable[Row]:
    variant = Variant(cell['architecture'], '', cell['block'], fields=dict(self.fields(cell)))
    rates = cell['rates']
    for budget in cell['budgets']:
      own = {**cell, 'budget': budget, 'rates': rates, 'steps': round(budget / (cell['batch'] * cell['length']))}
      own['steps'] = updates(self.build(variant, self.task(cell), cell), own)
      rows = list(super().run(own))
      yield from ({**row, 'metric': metric(row['metric'], cell)} for row in rows)
      tried = [row for row in rows if row.get('selection') is not None]
      if tried:
        rates = [max(tried, key=lambda row: row['selection'])['learning_rate']]

  def selection(self, model: Model, trial: Trial, task: Task, cell: Cell) -> float:
    batches = in_batches(cast(Language, task), 'validation', windows_of(task, 'validation', cell['windows'] // 4))
    return -float(window_losses(model, trial.params, cast(Language, task), batches, task.spec.length, last=0).mean())

  def rows_of(self, model: Model, run: Trial, task: Task, cell: Cell) -> Iterable[tuple[str, Score]]:
    yield from self.of_trial(model, run, task, cell).items()
    text, indices = cast(Language, task), windows_of(task, 'test', cell['windows'])
    found = {
      context: ('loss', window_losses(model, run.params, text, in_batches(text, 'test', indices), context))
      for context in cell['contexts']
    }
    if sizing.state_bytes(model, 1, 1) == sizing.state_bytes(model, 1, cell['length']):
      found[0] = 'loss_carried', carried_losses(model, run.params, text, indices)
    for context, (name, losses) in found.items():
      parts = in_parts(np.stack([losses, np.ones_like(losses)]))
      yield name, (float(losses.mean()), 'nats', {'index': context or cell['length'], 'parts': parts})

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    del model, trial, task, cell
    return {}  # those of each context are rows of their own


def windows_of(task: Task, split: str, windows: int) -> np.ndarray:
  """Return the numbers of whole windows, [STREAMS, windows of a stream]: streams lie evenly over the split."""
  text = cast(Language, task)
  whole = len(text.tokens(split)) // text.length
  each = windows // STREAMS
  starts = np.arange(STREAMS) * (whole // STREAMS)
  return starts[:, None] + np.arange(each)[None, :]


def in_batches(task: Language, split: str, indices: np.ndarray) -> Iterator[Batch]:
  for some in np.array_split(indices.ravel(), -(-indices.size // WINDOWS)):
    yield task.arrays(split, some)


def window_losses(
  model: Model, params: Params, task: Language, batches: Iterable[Batch], context: int, last: int = SCORED
) -> np.ndarray:
  """Return the mean loss of the `last` tokens (0: all) of each window, read from its last `context` tokens, [n]."""

  @jax.jit
  def losses(params: Params, batch: Batch) -> jax.Array:
    read = jax.tree.map(lambda x: x[:, -context:], batch)
    return task.loss_by_position(model.apply(params, read.inputs)[0], read)[:, -last:].mean(axis=1)

  return np.concatenate([np.asarray(losses(params, batch), np.float64) for batch in batches])


def carried_losses(model: Model, params: Params, task: Language, indices: np.ndarray) -> np.ndarray:
  """Return the mean loss of the scored tokens of each window, in the order of `indices`, with the state carried on."""

  @jax.jit
  def losses(params: Params, state: State, batch: Batch) -> tuple[State, jax.Array]:
    outputs, state = model.apply(params, batch.inputs, state)
    return state, task.loss_by_position(outputs, batch)[:, -SCORED:].mean(axis=1)

  state, found = model.init_state(len(indices), task.length), []
  for column in indices.T:
    state, loss = losses(params, state, task.arrays('test', column))
    found.append(np.asarray(loss, np.float64))
  return np.stack(found, axis=1).ravel()
