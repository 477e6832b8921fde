"""Where in its window a language model's loss falls: test loss by token index."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from comparison.experiments import gate
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.trained import (
  Trainer,
  equal_flops,
  has_second_budget,
  in_parts,
  metric,
  score,
  trials,
  updates,
)
from comparison.experiments.variants import Variant, columns, depth
from seqmodels.models import Model
from tasks.base import Batch
from tasks.language import Language
from training.settings import TrainSettings


class TokenIndex(Experiment):
  """Characters of the embedded text; parameters, tokens, learning rates and seeds are the same for every architecture.

  Rows average the test loss over the indices from one power of two to the next; `index` is the middle of them.
  """

  name = 'token_index'
  takes_architectures = True
  adds = staticmethod(has_second_budget)
  version = 2

  def cells(self, scale: Scale) -> list[Cell]:
    smoke: dict[str, Any] = {
      'size': 6e3,
      'length': 16,
      'batch': 4,
      'steps': 4,
      'rates': [3e-3],
      'seeds': [0, 1],
    }
    laptop = smoke | {'size': 1e5, 'length': 256, 'batch': 8, 'steps': 250, 'rates': [4e-3], 'seeds': [0, 1, 2]}
    overnight = laptop | {'steps': 1500, 'rates': [2e-3, 6e-3], 'seeds': [0, 1, 2, 3, 4]}
    accelerator = overnight | {'size': 3e6, 'length': 1024, 'batch': 32, 'steps': 4000}
    cell = {'smoke': smoke, 'laptop': laptop, 'overnight': overnight}.get(scale, accelerator)
    variants = [('transformer', ''), ('lstm', '')]
    more = []
    if scale not in ('smoke', 'laptop'):
      variants += [('gru', ''), ('lstm', 'residual')]
      more = equal_flops('transformer')
    shared = {'depth': depth(scale), **cell}
    return [{'architecture': a, 'block': b, **shared} for a, b in variants] + [
      {'block': '', **shared, **other} for other in more
    ]

  def cost(self, cell: Cell) -> float:
    tokens = cell['steps'] * cell['length'] * cell['batch']
    return 4 + 2.5e-10 * tokens * cell['size'] * len(cell['rates']) * len(cell['seeds'])

  def run(self, cell: Cell) -> Iterable[Row]:
    admitted, refused = gate.admit([Variant(cell['architecture'], '', cell['block'])])
    yield from refused
    task = Language(length=cell['length'])
    for variant in admitted:
      model = variant.build(task.spec, params=cell['size'], depth=cell['depth'])
      steps = updates(model, cell)
      trainer = Trainer(model, task, settings(steps, cell['batch']))
      rate, runs, mean = trials(
        trainer, cell['rates'], cell['seeds'], lambda p, m=model: -score(m, p, task, 'validation', 25)['loss']
      )
      for seed, run in runs:
        sums = position_losses(model, run.params, task)
        for (index, loss), (start, stop) in zip(bands(means(sums)), ends_of_bands(task.length), strict=True):
          yield {
            'parts': in_parts(sums[:, :, start - 1 : stop - 1].sum(axis=2)),
            'metric': metric('loss', cell),
            'value': loss,
            'unit': 'nats',
            **columns(variant, model, cell['length']),
            'size': cell['size'],
            'length': cell['length'],
            'batch': cell['batch'],
            'index': index,
            'learning_rate': rate,
            'selection': mean,
            'updates': steps,
            'seed': seed,
          }


def settings(steps: int, batch: int) -> TrainSettings:
  return TrainSettings(
    steps=steps, batch_size=batch, schedule='cosine', warmup_steps=steps // 10, weight_decay=0.1, beta2=0.99
  )


def position_losses(model: Model, params: dict, task: Language) -> np.ndarray:
  """Return the sum and the weight of the test loss of each example at each position of the window, [2, n, t]."""

  @jax.jit
  def losses(params: dict, batch: Batch) -> jax.Array:
    return task.loss_by_position(model.apply(params, batch.inputs)[0], batch)

  return by_position(task, lambda batch: losses(params, batch))


def by_position(task: Language, losses: Callable[[Batch], Any]) -> np.ndarray:
  """Return `losses(batch)`, [b t] and 0 where no token counts, and the weights, [2, n, t], of the test split."""
  pairs = [(losses(batch), batch.weights) for batch in task.dataset('test', 25)]
  return np.concatenate([np.stack([np.asarray(side, np.float64) for side in pair]) for pair in pairs], axis=1)


def means(sums: np.ndarray) -> np.ndarray:
  """Return the mean at each position, [t], of sums and weights [2, n, t]."""
  total, weight = sums.sum(axis=1)
  return total / np.maximum(weight, 1)


def mean_by_position(task: Language, losses: Callable[[Batch], Any]) -> np.ndarray:
  """Mean over the test split of `losses(batch)` at each position, [t]; see `by_position`."""
  return means(by_position(task, losses))


def bands(losses: np.ndarray) -> Iterable[tuple[int, float]]:
  """(middle index, mean loss) over 1, 2–3, 4–7, …; indices count from 1, the tokens that can be seen."""
  for start, stop in ends_of_bands(len(losses)):
    yield (start + stop - 1) // 2, float(losses[start - 1 : stop - 1].mean())


def ends_of_bands(length: int) -> Iterable[tuple[int, int]]:
  """Yield the first index of each band, and that of the next.

  What is left at the end, if it is less than half a band, belongs to the last band: a single index is all noise.
  """
  start = 1
  while start <= length:
    stop = 2 * start
    if length + 1 - stop < start:
      stop = length + 1
    yield start, stop
    start = stop
