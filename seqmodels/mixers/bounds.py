"""Which tokens attention may see, as an interval of keys for every query (`seqmodels.kernels.attention`)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from seqmodels import positions
from seqmodels.context import Documents
from seqmodels.kernels.attention import Bounds


def indices(batch: int, length: int) -> Int[Array, '{batch} {length}']:
  """Return the index of every token in its segment."""
  return jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], (batch, length))


def segment_bounds(documents: Documents, batch: int, length: int, *, causal: bool) -> Bounds | None:
  """Return which tokens of one segment see each other: those of one document that are not padding.

  None: all of them, or with `causal` all up to the query itself.
  """
  if documents.is_trivial:
    return None
  reset, mask = documents
  index = indices(batch, length)
  lower, upper = jnp.zeros_like(index), index
  if not causal:
    upper = jnp.full_like(index, length - 1)
  if reset is not None:
    lower = jax.lax.cummax(jnp.where(reset, index, 0), axis=1)
    if not causal:
      starts_next = jnp.concatenate([reset[:, 1:], jnp.zeros((batch, 1), bool)], axis=1)
      upper = jax.lax.cummin(jnp.where(starts_next, index, length - 1), axis=1, reverse=True)
  return lower, upper, index if mask is None else jnp.where(mask, index, -1)


def cached_bounds(
  held: Int[Array, 'b m'], end: Int[Array, ' b'], slots: int, length: int, documents: Documents
) -> Bounds:
  """Return the bounds of a segment's queries over [cache, segment], the cache holding the positions `held`.

  Positions go on from `end` through the whole segment, whatever its documents: where one starts inside the segment, it
  is a lower bound, and so is the length of the cache.
  """
  reset, mask = documents
  position, _ = positions.advance(end, length, Documents(mask=mask))
  valid = jnp.ones(position.shape, bool) if mask is None else mask
  lower = jnp.maximum(position - slots + 1, 0)
  if reset is not None:
    lower = jnp.maximum(lower, jax.lax.cummax(jnp.where(reset, position, 0), axis=1))
  return lower, position, jnp.concatenate([held, jnp.where(valid, position, -1)], axis=1)
