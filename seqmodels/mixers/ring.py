"""A ring: arrays [b g s k] that keep the last s positions of a document, position p in slot p mod s.

How many tokens the document has so far is its `end`; until it exceeds s, slot p holds position p and nothing is lost.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from seqmodels.notation import Flags, State

DECODE = ('prefix', 'full')
SMALLEST_PREFIX = 64


def in_slots(end: Int[Array, 'b'], slots: int) -> Int[Array, 'b s']:
  """The newest position kept in each slot of a ring; negative: not written yet."""
  last = end[:, None] - 1
  # One remainder a row: one a slot would take as long as the scores of a decoded token.
  back = last % slots - jnp.arange(slots, dtype=jnp.int32)[None, :]
  return last - jnp.where(back < 0, back + slots, back)


def in_row(end: Int[Array, 'b'], slots: int) -> Int[Array, 'b s']:
  """The positions of a ring put in order; negative: not written yet."""
  return end[:, None] - slots + jnp.arange(slots, dtype=jnp.int32)[None, :]


def in_order(ring: State, end: Int[Array, 'b']) -> State:
  """A ring's arrays [b g s k] with the oldest slot first and the newest last."""

  def turn(a: Float[Array, 'b g s k']) -> Float[Array, 'b g s k']:
    slot = in_row(end, a.shape[2]) % a.shape[2]
    return jnp.take_along_axis(a, slot[:, None, :, None], axis=2)

  return jax.tree.map(turn, ring)


def write(
  ring: dict[str, Float[Array, 'b g s _']],
  new: dict[str, Float[Array, 'b t g _']],
  where: Int[Array, 'b t'],
  end: Int[Array, ' b'],
  reset: Flags | None,
  mask: Flags | None,
) -> dict[str, Float[Array, 'b g s _']]:
  """The ring with a segment's tokens at positions `where`: the newest of the last document, padding left out."""
  slots = next(iter(ring.values())).shape[2]
  slot = jnp.where(kept(where.shape, reset, mask) & (where >= end[:, None] - slots), where % slots, slots)
  return {name: put(array, new[name], slot) for name, array in ring.items()}


def kept(shape: tuple[int, ...], reset: Flags | None, mask: Flags | None) -> Flags:
  """The tokens of a segment's last document."""
  keep = jnp.ones(shape, bool) if mask is None else mask
  if reset is not None:
    superseded = jax.lax.cummax(reset.astype(jnp.int32), axis=1, reverse=True) > 0
    keep = keep & ~jnp.concatenate([superseded[:, 1:], jnp.zeros((shape[0], 1), bool)], axis=1)
  return keep


def put(ring: Float[Array, 'b g s k'], new: Float[Array, 'b t g k'], slot: Int[Array, 'b t']) -> jax.Array:
  """The ring with the new tokens in their slots; slots beyond its end are dropped."""
  rows = jnp.arange(slot.shape[0])[:, None]
  return ring.at[rows, :, slot].set(new.astype(ring.dtype), mode='drop')


def read_filled(
  read: Callable[[int], jax.Array], nothing: jax.Array, end: Int[Array, ' b'], slots: int, decode: str
) -> jax.Array:
  """read(n) of the first n slots of a ring, n being the filled ones rounded up to a power of two; `nothing`: no slot.

  decode: `prefix`, or `full` for all slots always.
  """
  prefixes = [slots]
  if decode == 'prefix':
    prefixes = [2**n for n in range(SMALLEST_PREFIX.bit_length() - 1, slots.bit_length()) if 2**n < slots] + prefixes
  # The empty ring has a branch of its own so that there always is a conditional: without one, XLA on CPU copies
  # the whole ring at every step to suit the matmul.
  needed = jnp.searchsorted(jnp.array([0, *prefixes]), jnp.minimum(end, slots).max())
  return jax.lax.switch(needed, [lambda: nothing, *(functools.partial(read, prefix) for prefix in prefixes)])
