"""Optimizers and learning-rate schedules, from Optax.

The peak of the learning rate is a leaf of the optimizer's state, so that another rate needs no other program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from seqmodels.notation import Params

if TYPE_CHECKING:
  from training.settings import TrainSettings

Axes = tuple[str, ...]  # the names of one parameter's axes
Tree = Mapping[str, Any]  # a nested dict shaped like the parameters

# Axes along which a parameter is a stack of independent matrices.
STACKING = ('layers', 'gate', 'branch', 'key_value')
# What updates of muon are scaled to, so that its matrices and the rest share a learning rate (Liu et al. 2025).
MUON_RMS = 0.2
MUON_MOMENTUM = 0.95


class Optimizer(NamedTuple):
  """transform: an Optax transformation whose last state holds the peak of the learning rate.

  schedule: step (from 0) → share of the peak.
  """

  transform: optax.GradientTransformation
  schedule: optax.Schedule

  def learning_rate(self, state: Any, step: jax.Array) -> jax.Array:
    """Return the learning rate that `state` leads to at `step`, float32."""
    return jnp.asarray(state[-1].hyperparams['learning_rate'] * self.schedule(step), jnp.float32)

  def with_learning_rate(self, state: Any, learning_rate: float) -> Any:
    """Return `state` with another peak of the learning rate: the same compiled step goes on with it."""
    last = state[-1]._replace(hyperparams={'learning_rate': jnp.float32(learning_rate)})
    return (*state[:-1], last)


def make_optimizer(settings: TrainSettings, axes: Tree | None = None) -> Optimizer:
  """Return the optimizer of `settings`, behind clipping by the global norm (Pascanu et al. 2013).

  axes: the names of the parameters' axes, a nested dict of tuples; None: known by the parameters' names only.
  """

  def scaled(learning_rate: jax.Array) -> optax.GradientTransformation:
    return optax.scale_by_schedule(lambda count: -learning_rate * schedule(count))

  schedule = make_schedule(settings)
  parts = [optax.clip_by_global_norm(settings.clip)] if settings.clip else []
  parts.append(OPTIMIZERS[settings.optimizer](settings, axes))
  if settings.weight_decay:
    parts.append(optax.add_decayed_weights(settings.weight_decay, mask=lambda params: decay_mask(params, axes)))
  parts.append(optax.inject_hyperparams(scaled)(learning_rate=settings.learning_rate))
  return Optimizer(optax.chain(*parts), schedule)


def make_schedule(settings: TrainSettings) -> optax.Schedule:
  """Return the share of the peak learning rate at each step: linear warm-up, then constant, cosine or a staircase.

  The first step of a warm-up of w steps takes 1/(w+1) of the peak, since a step of learning rate 0 would be wasted.
  """
  warmup = settings.warmup
  if settings.schedule == 'cosine':
    after = optax.cosine_decay_schedule(1.0, settings.steps - warmup, settings.final_fraction)
  elif settings.schedule == 'staircase':
    begin, every, factor = settings.decay_begin, settings.decay_every, settings.decay_factor
    after = optax.exponential_decay(1.0, every, factor, transition_begin=begin, staircase=True)
  else:
    after = optax.constant_schedule(1.0)
  if not warmup:
    return after
  return optax.join_schedules([optax.linear_schedule(1 / (warmup + 1), 1.0, warmup), after], [warmup])


def decay_mask(params: Params, axes: Tree | None = None) -> Any:
  """Return a tree of booleans: where weight decay applies."""
  return _with_axes(lambda path, leaf, names: decayed(path[-1], leaf.shape, names), params, axes)


def decayed(name: str, shape: tuple[int, ...], axes: Axes | None = None) -> bool:
  """Return whether the parameter called `name` is a weight matrix, which alone is decayed.

  Biases and scales are not, however many heads, gates or layers they are kept for.
  """
  if 'bias' in name or 'scale' in name:
    return False
  if axes is None:
    return len(shape) > 1
  return len([axis for axis in axes if axis not in STACKING]) > 1


def _with_axes(function: Callable[[tuple[str, ...], jax.Array, Axes | None], Any], params: Params, axes: Any) -> Any:
  """Map `function` over (path, leaf, names of the axes or None) of the parameters."""

  def call(path: Any, leaf: jax.Array) -> Any:
    keys = tuple(str(getattr(part, 'key', part)) for part in path)
    names = axes
    for key in keys if axes is not None else ():
      names = names[key]
    return function(keys, leaf, names)

  return jax.tree_util.tree_map_with_path(call, params)


def _adam(settings: TrainSettings, axes: Tree | None) -> optax.GradientTransformation:
  return optax.scale_by_adam(b2=settings.beta2)


def _sgd(settings: TrainSettings, axes: Tree | None) -> optax.GradientTransformation:
  return optax.trace(settings.momentum) if settings.momentum else optax.identity()


def _adafactor(settings: TrainSettings, axes: Tree | None) -> optax.GradientTransformation:
  """Factored second moments, updates clipped by their root mean square and relative to the parameter's."""

  def update(updates: Any, state: Any, params: Params | None = None) -> Any:
    assert params is not None
    return _with_axes(lambda path, u, names: relative(u, _leaf(params, path), names), updates, axes), state

  def relative(u: jax.Array, parameter: jax.Array, names: Axes | None) -> jax.Array:
    """Each layer of a stack is a block of its own, as if it were not stacked."""
    over = tuple(i for i in range(u.ndim) if names is None or names[i] != 'layers')
    u = u / jnp.maximum(1.0, _rms(u, over))
    return u * jnp.maximum(_rms(parameter, over), 1e-3)

  blocks = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
  return optax.chain(optax.scale_by_factored_rms(), blocks)


