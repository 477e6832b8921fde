"""Scores by distance: what relative positions add to query · key, with a reshape in place of a gather over all pairs.

The distance of a key is the query's place minus the key's, negative for a key ahead of the query.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from seqmodels.kernels.casts import rounded

Offset = int | Int[Array, '']  # no constant where a device has a part of the queries


class Relative:
  """A position encoding that acts inside attention, as entries by distance.

  score = (content(q) · k + queries(q) · keys(distance)) / √key width + bias(distance)

  An encoding has `bias`, or `keys`, or both. Distances of `reach` and beyond have the same entry; 0: all differ.
  `ahead`: queries see keys ahead of them.
  """

  reach: int = 0
  ahead: bool = False

  def bias(self, distance: Int[Array, ' m']) -> Float[Array, 'h m'] | None:
    del distance
    return None

  def keys(self, distance: Int[Array, ' m']) -> Float[Array, 'h_or_1 m k'] | None:
    del distance
    return None

  def content(self, q: Float[Array, 'b t h k']) -> Float[Array, 'b t h k']:
    """Return the queries as they meet the tokens' keys; attention is called with these."""
    return q

  def queries(self, q: Float[Array, 'b t h k']) -> Float[Array, 'b t h k']:
    """Return the queries as they meet `keys`, from `content` of them."""
    return q

  def met(self, q: Float[Array, 'b t h k'], lowest: int, count: int) -> Float[Array, 'b h t {count}'] | None:
    """queries(q) · keys, unscaled, of `count` distances from `lowest` on."""
    keys = self.keys(lowest + jnp.arange(count, dtype=jnp.int32))
    return None if keys is None else meet(self.queries(q), keys)

  def flops(self, length: int, met: float, distances: int) -> float:
    """FLOPs a token beyond two per weight (`Mixer.mixing_flops`) where each of a call's `length` queries meets `met` of
    its `distances`; of one query after a memory where `length` is 1."""
    del length, met, distances
    return 0.0


class Table(NamedTuple):
  """Entries of consecutive distances, the largest first."""

  bias: Float[Array, 'h m'] | None
  keys: Float[Array, 'h_or_1 m k'] | None


def make_table(relative: Relative, t: int, s: int, offset: Offset, *, ahead: bool) -> Table:
  """Return the entries that t queries over s keys need, query i standing at key i + offset.

  ahead: also for keys ahead of their query; needed where the offset is no constant.
  """
  if ahead:
    count = t + s - 1
  else:
    assert isinstance(offset, int)
    count = offset + t
  distance = offset + t - 1 - jnp.arange(count, dtype=jnp.int32)
  return Table(relative.bias(distance), relative.keys(distance))


def block_of(table: Table, t: int, s: int, first: Int[Array, ''], block: int) -> Table:
  """Return the part of a table (made with `ahead`) that the queries [first, first + block) of t need."""
  cut = lambda a: jax.lax.dynamic_slice_in_dim(a, t - block - first, block + s - 1, axis=1)
  return jax.tree.map(cut, table)


def scores(relative: Relative, table: Table, q: Float[Array, 'b t h k'], s: int) -> Float[Array, 'b_or_1 h t {s}']:
  """Return the summand of the scaled scores of consecutive queries over s keys, in float32."""
  total = None
  if table.bias is not None:
    h, m = table.bias.shape
    total = jnp.broadcast_to(table.bias[None, :, None, :], (1, h, q.shape[1], m))
  if table.keys is not None:
    met = meet(relative.queries(q), table.keys) / math.sqrt(q.shape[-1])
    total = met if total is None else met + total
  assert total is not None
  return skew(total, s)


def scores_at(
  relative: Relative, q: Float[Array, 'b t h k'], distance: Int[Array, 'b t s'], farthest: int
) -> Float[Array, 'b h t s']:
  """Return the same for any distances up to `farthest`, by a gather; for few pairs."""
  farthest = min(farthest, relative.reach or farthest)
  lowest = -farthest if relative.ahead else 0
  count = farthest + 1 - lowest
  index = jnp.clip(distance - lowest, 0, farthest - lowest)
  total = None
  met = relative.met(q, lowest, count)
  if met is not None:
    index_of_head = jnp.broadcast_to(index[:, None], (*met.shape[:3], index.shape[-1]))
    total = jnp.take_along_axis(met / math.sqrt(q.shape[-1]), index_of_head, axis=-1)
  bias = relative.bias(lowest + jnp.arange(count, dtype=jnp.int32))
  if bias is not None:
    chosen = jnp.moveaxis(jnp.take(bias, index, axis=1), 0, 1)
    total = chosen if total is None else total + chosen
  assert total is not None
  return total


def meet(q: Float[Array, 'b t h k'], keys: Float[Array, 'h_or_1 m k']) -> Float[Array, 'b h t m']:
  """Return queries times relative keys, which all heads share where there is one head of them."""
  keys = rounded(keys, q.dtype)
  if keys.shape[0] == 1:
    return jnp.einsum('bthk,mk->bhtm', q, keys[0], preferred_element_type=jnp.float32)
  return jnp.einsum('bthk,hmk->bhtm', q, keys, preferred_element_type=jnp.float32)


def skew(a: Float[Array, '*n t m'], s: int) -> Float[Array, '*n t {s}']:
  """out[i, j] = a[i, j - i + t - 1]: from entries by distance (the largest first) to entries by key.

  A pad and a reshape do it (Dai et al. 2019, appendix B). Entries with j - i > m - t, which `a` does not have, are
  arbitrary; s is at most m.
  """
  *lead, t, m = a.shape
  padded = jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(1, 0)])
  return padded.reshape(*lead, t * (m + 1))[..., t:].reshape(*lead, t, m)[..., :s]
