"""Evaluation over full splits: sums and weights of every example, so that the batch size does not change the number."""

import dataclasses
import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float64

from seqmodels.context import Context
from seqmodels.errors import InputError
from seqmodels.models import Model
from seqmodels.notation import Params, State
from tasks.base import Batch, Evaluation, Shard, Sums, Task
from training import mesh as meshes
from training.activations import Constrain, check_split, constrain
from training.mesh_settings import MeshSettings
from training.programs import Shapes, shapes
from training.settings import EvalSettings
from training.stop import polled
from training.waiting import each

log = logging.getLogger('seqmodels')

AHEAD = 8  # batches dispatched before the oldest is waited for, so that their inputs do not fill the device


class NotFinite(ArithmeticError):
  """An array of parameters, `name`, holds NaN or infinity: whatever the model computes with it means nothing."""

  def __init__(self, name: str) -> None:
    super().__init__(f'{name} holds NaN or infinity')
    self.name = name


def possible_evaluations(model: Model, task: Task) -> dict[str, Evaluation]:
  """Return the task's evaluations that the model can run: a table of learned positions ends at the training length."""
  if model.config.position != 'learned':
    return task.evaluations()
  return {
    name: evaluation
    for name, evaluation in task.evaluations().items()
    if with_options(task, evaluation).spec.length <= model.spec.length
  }


def say_left_out(model: Model, task: Task) -> None:
  """Log the evaluations that the model cannot run, in one line."""
  if left_out := sorted(task.evaluations().keys() - possible_evaluations(model, task).keys()):
    log.info(
      'not evaluated: %s: longer than the table of model.position=learned, which has %d positions',
      ', '.join(left_out),
      model.spec.length,
    )


def with_options(task: Task, evaluation: Evaluation) -> Task:
  """Return the task with the options that an evaluation replaces."""
  return dataclasses.replace(task, **evaluation.options) if evaluation.options else task  # type: ignore[type-var]


def evaluate(
  model: Model,
  params: Params,
  task: Task,
  evaluation: Evaluation,
  settings: EvalSettings,
  mesh: Mesh | None = None,
  after_batch: Callable[[], None] | None = None,
) -> dict[str, float]:
  """Return the metrics of `task` (with the evaluation's options) over all of the evaluation's split.

  The examples' sums are fetched once and added in float64. The batch size is at most the split, rounded up to a
  multiple of the devices that split it: filler rows weigh nothing. A metric without any weight is nan. With
  `settings.segment`, the split is read in segments with the state carried on. `after_batch` is also called while the
  program is compiled; what it raises ends the evaluation.

  Raises InputError where the devices do not divide `settings.streams`, NotFinite for parameters that are not finite.
  """
  found = evaluate_examples(model, params, task, evaluation, settings, mesh, after_batch)
  values = {name: quotient(*pair.sum(axis=1)) for name, pair in found.items()}
  return values | with_options(task, evaluation).derived(values)


def quotient(total: float, weight: float) -> float:
  """Return a sum over its weight; nan without any."""
  return float(total / weight) if weight else math.nan


def evaluate_examples(
  model: Model,
  params: Params,
  task: Task,
  evaluation: Evaluation,
  settings: EvalSettings,
  mesh: Mesh | None = None,
  after_batch: Callable[[], None] | None = None,
) -> dict[str, Float64[np.ndarray, '2 n']]:
  """Return the sum and the weight of each metric in every example, as they were read; fillers weigh nothing.

  Read in segments, an example is a segment of a stream. See `evaluate`.
  """
  check_finite(params)
  task = with_options(task, evaluation)
  settings = settings.for_task(task)
  mesh = mesh or meshes.make_mesh(MeshSettings(data=1))
  stream, carry = batches(model, task, evaluation, settings, mesh), None
  if settings.segment:
    shardings = Constrain(mesh).states(model.state_spec(settings.streams, settings.memory))
    carry = jax.device_put(model.init_state(settings.streams, settings.memory), shardings)
  results: list[dict[str, Sums]] = []
  seen: set[Shapes] = set()
  for batch in each('reading a batch', stream):
    batch = meshes.put_batch(batch, mesh)
    call = partial(example_sums, model, task, params, batch, carry, constrain(mesh), settings.memory)
    is_new = shapes(batch) not in seen  # and has to be compiled
    sums, carry = polled(call, after_batch) if after_batch is not None and is_new else call()
    seen.add(shapes(batch))
    results.append(sums)
    behind = 1 if meshes.must_wait(mesh) else AHEAD
    if len(results) >= behind:
      jax.block_until_ready(results[-behind])
    if after_batch is not None:
      after_batch()
  pairs: dict[str, list[np.ndarray]] = {}
  for result in jax.device_get(results):
    for name, pair in result.items():
      pairs.setdefault(name, []).append(np.asarray(pair, np.float64))
  return {name: np.concatenate(found, axis=1) for name, found in pairs.items()}


