"""The training step: a pure function from (state, batch) to (state, metrics)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from seqmodels.context import Context
from seqmodels.models import Model
from seqmodels.notation import Key, Params, State
from tasks.base import Batch, Task
from training import mesh as meshes
from training.optimizer import Optimizer

Metrics = dict[str, Float[Array, '']]


class TrainState(NamedTuple):
  step: Int[Array, '']
  params: Params
  opt_state: Any
  carry: State | None  # the model's state at the end of the last segment (truncated back-propagation)


def init_train_state(model: Model, optimizer: Optimizer, seed: int, carry: State | None = None) -> TrainState:
  """The state before the first step. Call it inside `jax.jit`, or it takes seconds."""
  params = model.init(jax.random.key(seed))
  return TrainState(jnp.zeros((), jnp.int32), params, optimizer.transform.init(params), carry)


def state_shardings(mesh: Mesh, carry_axes: Any) -> Any:
  """Where a TrainState lives, as a tree prefix: the carry is split over the devices, the rest is on each."""
  everywhere = meshes.replicated(mesh)
  carry = None if carry_axes is None else meshes.carry_shardings(carry_axes, mesh)
  return TrainState._make((everywhere, everywhere, everywhere, carry))


def make_step(
  model: Model,
  task: Task,
  optimizer: Optimizer,
  *,
  seed: int | None = None,
  accumulate: int = 1,
  carry_axes: Any = None,
  mesh: Mesh | None = None,
) -> Any:
  """The jitted step (state, batch) → (state, metrics). It consumes (donates) the state it is given.

  seed: of dropout; None: no dropout. accumulate: microbatches a step. carry_axes: `context.batch_axes` of the carried
  state, needed to accumulate over it or to split it over a mesh. mesh: None leaves the placement to the arguments.
  Metrics: loss, learning_rate, gradient_norm (before clipping), finite (true or false).
  """

  def loss_sum(params: Params, batch: Batch, carry: State | None, key: Key | None) -> Any:
    context = Context(batch.reset, batch.mask, key)
    source = {'source': batch.source, 'source_mask': batch.source_mask}
    outputs, carry = model.apply(params, batch.inputs, carry, context, **source)
    losses, weights = task.loss(outputs, batch)
    return jnp.sum(losses), (jnp.sum(weights), carry)

  gradients = jax.value_and_grad(loss_sum, has_aux=True)
  if accumulate > 1:
    gradients = accumulated(gradients, accumulate, carry_axes)

  def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    key = None if seed is None else jax.random.fold_in(jax.random.key(seed), state.step)
    (loss, (weight, carry)), grads = gradients(state.params, batch, state.carry, key)
    scale = 1 / jnp.where(weight > 0, weight, 1)  # a segment may hold no target at all
    grads = jax.tree.map(lambda g: g * scale, grads)
    updates, opt_state = optimizer.transform.update(grads, state.opt_state, state.params)
    norm = optax.tree.norm(grads)
    metrics = {
      'loss': loss * scale,
      'learning_rate': jnp.asarray(optimizer.schedule(state.step), jnp.float32),
      'gradient_norm': norm,
      'finite': jnp.isfinite(loss) & jnp.isfinite(norm),
    }
    return TrainState(state.step + 1, optax.apply_updates(state.params, updates), opt_state, carry), metrics

  if mesh is None:
    return jax.jit(step, donate_argnums=0)
  states, everywhere = state_shardings(mesh, carry_axes), meshes.replicated(mesh)
  inputs, outputs = (states, meshes.split(mesh)), (states, everywhere)
  return jax.jit(step, donate_argnums=0, in_shardings=inputs, out_shardings=outputs)


def accumulated(gradients: Callable[..., Any], parts: int, carry_axes: Any) -> Callable[..., Any]:
  """`gradients` over microbatches one after the other.

  Sums of losses, weights and gradients are added, so that the result is the big batch's whatever the weights are.
  Microbatch i takes rows i, i + parts, …: each device's rows stay on the device.
  """

  def split(x: jax.Array, axis: int = 0) -> jax.Array:
    if axis < 0:
      return jnp.broadcast_to(x[None], (parts, *x.shape))
    x = x.reshape(*x.shape[:axis], x.shape[axis] // parts, parts, *x.shape[axis + 1 :])
    return jnp.moveaxis(x, axis + 1, 0)

  def join(x: jax.Array, axis: int) -> jax.Array:
    if axis < 0:
      return x[-1]
    x = jnp.moveaxis(x, 0, axis + 1)
    return x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])

  def run(params: Params, batch: Batch, carry: State | None, key: Key | None) -> Any:
    def body(sums: Any, part: Any) -> Any:
      index, batch, carry = part
      part_key = None if key is None else jax.random.fold_in(key, index)
      (loss, (weight, carry)), grads = gradients(params, batch, carry, part_key)
      return jax.tree.map(jnp.add, sums, (loss, weight, grads)), carry

    carries = None if carry is None else jax.tree.map(split, carry, carry_axes)
    zeros = (jnp.zeros(()), jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
    (loss, weight, grads), carries = jax.lax.scan(body, zeros, (jnp.arange(parts), jax.tree.map(split, batch), carries))
    return (loss, (weight, None if carry is None else jax.tree.map(join, carries, carry_axes))), grads

  return run
