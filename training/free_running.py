"""Free-running metrics of an evaluation: what a model writes by itself, scored example by example."""

import logging
import math
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float64

from seqmodels.models import Model
from seqmodels.notation import Params
from tasks.base import Batch, Decoding, Evaluation, Task
from training import mesh as meshes
from training import processes
from training.evaluate import check_finite, examples, with_options
from training.settings import EvalSettings
from training.stop import polled
from training.waiting import each

log = logging.getLogger('seqmodels')


def free_running(
  model: Model,
  params: Params,
  task: Task,
  evaluation: Evaluation,
  settings: EvalSettings,
  mesh: Mesh | None = None,
  after_batch: Callable[[], None] | None = None,
) -> dict[str, float]:
  """Return the scores of `task.free_running` over the first `settings.free_running` examples of a split, or all.

  Where some are left out, a line says so. The scores do not depend on the batch size: sums and weights of examples are
  added in float64. Every process gathers the parameters on its first device and takes each n-th batch; the sums of all
  are added. Empty for a task without such metrics. `after_batch` is also called while a batch is at work; what it
  raises ends the evaluation.
  """
  if not _has_scores(task, settings):
    return {}
  found = free_running_examples(model, params, task, evaluation, settings, mesh, after_batch)
  if (limit := settings.free_running) >= 0 and limit < (number := examples(task, evaluation.split)):
    text = '%s: what the model writes by itself is scored on %d of %d examples, the first; eval.free_running=-1: all'
    log.info(text, evaluation.split, limit, number)
  # Also a process without a batch takes part: the others wait for it.
  totals = gathered({name: pair.sum(axis=1) for name, pair in found.items()})
  return with_options(task, evaluation).free_running_scores(totals)


def free_running_examples(
  model: Model,
  params: Params,
  task: Task,
  evaluation: Evaluation,
  settings: EvalSettings,
  mesh: Mesh | None = None,
  after_batch: Callable[[], None] | None = None,
) -> dict[str, Float64[np.ndarray, '2 n']]:
  """Return the sum and the weight of each metric in every example that this process has; see `free_running`."""
  if not _has_scores(task, settings):
    return {}
  limit = settings.free_running if settings.free_running >= 0 else sys.maxsize
  check_finite(params)
  task, params = with_options(task, evaluation), on_one_device(params, mesh)
  decoding = Decoding(settings.beams, settings.length_penalty)
  size = min(settings.batch_size, examples(task, evaluation.split) or settings.batch_size, limit)
  stream = each('reading a batch', task.dataset(evaluation.split, size))
  pairs: dict[str, list[np.ndarray]] = {}
  for number, batch in zip(range(math.ceil(limit / size)), stream, strict=False):
    if number % processes.count() != processes.index():
      continue
    batch = without_rows(batch, limit - number * size)
    call = lambda batch=batch: task.free_running(model, params, batch, decoding)
    for name, pair in (call() if after_batch is None else polled(call, after_batch)).items():
      pairs.setdefault(name, []).append(of_counted(pair, batch))
  return {name: np.concatenate(found, axis=1) for name, found in pairs.items()}


def _has_scores(task: Task, settings: EvalSettings) -> bool:
  return bool(settings.free_running) and type(task).free_running is not Task.free_running


def on_one_device(params: Params, mesh: Mesh | None) -> Params:
  """Return the parameters, whole, on the first device of this process."""
  if mesh is None or mesh.size == 1:
    return params
  whole = jax.jit(lambda x: x, out_shardings=meshes.replicated(mesh))(params)
  return jax.tree.map(lambda x: x.addressable_data(0), whole)


def without_rows(batch: Batch, count: int) -> Batch:
  """Return the batch with weight 0 in all rows from the `count`-th on."""
  rows = len(batch.weights)
  if count >= rows:
    return batch
  counted = (np.arange(rows) < count).astype(batch.weights.dtype)
  return batch._replace(weights=batch.weights * counted.reshape(-1, *[1] * (batch.weights.ndim - 1)))


def of_counted(pair: Any, batch: Batch) -> Float64[np.ndarray, '2 n']:
  """Return sum and weight of the rows of a batch in which anything counts, in float64."""
  counted = (np.asarray(batch.weights) > 0).reshape(len(batch.weights), -1).any(axis=1)
  return np.asarray(pair, np.float64)[:, counted]


def gathered(totals: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
  """Return the totals of all processes. Those without a batch wait as long as the others decode."""
  added: dict[str, np.ndarray] = {}
  for part in processes.gather({name: pair.tolist() for name, pair in totals.items()}):
    for name, pair in part.items():
      added[name] = added.get(name, np.zeros(2)) + np.asarray(pair)
  return {name: (float(total), float(weight)) for name, (total, weight) in added.items()}
