"""Where activations and carried state lie on a mesh, by the names of their axes. Models know the names alone."""

import math
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqmodels.context import BATCH as ROWS
from training.mesh import BATCH

Entry = None | str | tuple[str, ...]  # the mesh axes of one axis of an array

# Axis of an activation or a state → mesh axes. Every other axis is whole, `embed` between blocks and time among them.
ACTIVATIONS: dict[str, Entry] = {
  ROWS: BATCH,
  'heads': 'tensor',
  'kv_heads': 'tensor',
  'hidden': 'tensor',
  'vocab': 'tensor',
}


@jax.tree_util.register_static
@dataclass(frozen=True)
class Constrain:
  """Pin activations by the names of their axes. Models get it as `Context.constrain`."""

  mesh: Mesh

  def __call__(self, x: jax.Array, names: tuple[str, ...]) -> jax.Array:
    return jax.lax.with_sharding_constraint(x, self.sharding(names, x.shape))

  def sharding(self, names: tuple[str, ...], shape: tuple[int, ...]) -> NamedSharding:
    entries = [ACTIVATIONS.get(name) for name in names]
    fitting = [e if n % devices_of(e, self.mesh) == 0 else None for e, n in zip(entries, shape, strict=True)]
    return NamedSharding(self.mesh, PartitionSpec(*fitting))

  def states(self, specs: Any) -> Any:
    """Return where the arrays of a tree of StateSpecs lie."""
    return jax.tree.map(lambda spec: self.sharding(spec.axes, spec.shape), specs)


def constrain(mesh: Mesh) -> Constrain | None:
  """Return what pins activations on a mesh; None on one device."""
  return Constrain(mesh) if mesh.size > 1 else None


def devices_of(entry: Entry, mesh: Mesh) -> int:
  """Return the number of devices of the mesh axes of one axis."""
  return math.prod(mesh.shape[name] for name in ((entry,) if isinstance(entry, str) else entry or ()))
