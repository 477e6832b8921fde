"""Norms of gradients and parameters, by array and by layer."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from seqmodels.models import layout
from training.trees import flatten

Norms = dict[str, Float[Array, '*layers']]
PARTS = ('encoder', 'decoder', 'stack')  # of a path, that a layer's name goes on from


def squares(grads: Any) -> Float[Array, ' leaves']:
  """Return the sum of squares of each leaf: those of the global norm, which the compiler computes once."""
  return jnp.stack([jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(grads)])


def by_layer(tree: Any) -> Norms:
  """Return the Euclidean norm of each part of a tree of parameters or gradients.

  Parts are the embedding, the output layer and the like, and the groups of layers (`stack/group_0`), whose norms are
  arrays with one value a layer. `named` names each layer.
  """
  squares: Norms = {}
  for path, leaf in flatten(tree).items():
    name = part_of(path)
    is_stacked = layout.GROUP.fullmatch(path) is not None
    axes = tuple(range(1, leaf.ndim)) if is_stacked else None
    square = jnp.sum(jnp.square(leaf), axis=axes)
    squares[name] = squares[name] + square if name in squares else square
  return {name: jnp.sqrt(square) for name, square in squares.items()}


def part_of(path: str) -> str:
  """Return the part that a parameter belongs to: `decoder/stack/group_1`, `embed`."""
  parts = path.split('/')
  last = next((i for i, part in enumerate(parts) if part not in PARTS), len(parts) - 1)
  return '/'.join(parts[: last + 1])


def named(norms: Mapping[str, Any]) -> dict[str, float]:
  """Return the norms of `by_layer`, fetched, under the names of the layers: `stack/block_00`."""
  split = layout.split_names({f'{name}/norm': np.asarray(value) for name, value in norms.items()})
  return {name.removesuffix('/norm'): float(value) for name, value in split.items()}
