"""Which tokens attention may see, as an interval of keys for every query (`seqmodels.kernels.attention`)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from seqmodels import positions
from seqmodels.context import Documents
from seqmodels.kernels.attention import Bounds
from seqmodels.kernels.relative import Offset
from seqmodels.part import Part


class Segment(NamedTuple):
  """The tokens of one call, all of them also where a device has a part of the queries.

  where      the position of every token in its document
  end        the number of tokens in each row's document after the segment
  documents  its resets and its padding
  part       that the queries are; None: the whole segment
  """

  where: Int[Array, 'b t']
  end: Int[Array, ' b']
  documents: Documents
  part: Part | None = None

  @classmethod
  def of(cls, start: Int[Array, ' b'], queries: int, documents: Documents, part: Part | None) -> 'Segment':
    """Return the segment with so many queries. start: position of its first token."""
    length = queries * (1 if part is None else part.count)
    return cls(*positions.advance(start, length, documents), documents, part)

  @property
  def first(self) -> Offset:
    """The index of the first query."""
    return 0 if self.part is None else self.part.number * (self.where.shape[1] // self.part.count)

  def own(self, tree: Any) -> Any:
    """Return what belongs to the queries, of arrays [b T …] of all tokens."""
    return tree if self.part is None else self.part.own(tree)

  def gather(self, tree: Any, *names: str) -> Any:
    """Return the arrays [b T …] of all tokens, of those of the queries; names: see `Part.gather`."""
    return tree if self.part is None else self.part.gather(tree, *names)

  def bounds(self, *, causal: bool) -> Bounds | None:
    """Return which tokens each query sees; None as in `segment_bounds`, for the whole segment only."""
    bounds = segment_bounds(self.documents, *self.where.shape, causal=causal)
    if self.part is None:
      return bounds
    index = indices(*self.where.shape)
    if bounds is None:
      bounds = jnp.zeros_like(index), index if causal else jnp.full_like(index, index.shape[1] - 1), index
    return *self.part.own(bounds[:2]), bounds[2]

  def around(self, keys: Any, before: int, after: int) -> Any:
    """Return the keys from `before` tokens before the queries to `after` tokens behind them.

    keys: arrays that begin `before` tokens before the segment. Of the whole segment they come back as they are.
    """
    if self.part is None:
      return keys
    size = before + self.where.shape[1] // self.part.count + after
    padded = jax.tree.map(lambda a: jnp.pad(a, [(0, 0), (0, after)] + [(0, 0)] * (a.ndim - 2)), keys)
    return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, self.first, size, axis=1), padded)


def indices(batch: int, length: int) -> Int[Array, '{batch} {length}']:
  """Return the index of every token in its segment."""
  return jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], (batch, length))


def segment_bounds(documents: Documents, batch: int, length: int, *, causal: bool) -> Bounds | None:
  """Return which tokens of one segment see each other: those of one document that are not padding.

  None: all of them, or with `causal` all up to the query itself.
  """
  if documents.is_trivial:
    return None
  reset, mask, _ = documents
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
  reset, mask, _ = documents
  position, _ = positions.advance(end, length, Documents(mask=mask))
  valid = jnp.ones(position.shape, bool) if mask is None else mask
  lower = jnp.maximum(position - slots + 1, 0)
  if reset is not None:
    lower = jnp.maximum(lower, jax.lax.cummax(jnp.where(reset, position, 0), axis=1))
  return lower, position, jnp.concatenate([held, jnp.where(valid, position, -1)], axis=1)
