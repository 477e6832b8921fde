"""Measure how gradients shrink on their way back through time: norms of products of the state's Jacobians."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from comparison.experiments import gate
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.trained import Trainer
from comparison.experiments.variants import Variant, columns
from seqmodels.models import Model
from tasks.language import Language
from training.settings import TrainSettings

LAGS = (1, 2, 5, 10, 20, 50, 100, 150, 200)


class GradientFlow(Experiment):
  """One recurrent layer reads text; ∂h_T/∂h_{T−lag} at initialisation and after some training on that text."""

  name = 'gradient_flow'
  version = 2

  def cells(self, scale: Scale) -> list[Cell]:
    grids: dict[str, tuple[Any, ...]] = {
      'smoke': (16, [0], [0], ('rnn',), 20),
      'laptop': (64, [0, 200], [0, 1, 2], ('rnn', 'lstm', 'gru'), 200),
      'overnight': (128, [0, 300, 1000], [0, 1, 2, 3, 4], ('rnn', 'lstm', 'gru'), 200),
    }
    width, updates, seeds, architectures, lag = grids.get(scale, grids['overnight'])
    return [{'architecture': a, 'width': width, 'updates': updates, 'seeds': seeds, 'lag': lag} for a in architectures]

  def cost(self, cell: Cell) -> float:
    return 4 + 0.005 * sum(cell['updates']) * len(cell['seeds'])

  def run(self, cell: Cell) -> Iterable[Row]:
    admitted, refused = gate.admit([Variant(cell['architecture'])])
    yield from refused
    task = Language(length=64)
    for variant in admitted:
      model = variant.build(task.spec, width=cell['width'], depth=1)
      tokens = task.arrays('validation', np.arange(cell['lag'] // task.length + 1)).inputs.reshape(-1)[
        : cell['lag'] + 1
      ]
      products = jax.jit(lambda params, ids, model=model: jacobians(model, params, ids))
      for update in cell['updates']:
        trainer = Trainer(model, task, settings(update)) if update else None
        for seed in cell['seeds']:
          params = trainer.run(2e-3, seed).params if trainer else model.init(jax.random.key(seed))
          lags = [lag for lag in LAGS if lag <= cell['lag']]
          decades = log_norms(np.asarray(products(params, tokens), np.float64), lags)
          for lag, value in zip(lags, decades, strict=True):
            yield {
              'metric': 'decades',
              'value': value,
              'unit': 'log₁₀ of the norm',
              **columns(variant, model, task.length),
              'lag': lag,
              'update': update,
              'seed': seed,
            }


def settings(updates: int) -> TrainSettings:
  return TrainSettings(steps=updates, batch_size=16, schedule='constant', clip=1.0)


def jacobians(model: Model, params: dict, tokens: jax.Array) -> jax.Array:
  """∂h_t/∂h_{t−1} for t = 1 … T along the tokens 0 … T, [T e e], with all of the state in one vector."""
  empty = model.init_state(1, 1)
  start, unravel = ravel_pytree(empty)

  def step(state: jax.Array, token: jax.Array) -> jax.Array:
    return ravel_pytree(model.apply(params, token[None, None], unravel(state))[1])[0]

  def along(state: jax.Array, token: jax.Array) -> tuple[jax.Array, jax.Array]:
    return step(state, token), state

  _, states = jax.lax.scan(along, start, tokens)
  return jax.vmap(jax.jacfwd(step))(states[1:], jnp.asarray(tokens[1:]))


def log_norms(steps: np.ndarray, lags: Sequence[int]) -> list[float]:
  """log₁₀ of the spectral norm of the product of the last n of the Jacobians [T e e], for each n of the rising `lags`.

  The product is rescaled as it grows or shrinks.
  """
  product, scale = np.eye(steps.shape[1]), 0.0
  norms: list[float] = []
  for count, jacobian in enumerate(steps[::-1][: lags[-1]], start=1):
    product = product @ jacobian
    size = np.linalg.norm(product)
    if size == 0:
      return norms + [-300.0] * (len(lags) - len(norms))
    product, scale = product / size, scale + float(np.log10(size))
    if count in lags:  # an SVD for each of the others would take most of the time
      norms.append(scale + float(np.log10(np.linalg.norm(product, 2))))
  return norms
