"""Parameters with named axes: what sharding rules, weight decay and exports read instead of shapes."""

from typing import Any

import jax
from flax import nnx

Axes = tuple[str, ...]


def parameter(value: jax.Array, axes: Axes) -> nnx.Param:
  """Return a parameter whose axes are called `axes`.

  Raises ValueError unless every axis has a name, and no name stands twice: a rule must be able to tell them apart.
  """
  if len(axes) != value.ndim or len(set(axes)) != len(axes):
    raise ValueError(f'axes={axes} must be {value.ndim} different names, for shape={value.shape}')
  return nnx.Param(value, axes=axes)


def axes_of(module: nnx.Module) -> dict[str, Any]:
  """Return the axes of all parameters as a nested dict with the structure of `nnx.to_pure_dict(nnx.state(module))`."""
  state = nnx.state(module, nnx.Param)
  names = {path: variable.get_metadata()['axes'] for path, variable in nnx.to_flat_state(state)}
  nested: dict[str, Any] = {}
  for path, axes in names.items():
    node = nested
    for part in map(str, path[:-1]):
      node = node.setdefault(part, {})
    node[str(path[-1])] = axes
  return nested
