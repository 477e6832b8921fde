"""How far back a model reaches: gradients against the lag; one key recalled within and beyond the training length."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from comparison.experiments import gate
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.trained import Trainer, equal_flops, has_second_budget, metric, score, trials, updates
from comparison.experiments.variants import Variant, columns, depth
from seqmodels.models import Model
from seqmodels.spec import Spec, Vectors
from tasks.recall import Recall
from training.settings import TrainSettings

LAGS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
INPUT = 16  # components of the random inputs
BATCH = 32  # sequences an update
LEAST = 1e-45  # the smallest number that float32 has


class Reach(Experiment):
  """Untrained models on random inputs for the gradients, trained ones for the recall, all of one budget."""

  name = 'reach'
  version = 2
  takes_architectures = True
  adds = staticmethod(has_second_budget)

  def cells(self, scale: Scale) -> list[Cell]:
    smoke: dict[str, Any] = {
      'lag': 32,
      'length': 16,
      'factors': [1, 2],
      'steps': 4,
      'rates': [3e-3],
      'seeds': [0, 1],
      'size': 6e3,
    }
    laptop = smoke | {
      'lag': 256,
      'length': 32,
      'factors': [0.5, 1, 2, 4],
      'steps': 300,
      'rates': [3e-3],
      'seeds': [0, 1, 2],
      'size': 25e3,
    }
    overnight = laptop | {
      'lag': 1000,
      'length': 64,
      'factors': [0.5, 1, 2, 4, 8],
      'steps': 1000,
      'rates': [1e-3, 3e-3],
      'seeds': [0, 1, 2, 3, 4],
    }
    cell = {'smoke': smoke, 'laptop': laptop}.get(scale, overnight)
    few = {'smoke': 2, 'laptop': 3}
    architectures = ('transformer', 'lstm', 'gru', 'rnn')[: few.get(scale, 4)]
    cells = [{'architecture': a, 'depth': depth(scale), **cell} for a in architectures]
    if scale in few:
      return cells
    return cells + [{'depth': depth(scale), **cell, **budget} for budget in equal_flops('transformer', 'rnn')]

  def cost(self, cell: Cell) -> float:
    return 8 + 0.006 * cell['steps'] * len(cell['seeds']) * len(cell['rates'])

  def run(self, cell: Cell) -> Iterable[Row]:
    admitted, refused = gate.admit([Variant(cell['architecture'])])
    yield from refused
    for variant in admitted:
      if not has_second_budget(cell):  # gradients are those of untrained models
        yield from gradients(variant, cell)
      yield from recall(variant, cell)


def gradients(variant: Variant, cell: Cell) -> Iterable[Row]:
  length = cell['lag'] + 1
  spec = Spec('causal', Vectors(INPUT), Vectors(INPUT), length)
  model = variant.build(spec, params=cell['size'], depth=cell['depth'])
  gradient = jax.jit(lambda params, x: input_gradient(model, params, x))
  inputs = np.random.default_rng(0).standard_normal((4, length, INPUT), np.float32)
  for seed in cell['seeds']:
    # Squared in float64: in float32 what is below 1e-22 would be nothing. What is nothing even so is at most 1e-45.
    squares = np.square(np.asarray(gradient(model.init(jax.random.key(seed)), inputs), np.float64))
    norms = np.sqrt(squares.sum(-1).mean(0))
    decades = np.log10(np.maximum(norms, LEAST))
    for lag in (lag for lag in LAGS if lag <= cell['lag']):
      yield {
        'metric': 'gradient_decades',
        'value': float(decades[length - 1 - lag] - decades[length - 2]),
        'unit': 'decades',
        **columns(variant, model, length),
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


def recall(variant: Variant, cell: Cell) -> Iterable[Row]:
  task = make_task(cell)
  model = variant.build(task.spec, params=cell['size'], depth=cell['depth'])
  steps = updates(model, cell)
  trainer = Trainer(model, task, settings(steps))
  rate, runs, mean = trials(
    trainer, cell['rates'], cell['seeds'], lambda p: score(model, p, task, 'validation')['accuracy']
  )
  for factor in cell['factors']:
    longer = dataclasses.replace(task, length=int(factor * cell['length']))
    for seed, run in runs:
      yield {
        'metric': metric('accuracy', cell),
        'value': score(model, run.params, longer, 'test')['accuracy'],
        'unit': 'share',
        **columns(variant, model, longer.length),
        'length': longer.length,
        'train_length': cell['length'],
        'learning_rate': rate,
        'selection': mean,
        'updates': steps,
        'seed': seed,
      }


def make_task(cell: Cell) -> Recall:
  return Recall(
    train_examples=0, evaluation_examples=300, vocabulary=64, pairs=1, length=cell['length'], distance='uniform'
  )


def settings(steps: int) -> TrainSettings:
  return TrainSettings(steps=steps, batch_size=BATCH, schedule='cosine', warmup_steps=steps // 10, clip=1.0)
