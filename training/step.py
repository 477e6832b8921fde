"""The training step: a pure function from (state, batch) to (state, metrics)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, UInt32

from seqmodels.context import Context
from seqmodels.models import Model
from seqmodels.notation import Key, Params, State
from tasks.base import Batch, Task
from training import mesh as meshes
from training import norms
from training.optimizer import Optimizer
from training.sharding import Layout

Metrics = dict[str, Any]  # scalars, `squares` and `norms`
Auxiliary = Callable[[Params, jax.Array, Batch], Metrics]


class TrainState(NamedTuple):
  """The state that a step changes.

  carry  the model's state at the end of the last segment (truncated back-propagation); None without segments
  key    data of the random key that each step's key is derived from; None where nothing is drawn
  """

  step: Int[Array, '']
  params: Params
  opt_state: Any
  carry: State | None = None
  key: UInt32[Array, '2'] | None = None


def init_train_state(model: Model, optimizer: Optimizer, seed: int, carry: State | None = None) -> TrainState:
  """Return the state before the first step, all drawn from `seed`. Call it inside `jax.jit`, or it takes seconds."""
  params = model.init(jax.random.key(seed))
  return TrainState(jnp.zeros((), jnp.int32), params, optimizer.transform.init(params), carry, draws_key(model, seed))


def draws_key(model: Model, seed: int) -> UInt32[Array, '2'] | None:
  """Return the key data of a model with dropout or with mixers that draw in training; None for other models."""
  return jax.random.key_data(jax.random.key(seed)) if model.config.dropout or model.stochastic else None


def state_shardings(layout: Layout) -> Any:
  """Return where a TrainState lies, as a tree prefix of it; step and key are on every device."""
  everywhere = meshes.replicated(layout.mesh)
  return TrainState._make((everywhere, layout.params, layout.opt_state, layout.carry, everywhere))


def make_step(
  model: Model,
  task: Task,
  optimizer: Optimizer,
  *,
  accumulate: int = 1,
  carry_axes: Any = None,
  layout: Layout | None = None,
  auxiliary: Auxiliary | None = None,
  skip_nonfinite: bool = False,
  layer_norms: bool = False,
) -> Any:
  """Return the jitted step (state, batch) → (state, metrics). It consumes (donates) the state it is given.

  Args:
    accumulate: microbatches a step.
    carry_axes: `context.batch_axes` of the carried state, needed to accumulate over it.
    layout: where the state lies on a mesh; None leaves it to the arguments.
    auxiliary: (params, outputs, batch) → named scalars that are added to the task's mean loss and reported under their
      names; microbatches count by the weight of their targets.
    skip_nonfinite: where the loss or its gradient is not finite, parameters, optimizer and carry stay as they are; the
      step counts, and so does the learning rate's schedule.
    layer_norms: add `norms` to the metrics.

  Metrics: loss (of the task), learning_rate, gradient_norm (before clipping), finite (true or false), squares (of each
  array of the gradient, see `norms.squares`), the auxiliary scalars, and `norms`: the gradient's and the parameters' by
  `norms.by_layer`.
  """

  constrain = layout.constrain if layout else None

  def objective(params: Params, batch: Batch, carry: State | None, key: Key | None) -> Any:
    context = Context(batch.reset, batch.mask, key, constrain=constrain)
    outputs, carry = model.apply(
      params, batch.inputs, carry, context, source=batch.source, source_mask=batch.source_mask
    )
    if constrain and layout and layout.carry is not None:
      carry = jax.lax.with_sharding_constraint(carry, layout.carry)
    with jax.named_scope('loss'):
      losses, weights = task.loss(outputs, batch)
    weight = jnp.sum(weights)
    sums = {'loss': jnp.sum(losses)}
    for name, value in (auxiliary(params, outputs, batch) if auxiliary else {}).items():
      sums[name] = value * weight
    return sum(sums.values()), ((sums, weight), carry)

  def gradients(*arguments: Any) -> Any:
    grads, sums = jax.grad(objective, has_aux=True)(*arguments)
    # At once, so that each device keeps its part of the sum only.
    return jax.lax.with_sharding_constraint(grads, layout.gradients) if constrain and layout else grads, sums

  if accumulate > 1:
    gradients = accumulated(gradients, accumulate, carry_axes)

  def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    key = None if state.key is None else jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    grads, ((sums, weight), carry) = gradients(state.params, batch, state.carry, key)
    scale = 1 / jnp.where(weight > 0, weight, 1)  # a segment may hold no target at all
    grads = jax.tree.map(lambda g: g * scale, grads)
    with jax.named_scope('optimizer'):
      updates, opt_state = optimizer.transform.update(grads, state.opt_state, state.params)
    norm = optax.tree.norm(grads)
    metrics = {name: value * scale for name, value in sums.items()}
    metrics |= {
      'learning_rate': optimizer.learning_rate(state.opt_state, state.step),
      'gradient_norm': norm,
      'finite': jnp.isfinite(sum(sums.values())) & jnp.isfinite(norm),
      'squares': norms.squares(grads),
    }
    if layer_norms:
      metrics['norms'] = {'gradient': norms.by_layer(grads), 'parameter': norms.by_layer(state.params)}
    params = optax.apply_updates(state.params, updates)
    if skip_nonfinite:
      *changed, schedule = opt_state  # the schedule goes on
      made, before = (params, changed, carry), (state.params, list(state.opt_state[:-1]), state.carry)
      made = jax.tree.map(lambda new, old: jnp.where(metrics['finite'], new, old), made, before)
      params, opt_state, carry = made[0], (*made[1], schedule), made[2]
    return TrainState(state.step + 1, params, opt_state, carry, state.key), metrics

  if layout is None:
    return jax.jit(step, donate_argnums=0)
  states = state_shardings(layout)
  inputs, outputs = (states, meshes.split(layout.mesh)), (states, meshes.replicated(layout.mesh))
  return jax.jit(step, donate_argnums=0, in_shardings=inputs, out_shardings=outputs)


def accumulated(gradients: Callable[..., Any], parts: int, carry_axes: Any) -> Callable[..., Any]:
  """Return `gradients` over microbatches one after the other.

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
    def part_of(index: jax.Array, batch: Batch, carry: State | None) -> Any:
      part_key = None if key is None else jax.random.fold_in(key, index)
      grads, (sums, carry) = gradients(params, batch, carry, part_key)
      return (grads, sums), carry

    def body(total: Any, part: Any) -> Any:
      found, carry = part_of(*part)
      return jax.tree.map(jnp.add, total, found), carry

    carries = None if carry is None else jax.tree.map(split, carry, carry_axes)
    batches = jnp.arange(parts), jax.tree.map(split, batch), carries
    shapes, _ = jax.eval_shape(part_of, *jax.tree.map(lambda x: x[0], batches))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (grads, sums), carries = jax.lax.scan(body, zeros, batches)
    return grads, (sums, None if carry is None else jax.tree.map(join, carries, carry_axes))

  return run