def check_finite(params: Params) -> None:
  """Raise NotFinite, naming the first array, unless all parameters are finite."""
  finite = jax.device_get(_are_finite(params))
  for path, is_finite in jax.tree_util.tree_leaves_with_path(finite):
    if not is_finite:
      name = jax.tree_util.keystr(path, simple=True, separator='/')
      raise NotFinite(f'params/{name}')


@jax.jit
def _are_finite(params: Params) -> Any:
  return jax.tree.map(lambda x: jnp.all(jnp.isfinite(x)), params)


def check(model: Model, task: Task, settings: EvalSettings, mesh: Mesh) -> None:
  """Raise, before anything is trained, the InputError of an evaluation that cannot be run afterwards."""
  for evaluation in possible_evaluations(model, task).values():
    longer = with_options(task, evaluation)
    batches(model, longer, evaluation, settings.for_task(longer), mesh)


def batches(model: Model, task: Task, evaluation: Evaluation, settings: EvalSettings, mesh: Mesh) -> Any:
  """Return the evaluation's split in whole sequences or, with `settings.segment`, in segments of streams."""
  segment, shard = settings.segment, Shard(*meshes.share_of_batch(mesh))
  check_split(model, mesh)
  meshes.check_parts('eval.segment', segment, mesh)
  if not segment:
    size = min(settings.batch_size, examples(task, evaluation.split) or settings.batch_size)
    shares = meshes.batch_shares(mesh)
    return task.dataset(evaluation.split, math.ceil(size / shares) * shares // shard.count, shard=shard)
  meshes.check_divisible('eval.streams', settings.streams, mesh)
  check_segment('eval', segment, settings.memory, model, task)
  return task.dataset(evaluation.split, settings.streams // shard.count, shard=shard, segment=segment)


def examples(task: Task, split: str) -> int:
  """Return the number of examples of a split; 0 where the task does not say."""
  count = getattr(task, 'count', None)
  return count(split) if callable(count) else 0


def check_segment(section: str, segment: int, memory: int, model: Model, task: Task) -> None:
  """Raise InputError where a table of learned positions is shorter than the sequences that segments are read from."""
  if not segment or model.config.position != 'learned':
    return
  if task.unbroken:
    raise InputError(
      f'{section}.segment={segment} must be 0 with model.position=learned: the text goes on beyond the table, which '
      f'is made for {model.spec.length} tokens'
    )
  for name, value in (('segment', segment), ('memory', memory)):
    if value > model.spec.length:
      raise InputError(
        f'{section}.{name}={value} must be at most {model.spec.length} with model.position=learned, as many as its '
        'table has'
      )


@partial(jax.jit, static_argnums=(0, 1, 6))
def example_sums(
  model: Model,
  task: Task,
  params: Params,
  batch: Batch,
  carry: State | None = None,
  pinned: Constrain | None = None,
  memory: int = 0,
) -> tuple[dict[str, Sums], State | None]:
  """Return each metric's sums and weights, [b] and [b], of one batch, and the state after it where there was one.

  pinned: where activations lie on a mesh. memory: positions that a carried state has room for.
  """
  context = Context(batch.reset, batch.mask, constrain=pinned)
  outputs, after = model.apply(params, batch.inputs, carry, context, source=batch.source, source_mask=batch.source_mask)
  if pinned is not None and after is not None:
    specs = model.state_spec(batch.inputs.shape[0], memory)
    after = jax.lax.with_sharding_constraint(after, pinned.states(specs))
  sums = task.metrics(outputs, batch)
  if pinned is not None:  # one number an example: every process adds up all of them
    sums = jax.lax.with_sharding_constraint(sums, meshes.replicated(pinned.mesh))
  return sums, after
