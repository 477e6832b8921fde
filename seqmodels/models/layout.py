"""Two layouts of what belongs to repeated layers: stacked by group, and one entry a layer.

A pattern of period p repeated r times has p groups: `group_j` holds the layers j, j + p, j + 2 p …, each array with a
leading axis of r `layers`. Models train with stacked arrays; checkpoints, exports and decoding use one entry a layer,
`block_00`, `block_01` ….
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Flat = Mapping[str, Any]
GROUP = re.compile(r'(?P<head>(?:.*?/)?stack/)group_(?P<number>\d+)(?P<tail>/.*)')


def group_name(number: int) -> str:
  return f'group_{number}'


def block_name(number: int) -> str:
  return f'block_{number:02}'


def is_stacked(tree: Mapping[str, Any]) -> bool:
  return group_name(0) in tree


def unstack(tree: Any, count: int) -> list[Any]:
  """Return `count` trees of the slices along the leading axis.

  One split for each leaf, whose transpose is one concatenation: the gradient of `count` separate slices would be as
  many padded arrays of the whole size, added up.
  """
  leaves, structure = jax.tree.flatten(tree)
  if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
    return jax.eval_shape(lambda tree: unstack(tree, count), tree)
  split = [jax.lax.split(leaf, (1,) * count, axis=0) for leaf in leaves]
  layer = lambda i: [parts[i].reshape(parts[i].shape[1:]) for parts in split]
  return [jax.tree.unflatten(structure, layer(i)) for i in range(count)]


def stack(trees: Sequence[Any]) -> Any:
  """Return the tree of leaves stacked along a leading axis."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def slice_layer(array: Any, layer: int) -> Any:
  """Return one layer of a stacked array, which may be abstract."""
  if isinstance(array, jax.ShapeDtypeStruct):
    return jax.ShapeDtypeStruct(array.shape[1:], array.dtype)
  return array[layer]


def split_layers(tree: Mapping[str, Any], depth: int) -> list[Any]:
  """Return one tree a layer from a tree of either layout."""
  if not is_stacked(tree):
    return [tree[block_name(i)] for i in range(depth)]
  period = len(tree)
  groups = [unstack(tree[group_name(j)], depth // period) for j in range(period)]
  return [groups[i % period][i // period] for i in range(depth)]


def join_layers(layers: Sequence[Any], period: int) -> dict[str, Any]:
  """Return the stacked layout of one tree a layer."""
  return {group_name(j): stack(layers[j::period]) for j in range(period)}


def name_layers(layers: Sequence[Any]) -> dict[str, Any]:
  """Return the layout with one entry a layer."""
  return {block_name(i): layer for i, layer in enumerate(layers)}


def split_names(flat: Flat) -> dict[str, Any]:
  """Return {path: array} with one array a layer in place of every stacked one. Arrays may be abstract.

  `params/stack/group_0/mixer/…` [layers …] becomes `params/stack/block_00/mixer/…` […], and so in optimizer states and
  carried states, wherever `stack/group_j` stands in a path.
  """
  periods = _periods(flat)
  split: dict[str, Any] = {}
  for name, array in flat.items():
    for layer, part in _parts(name, array, periods):
      split[part] = array if layer is None else slice_layer(array, layer)
  return split


def join_names(split: Flat, like: Flat) -> dict[str, Any]:
  """Return the arrays of `split_names` under the names of `like`, stacked again. Missing ones are left out."""
  periods = _periods(like)
  joined: dict[str, Any] = {}
  for name, array in like.items():
    parts = _parts(name, array, periods)
    if all(part in split for _, part in parts):
      arrays = [split[part] for _, part in parts]
      joined[name] = arrays[0] if parts[0][0] is None else _stack_arrays(arrays)
  return joined


def _stack_arrays(arrays: Sequence[Any]) -> Any:
  """Return the arrays stacked: in NumPy if all are NumPy's, else in JAX, whose arrays may be traced."""
  return (np if all(isinstance(array, np.ndarray) for array in arrays) else jnp).stack(arrays)


def _parts(name: str, array: Any, periods: Mapping[str, int]) -> list[tuple[int | None, str]]:
  """Return what a stacked array is split into, as (layer of its group, path); (None, name) for any other array."""
  match = GROUP.fullmatch(name)
  if match is None or not array.shape:
    return [(None, name)]
  head, period = match['head'], periods[_stack(match['head'])]
  numbers = range(int(match['number']), array.shape[0] * period, period)
  return [(i, f'{head}{block_name(number)}{match["tail"]}') for i, number in enumerate(numbers)]


def _periods(flat: Flat) -> dict[str, int]:
  """Return how many groups each stack has. An optimizer's state may leave out some of them."""
  periods: dict[str, int] = {}
  for match in filter(None, map(GROUP.fullmatch, flat)):
    stack = _stack(match['head'])
    periods[stack] = max(periods.get(stack, 0), 1 + int(match['number']))
  return periods


def _stack(head: str) -> str:
  """Return which stack of a model a path leads to: parameters, optimizer states and carries have the same ones."""
  parts = head.split('/')
  return next((part for part in reversed(parts) if part in ('encoder', 'decoder')), '')
