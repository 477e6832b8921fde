"""Have a trained model predict the first examples of an evaluation, to be looked at, and show what it attends to."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from seqmodels.context import Context
from seqmodels.models import Model, build
from seqmodels.notation import Params
from tasks.base import Batch, Decoding, Evaluation, Task
from tasks.shown import Attention, Shown
from training import processes
from training.evaluate import examples, with_options
from training.free_running import on_one_device
from training.metrics import log
from training.settings import EvalSettings
from training.waiting import each

LONGEST = 512  # tokens whose attention is shown


def can_show(task: Task) -> bool:
  """Return whether the examples of a task can be looked at."""
  return type(task).shown is not Task.shown


def shown(
  model: Model,
  params: Params,
  task: Task,
  evaluation: Evaluation,
  settings: EvalSettings,
  mesh: Mesh | None = None,
  *,
  count: int,
) -> list[Shown]:
  """Return what there is to see of the first `count` examples of a split; in the first process only."""
  task, params = with_options(task, evaluation), on_one_device(params, mesh)
  if not processes.is_first():
    return []
  batch = _first(task, evaluation, count)
  found = task.shown(model, params, batch, Decoding(settings.beams, settings.length_penalty))
  return [one for one, counts in zip(found, _counting(batch), strict=False) if counts]


def attention(
  model: Model, params: Params, task: Task, evaluation: Evaluation, mesh: Mesh | None = None, *, count: int
) -> list[list[Attention]]:
  """Return what every layer attends to in the first `count` examples of a split, given the truth; see `shown`.

  Of a causal model the first LONGEST tokens; of longer sequences of others nothing, which is logged.
  """
  task, params = with_options(task, evaluation), on_one_device(params, mesh)
  if not processes.is_first() or not model.attends:
    return []
  batch = _first(task, evaluation, count)
  if model.spec.kind == 'causal':
    first = lambda a: None if a is None else a[:, :LONGEST]
    batch = batch._replace(inputs=first(batch.inputs), reset=first(batch.reset), mask=first(batch.mask))
  longest = max(side.shape[1] for side in (batch.inputs, batch.source) if side is not None)
  if longest > LONGEST:
    log.warning('sequences of %d tokens are too long to show what is attended to: at most %d', longest, LONGEST)
    return []
  whole = build(dataclasses.replace(model.config, kernels='reference'), model.spec)
  maps = jax.device_get(jax.jit(_maps, static_argnums=0)(whole, params, batch))
  return [_of_example(maps, task, batch, row) for row, counts in enumerate(_counting(batch)) if counts]


def _first(task: Task, evaluation: Evaluation, count: int) -> Batch:
  size = min(count, examples(task, evaluation.split) or count)
  return next(iter(each('reading a batch', task.dataset(evaluation.split, size))))


def _counting(batch: Batch) -> list[bool]:
  """Return which rows are examples, and no fillers."""
  return [bool(weights.any()) for weights in np.asarray(batch.weights)]


def _maps(model: Model, params: Params, batch: Batch) -> dict[str, jax.Array]:
  context = Context(batch.reset, batch.mask)
  return model.attention_maps(params, batch.inputs, context, source=batch.source, source_mask=batch.source_mask)


def _of_example(maps: dict[str, np.ndarray], task: Task, batch: Batch, row: int) -> list[Attention]:
  """Return the maps of one example without its padding."""
  if batch.source is None:
    inputs = targets = source = _tokens(batch.inputs[row], _of(batch.mask, row), task.token_names)
  else:
    there = batch.weights[row] > 0 if batch.mask is None else batch.mask[row]
    inputs, targets = (_tokens(side[row], there, task.token_names) for side in (batch.inputs, batch.targets))
    source = _tokens(batch.source[row], _of(batch.source_mask, row), task.source_names)
  found = []
  for layer in sorted(maps, key=_order):
    weights, part, kind = maps[layer], layer.split('/')[0], layer.split('/')[-1]
    over = source if kind == 'cross' or part == 'encoder' else inputs
    reads = targets if kind == 'cross' else over
    own = weights[row][:, reads.there][:, :, over.there]
    found.append(Attention(layer, np.asarray(own, np.float32), reads.names, over.names))
  return found


def _order(layer: str) -> tuple[bool, str, bool]:
  """Return what layers are sorted by: as the model runs through them."""
  *part, block, kind = layer.split('/')
  return part == ['decoder'], block, kind == 'cross'


def _of(mask: np.ndarray | None, row: int) -> np.ndarray | None:
  return None if mask is None else mask[row]


class _Tokens(NamedTuple):
  """Say where the tokens of a row are that are no padding, and their names where they are no vectors."""

  there: np.ndarray
  names: tuple[str, ...] | None


def _tokens(row: np.ndarray, mask: np.ndarray | None, names: Callable[[np.ndarray], list[str]]) -> _Tokens:
  there = np.arange(len(row)) if mask is None else np.flatnonzero(mask)
  is_named = row.ndim == 1 and np.issubdtype(row.dtype, np.integer)
  return _Tokens(there, tuple(names(row[there])) if is_named else None)
