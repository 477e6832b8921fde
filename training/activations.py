"""Where activations and carried state lie on a mesh, by the names of their axes. Models know the names alone.

This is the one place that knows how tokens are split over the devices of the axis `sequence`; what the parts tell each
other is in `seqmodels/part.py`.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqmodels.context import BATCH as ROWS
from seqmodels.context import Apply, Context
from seqmodels.errors import InputError
from seqmodels.mixers import MIXERS, parse_entry
from seqmodels.models import Model
from seqmodels.notation import Params, State
from seqmodels.part import Part
from training.mesh import BATCH, SEQUENCE

Entry = None | str | tuple[str, ...]  # the mesh axes of one axis of an array

# Axis of an activation or a state → mesh axes. Every other axis is whole, `embed` between blocks among them.
ACTIVATIONS: dict[str, Entry] = {
  ROWS: BATCH,
  'time': SEQUENCE,
  'heads': 'tensor',
  'kv_heads': 'tensor',
  'hidden': 'tensor',
  'vocab': 'tensor',
}


@jax.tree_util.register_static
@dataclass(frozen=True)
class Constrain:
  """Pin activations by the names of their axes. Models get it as `Context.constrain`.

  manual: axes of the mesh over which the program is written out (`jax.shard_map`): nothing is pinned to them.
  """

  mesh: Mesh
  manual: frozenset[str] = frozenset()

  def __call__(self, x: jax.Array, names: tuple[str, ...]) -> jax.Array:
    sharding = self.sharding(names, x.shape)
    # Inside `jax.shard_map` the mesh is another one: it says which axes are manual.
    return jax.lax.with_sharding_constraint(x, sharding.spec if self.manual else sharding)

  def sharding(self, names: tuple[str, ...], shape: tuple[int, ...]) -> NamedSharding:
    entries = [self._left(entry) or None if self.manual else entry for entry in map(ACTIVATIONS.get, names)]
    fitting = [e if n % devices_of(e, self.mesh) == 0 else None for e, n in zip(entries, shape, strict=True)]
    return NamedSharding(self.mesh, PartitionSpec(*fitting))

  def _left(self, entry: Entry) -> tuple[str, ...]:
    """Return the mesh axes of one axis without the manual ones."""
    return tuple(name for name in ((entry,) if isinstance(entry, str) else entry or ()) if name not in self.manual)

  def in_parts(
    self, apply: Apply, params: Params, x: jax.Array, state: State | None, context: Context
  ) -> tuple[jax.Array, State | None]:
    """Return apply(params, x, state, context), each device with its part of the tokens of x [b t …].

    Parameters, state, key and encoder output are whole on every device of `sequence`, and the state that is returned
    must be the same on all of them. Raises InputError for tokens that cannot be split into equal parts.
    """
    count = self.mesh.shape[SEQUENCE]
    if count == 1:
      return apply(params, x, state, context)
    if x.shape[1] % count:
      raise InputError(f'mesh.{SEQUENCE}={count} must divide the length of the sequences; this one has {x.shape[1]}')
    # Axes of one device are written out too: foreign calls take no part in the compiler's splitting then.
    manual = frozenset(name for name, size in self.mesh.shape.items() if name == SEQUENCE or size == 1)
    inside = Constrain(self.mesh, manual)
    layout = tuple((name, left) for name, entry in ACTIVATIONS.items() if (left := inside._left(entry)))

    def part(params: Params, x: jax.Array, state: State | None, flags: Any, others: Any) -> Any:
      here = context._replace(constrain=inside, part=Part(SEQUENCE, count, layout))
      here = here._replace(reset=flags[0], mask=flags[1], key=others[0], encoder=others[1])
      return apply(params, x, state, here)

    # Axes of one device stand at the rows: a gradient would be summed over an axis that stands nowhere.
    whole, tokens = PartitionSpec(), PartitionSpec(tuple(sorted(manual - {SEQUENCE})), SEQUENCE)
    run = jax.shard_map(
      part,
      mesh=self.mesh,
      axis_names=manual,
      in_specs=(whole, tokens, whole, tokens, whole),
      out_specs=(tokens, whole),
      check_vma=False,  # that the state is the same everywhere cannot be seen from the program
    )
    return run(params, x, state, (context.reset, context.mask), (context.key, context.encoder))

  def states(self, specs: Any) -> Any:
    """Return where the arrays of a tree of StateSpecs lie."""
    return jax.tree.map(lambda spec: self.sharding(spec.axes, spec.shape), specs)


def check_split(model: Model, mesh: Mesh) -> None:
  """Raise InputError for a model with a mixer that cannot read a part of the tokens, where the mesh splits them."""
  if mesh.shape[SEQUENCE] == 1:
    return
  entries = [entry for network, _ in model.networks().values() for entry in network.config.pattern]
  names = dict.fromkeys(parse_entry(entry)[0] for entry in entries)
  if whole := [name for name in names if not MIXERS[name].can_be_split]:
    allowed = ', '.join(name for name, mixer in MIXERS.items() if mixer.can_be_split)
    raise InputError(
      f'mesh.{SEQUENCE}={mesh.shape[SEQUENCE]}: {", ".join(whole)} cannot be split over time; allowed: '
      f'mesh.{SEQUENCE}=1, or a pattern of {allowed}'
    )


def constrain(mesh: Mesh) -> Constrain | None:
  """Return what pins activations on a mesh; None on one device."""
  return Constrain(mesh) if mesh.size > 1 else None


def devices_of(entry: Entry, mesh: Mesh) -> int:
  """Return the number of devices of the mesh axes of one axis."""
  return math.prod(mesh.shape[name] for name in ((entry,) if isinstance(entry, str) else entry or ()))
