"""Evaluation over full splits: sums and weights of every example, so that the batch size does not change the number."""

import dataclasses
import math
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh

from seqmodels.models import Model
from seqmodels.notation import Params
from tasks.base import Batch, Evaluation, Sums, Task
from training import mesh as meshes

AHEAD = 8  # batches dispatched before the oldest is waited for, so that their inputs do not fill the device


def possible_evaluations(model: Model, task: Task) -> dict[str, Evaluation]:
  """The task's evaluations that the model can run: a table of learned positions ends at the training length."""
  if model.config.position != 'learned':
    return task.evaluations()
  return {
    name: evaluation
    for name, evaluation in task.evaluations().items()
    if _with_options(task, evaluation).spec.length <= model.spec.length
  }


def _with_options(task: Task, evaluation: Evaluation) -> Task:
  return dataclasses.replace(task, **evaluation.options) if evaluation.options else task  # type: ignore[type-var]


def evaluate(
  model: Model, params: Params, task: Task, evaluation: Evaluation, batch_size: int, mesh: Mesh | None = None
) -> dict[str, float]:
  """The metrics of `task` (with the evaluation's options) over all of the evaluation's split.

  The examples' sums are fetched once and added in float64. The batch size is rounded up to a multiple of the devices:
  filler rows weigh nothing. A metric without any weight is nan.
  """
  task = _with_options(task, evaluation)
  mesh = mesh or meshes.make_mesh(1)
  batch_size = math.ceil(batch_size / mesh.size) * mesh.size
  results: list[dict[str, Sums]] = []
  for batch in task.dataset(evaluation.split, batch_size):
    results.append(example_sums(model, task, params, meshes.put_batch(batch, mesh)))
    behind = 1 if meshes.must_wait(mesh) else AHEAD
    if len(results) >= behind:
      jax.block_until_ready(results[-behind])
  totals: dict[str, np.ndarray] = {}
  for result in jax.device_get(results):
    for name, pair in result.items():
      totals[name] = totals.get(name, np.zeros(2)) + np.sum(np.asarray(pair, np.float64), axis=1)
  return {name: float(total / weight) if weight else math.nan for name, (total, weight) in totals.items()}


@partial(jax.jit, static_argnums=(0, 1))
def example_sums(model: Model, task: Task, params: Params, batch: Batch) -> dict[str, Sums]:
  """Each metric's sums and weights, [b] and [b], of one batch."""
  outputs, _ = model.apply(params, batch.inputs, reset=batch.reset, mask=batch.mask)
  return task.metrics(outputs, batch)
