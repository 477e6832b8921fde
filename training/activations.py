"""Where activations and carried state lie on a mesh, by the names of their axes. Models know the names alone.

This is the one place that knows how tokens are split over the devices of the axis `sequence`; what the parts tell each
other is in `seqmodels/part.py`.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqmodels.context import BATCH as ROWS
from seqmodels.context import FREE, Apply, Context
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
    return NamedSharding(self.mesh, PartitionSpec(*itertools.starmap(self._entry, zip(names, shape, strict=True))))

  def _entry(self, name: str, size: int) -> Any:
    """Return the mesh axes of one axis: none where they do not divide it."""
    if name == FREE:
      return PartitionSpec.UNCONSTRAINED
    entry = ACTIVATIONS.get(name)
    entry = self._left(entry) or None if self.manual else entry
    return entry if size % devices_of(entry, self.mesh) == 0 else None

  def _left(self, entry: Entry) -> tuple[str, ...]:
    """Return the mesh axes of one axis without the manual ones."""
    return tuple(name for name in ((entry,) if isinstance(entry, str) else entry or ()) if name not in self.manual)

  def in_parts(
    self, apply: Apply, params: Params, x: jax.Array, state: State | None, context: Context
  ) -> tuple[jax.Array, State | None]:
    """Return apply(params, x, state, context), each device with its part of the tokens of x [b t …].

    Parameters, state, key and encoder output are whole on every device of `sequence`, and the state that is returned
    must be the same on all of them. Where the parts would not be equal, padding is added at the end and cut off again.
    """
    count = self.mesh.shape[SEQUENCE]
    if count == 1:
      return apply(params, x, state, context)
    length, padding = x.shape[1], -x.shape[1] % count
    x, flags = _padded(x, context, padding) if padding else (x, (context.reset, context.mask))
    # Axes of one device are written out too: foreign calls take no part in the compiler's splitting then.
    manual = frozenset(name for name, size in self.mesh.shape.items() if name == SEQUENCE or size == 1)
    inside = Constrain(self.mesh, manual)
    layout = tuple((name, left) for name, entry in ACTIVATIONS.items() if (left := inside._left(entry)))

    def part(params: Params, x: jax.Array, state: State | None, flags: Any, others: Any) -> Any:
      here = context._replace(constrain=inside, part=Part(SEQUENCE, count, layout, padding=padding))
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
    y, state = run(params, x, state, flags, (context.key, context.encoder))
    return y[:, :length], state

  def states(self, specs: Any) -> Any:
    """Return where the arrays of a tree of StateSpecs lie."""
    return jax.tree.map(lambda spec: self.sharding(spec.axes, spec.shape), specs)


def _padded(x: jax.Array, context: Context, padding: int) -> tuple[jax.Array, tuple[jax.Array | None, jax.Array]]:
  """Return tokens [b t …] with padding behind them, and their flags: reset and mask."""
  behind = lambda a: jnp.pad(a, [(0, 0), (0, padding), *[(0, 0)] * (a.ndim - 2)])
  mask = jnp.ones(x.shape[:2], bool) if context.mask is None else context.mask
  return behind(x), (None if context.reset is None else behind(context.reset), behind(mask))


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
