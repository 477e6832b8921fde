"""`Part`: what a call knows of its tokens where they are split over devices (sequence parallelism)."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from seqmodels.notation import BATCH


@jax.tree_util.register_static
@dataclass(frozen=True)
class Part:
  """The part of a sequence that one device reads, of `count` equal parts. A pytree without arrays.

  axis         the mesh axis whose devices read the parts; a call with a part runs inside `jax.shard_map` over it
  layout       pairs (name of an array's axis, mesh axes) that the compiler splits inside that region. Collectives are
               written out over these too: JAX 0.10.2 would gather the batch for each of them
  is_backward  the tokens are read from the end, as are the parts; each part has been flipped already
  padding      tokens at the end of the sequence that are there to make the parts equal, masked like any padding

  Arrays of all tokens are called whole.
  """

  axis: str
  count: int
  layout: tuple[tuple[str, tuple[str, ...]], ...] = ()
  is_backward: bool = False
  padding: int = 0

  @property
  def number(self) -> jax.Array:
    """The number of this part in the order of reading."""
    index = jax.lax.axis_index(self.axis)
    return self.count - 1 - index if self.is_backward else index

  def backward(self) -> 'Part':
    """Return the part as it is read in the other direction."""
    return dataclasses.replace(self, is_backward=not self.is_backward)

  def gather(self, tree: Any, *names: str) -> Any:
    """Return the whole arrays [b T …] of a tree of arrays [b t …].

    names: of the axes behind time, as many as have one.
    """

    def join(a: jax.Array) -> jax.Array:
      if not self.is_backward:
        return jax.lax.all_gather(a, self.axis, axis=1, tiled=True)
      return jnp.moveaxis(self._stack(a), 0, 1).reshape(a.shape[0], -1, *a.shape[2:])

    return jax.tree.map(lambda a: self._exchange(join, a, (BATCH, 'time', *names)), tree)

  def own(self, tree: Any) -> Any:
    """Return this part [b t …] of whole arrays [b T …]."""

    def cut(a: jax.Array) -> jax.Array:
      length = a.shape[1] // self.count
      return jax.lax.dynamic_slice_in_dim(a, self.number * length, length, axis=1)

    return jax.tree.map(cut, tree)

  def scan(self, compose: Callable[[Any, Any], Any], state: Any, summary: Any, *names: str) -> tuple[Any, Any]:
    """Return the state before this part and the state after the last one; `state` is that before the first.

    compose(state, summary): the state after a part. summary: what this part does to any state, a tree of arrays [b …].
    names: of the axes behind the batch, as many as have one.
    """

    def step(carry: Any, now: Any) -> tuple[Any, None]:
      own, state = carry
      number, summary = now
      own = jax.tree.map(lambda a, b: jnp.where(number == self.number, b, a), own, state)
      return (own, compose(state, summary)), None

    summaries = jax.tree.map(lambda a: self._exchange(self._stack, a, (BATCH, *names), stacks=True), summary)
    return jax.lax.scan(step, (state, state), (jnp.arange(self.count), summaries))[0]

  def _exchange(
    self, function: Callable[[jax.Array], jax.Array], a: jax.Array, names: tuple[str, ...], *, stacks: bool = False
  ) -> jax.Array:
    """Return function(a), in which every device has its own part of all axes of the layout that divide `a`."""
    if not self.layout:
      return function(a)
    sizes, layout = jax.sharding.get_abstract_mesh().shape, dict(self.layout)
    entries = [layout.get(name, ()) for name in names[: a.ndim]]
    fitting = [
      entry if n % math.prod(sizes[name] for name in entry) == 0 else ()
      for n, entry in zip(a.shape, entries, strict=False)
    ]
    spec = PartitionSpec(*(entry or None for entry in fitting))
    result = PartitionSpec(None, *spec) if stacks else spec
    axes = {name for entry in layout.values() for name in entry}
    return jax.shard_map(function, in_specs=spec, out_specs=result, axis_names=axes, check_vma=False)(a)

  def _stack(self, a: jax.Array) -> jax.Array:
    """Return the arrays of all parts in the order of reading, along a new first axis."""
    stacked = jax.lax.all_gather(a, self.axis)
    return jnp.flip(stacked, 0) if self.is_backward else stacked


def affine(state: jax.Array, summary: tuple[jax.Array, jax.Array]) -> jax.Array:
  """Return A · h + B for the summary (A, B) of a diagonal recurrence."""
  a, b = summary
  return a * state + b
