"""How far back a model reaches: gradients against the lag; one key recalled within and beyond the training length."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from comparison.experiments import gate
from comparison.experiments.base import REFERENCES, Cell, Row, Scale
from comparison.experiments.grid import Score, Trials
from comparison.experiments.trained import Trial, by_accuracy, equal_flops, has_second_budget, metric, score, updates
from comparison.experiments.training_grids import common
from comparison.experiments.variants import Variant, columns
from seqmodels.models import Model
from seqmodels.spec import Spec, Vectors
from tasks.base import Task
from tasks.recall import Recall

LAGS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
ENCODINGS = ('rotary', 'none', 'alibi', 't5')  # of the Transformer
INPUT = 16  # components of the random inputs
LEAST = 1e-45  # the smallest number that float32 has


class Reach(Trials):
  """Untrained models on random inputs for the gradients, trained ones for the recall, all of one budget.

  A key and its value begin a sequence. In training the key comes again anywhere behind them; in a test it is the last
  of `length` tokens, which is the only lag of the test. Learning rates, and in a verdict position encodings, are
  compared by the accuracy of validation over the same lags, within the training length and beyond it.
  """

  name = 'reach'
  version = 3
  adds = staticmethod(has_second_budget)

  def cells(self, scale: Scale) -> list[Cell]:
    shared = common(
      scale,
      {
        'farthest': 32, 'length': 16, 'factors': [1, 2], 'batch': 32, 'steps': 4, 'rates': [3e-3], 'seeds': [0, 1],
        'size': 6e3,
      },
      {'farthest': 256, 'length': 32, 'factors': [0.5, 1, 2, 4], 'steps': 300, 'seeds': [0, 1], 'size': 25e3},
      {
        'farthest': 1000, 'length': 64, 'factors': [0.5, 1, 2, 4, 8], 'steps': 1500, 'rates': [1e-3, 3e-3, 1e-2, 3e-2],
        'seeds': [0, 1, 2, 3, 4], 'tuning_seeds': [0],
      },
      {'steps': 4000, 'tuning_seeds': [0, 1]},
    )  # fmt: skip
    is_short = scale in ('smoke', 'laptop')
    encodings = {'smoke': ('rotary',), 'laptop': ('rotary', 'alibi')}.get(scale, ENCODINGS)
    attention = [{'architecture': 'transformer', 'position': name} for name in encodings]
    recurrent = [{'architecture': name, 'position': ''} for name in ('lstm', 'gru', 'rnn')[: 1 if is_short else 3]]
    cells = [{'block': '', **shared, **variant} for variant in (*attention, *recurrent)]
    if is_short:
      return cells
    return cells + [
      {'block': '', **shared, **variant, **budget}
      for budget in equal_flops('transformer', 'rnn')
      for variant in (*attention, *recurrent)
      if variant['architecture'] == budget['architecture']
    ]

  def cells_of(self, scale: Scale, architectures: Sequence[str]) -> list[Cell]:
    """Return the grid of the references and of these architectures, each with the position encoding of its own."""
    cells = [cell for cell in self.cells(scale) if not self.adds(cell) and cell['architecture'] in REFERENCES]
    others = [name for name in dict.fromkeys(architectures) if name not in REFERENCES]
    return cells + [{**cells[-1], 'architecture': name} for name in others]

  def cost(self, cell: Cell) -> float:
    return 8 + super().cost(cell)

  def task(self, cell: Cell) -> Recall:
    return Recall(
      train_examples=0, evaluation_examples=300, vocabulary=64, pairs=1, length=cell['length'], distance='uniform'
    )

  def fields(self, cell: Cell) -> Mapping[str, Any]:
    return {'position': cell['position']} if cell['position'] else {}

  def run(self, cell: Cell) -> Iterable[Row]:
    variant = Variant(cell['architecture'], fields=dict(self.fields(cell)))
    if gate.admit([variant])[0]:
      if not has_second_budget(cell):  # gradients are those of untrained models
        yield from gradients(variant, cell)
      model = variant.build(self.task(cell).spec, params=cell['size'], depth=cell['depth'])
      cell = {**cell, 'steps': updates(model, cell)}
    for row in super().run(cell):
      yield {**row, 'metric': metric(row['metric'], cell)}

  def selection(self, model: Model, trial: Trial, task: Task, cell: Cell) -> float:
    found = [score(model, trial.params, at_end(task, length), 'validation') for length in lengths(cell)]
    return float(np.mean([by_accuracy(scores) for scores in found]))

  def rows_of(self, model: Model, run: Trial, task: Task, cell: Cell) -> Iterable[tuple[str, Score]]:
    yield from self.of_trial(model, run, task, cell).items()
    for length in lengths(cell):
      reached = score(model, run.params, at_end(task, length), 'test')['accuracy']
      yield 'accuracy', (reached, 'share', {'length': length, 'lag': length - 1, 'train_length': cell['length']})

  def scores(self, model: Model, trial: Trial, task: Task, cell: Cell) -> Mapping[str, Score]:
    del model, trial, task, cell
    return {}  # those at each lag are rows of their own


def lengths(cell: Cell) -> list[int]:
  """Return the lengths of the test's sequences."""
  return [int(factor * cell['length']) for factor in cell['factors']]


def at_end(task: Task, length: int) -> Recall:
  """Return the task in sequences of `length` tokens, of which the key is the first and the last."""
  return dataclasses.replace(cast(Recall, task), length=length, gap=length - 1)


def gradients(variant: Variant, cell: Cell) -> Iterable[Row]:
  length = cell['farthest'] + 1
  spec = Spec('causal', Vectors(INPUT), Vectors(INPUT), length)
  model = variant.build(spec, params=cell['size'], depth=cell['depth'])
  gradient = jax.jit(lambda params, x: input_gradient(model, params, x))
  inputs = np.random.default_rng(0).standard_normal((4, length, INPUT), np.float32)
  for seed in cell['seeds']:
    # Squared in float64: in float32 what is below 1e-22 would be nothing. What is nothing even so is at most 1e-45.
    squares = np.square(np.asarray(gradient(model.init(jax.random.key(seed)), inputs), np.float64))
    norms = np.sqrt(squares.sum(-1).mean(0))
    decades = np.log10(np.maximum(norms, LEAST))
    for lag in (lag for lag in LAGS if lag <= cell['farthest']):
      yield {
        'metric': 'gradient_decades',
        'value': float(decades[length - 1 - lag] - decades[length - 2]),
        'unit': 'decades',
        **columns(variant, model, length),
        'position': cell['position'],
        'lag': lag,
        'bound': bool(norms[length - 1 - lag] <= LEAST),
        'seed': seed,
      }


def input_gradient(model: Model, params: dict, inputs: jax.Array) -> jax.Array:
  """∂y_T/∂x_t along one direction of y, for every sequence and t, [b t d]."""
  direction = jnp.cos(jnp.arange(INPUT, dtype=jnp.float32))

  def last(x: jax.Array) -> jax.Array:
    return jnp.sum(model.apply(params, x)[0][:, -1] @ direction)

  return jax.grad(last)(inputs)