def _rms(x: jax.Array, over: tuple[int, ...]) -> jax.Array:
  return jnp.sqrt(jnp.mean(jnp.square(x), axis=over, keepdims=True))


def _leaf(tree: Any, path: tuple[str, ...]) -> Any:
  for key in path:
    tree = tree[key]
  return tree


def _lion(settings: TrainSettings, axes: Tree | None) -> optax.GradientTransformation:
  return optax.scale_by_lion(b2=settings.beta2)


def _muon(settings: TrainSettings, axes: Tree | None) -> optax.GradientTransformation:
  """Muon for the weight matrices inside the network, Adam for everything else."""

  def dimensions(params: Params) -> Any:
    return _with_axes(lambda path, leaf, names: matrix_dimensions(path, leaf.shape, names), params, axes)

  def matrices(params: Params) -> Any:
    return jax.tree.map(lambda d: d is not None, dimensions(params), is_leaf=_is_dimensions)

  def others(params: Params) -> Any:
    return jax.tree.map(lambda is_matrix: not is_matrix, matrices(params))

  def rescale(updates: Any, params: Params | None) -> Any:
    del params
    return jax.tree.map(lambda u, d: u * MUON_RMS * _larger_side(u, d) ** 0.5, updates, dimensions(updates))

  muon = optax.chain(
    contrib.scale_by_muon(beta=MUON_MOMENTUM, weight_dimension_numbers=dimensions), optax.stateless(rescale)
  )
  return optax.chain(optax.masked(muon, matrices), optax.masked(optax.scale_by_adam(b2=settings.beta2), others))


def _is_dimensions(x: Any) -> bool:
  return x is None or isinstance(x, contrib.MuonDimensionNumbers)


def _larger_side(x: jax.Array, dimensions: contrib.MuonDimensionNumbers) -> int:
  """Return the larger of a matrix's numbers of rows and columns."""
  return max(math.prod(x.shape[i] for i in axes) for axes in dimensions)


def matrix_dimensions(
  path: tuple[str, ...], shape: tuple[int, ...], axes: Axes | None = None
) -> contrib.MuonDimensionNumbers | None:
  """Return which axes of a parameter are the rows and columns of a hidden weight matrix; None: it is none.

  The other axes are a stack of matrices. Embeddings and the output layer are left to Adam (Jordan et al. 2024).
  """
  if not decayed(path[-1], shape, axes) or any(word in path[-1] for word in ('embedding', 'table', 'taps')):
    return None
  if next(part for part in path if part not in ('encoder', 'decoder')) == 'output':
    return None
  if axes is None:
    return contrib.MuonDimensionNumbers((len(shape) - 2,), (len(shape) - 1,))
  inner = [i for i, axis in enumerate(axes) if axis not in STACKING]
  if 'embed' in (axes[inner[0]], axes[inner[-1]]):
    first = 1 if axes[inner[0]] == 'embed' else len(inner) - 1
  else:  # a matrix for each head
    inner = [i for i in inner if axes[i] not in ('heads', 'kv_heads')]
    first = 1
  if len(inner) < 2:
    return None
  return contrib.MuonDimensionNumbers(tuple(inner[:first]), tuple(inner[first:]))


# Each returns the direction of the update, before weight decay and the learning rate.
OPTIMIZERS: dict[str, Callable[[TrainSettings, Tree | None], optax.GradientTransformation]] = {
  'adamw': _adam,  # Loshchilov & Hutter 2019
  'adam': _adam,  # Kingma & Ba 2015
  'sgd': _sgd,  # with momentum (Polyak 1964)
  'adafactor': _adafactor,  # Shazeer & Stern 2018
  'lion': _lion,  # Chen et al. 2023
  'muon': _muon,  # Jordan et al. 2024; momentum 0.95, Adam for what is no matrix
}
