"""Softmax attention by its definition: all scores exist at once."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from seqmodels.kernels import relative as by_distance
from seqmodels.kernels.relative import Offset, Relative

Queries = Float[Array, 'b t h k']
Keys = Float[Array, 'b s g k']
Values = Float[Array, 'b s g v']
Bounds = tuple[Int[Array, 'b t'], Int[Array, 'b t'], Int[Array, 'b s']]

MASKED = -1e30  # finite, so that a fully masked row has no nan in its gradient


def attention(q: Queries, k: Keys, v: Values, bounds: Bounds | None, *, causal: bool) -> Float[Array, 'b t h v']:
  """Return the attention of `kernels/attention.py` without `relative`."""
  return materialised(q, k, v, causal=causal, bounds=bounds)


def materialised(
  q: Queries,
  k: Keys,
  v: Values,
  *,
  causal: bool = True,
  bounds: Bounds | None = None,
  relative: Relative | None = None,
  offset: Offset = 0,
) -> Float[Array, 'b t h v']:
  """Return the attention of `kernels/attention.py`."""
  visible = visibility(q.shape[1], k.shape[1], causal, bounds)
  out = attend(q, k, v, visible, added_scores(q, k, relative, offset))
  return out if bounds is None else zero_masked_rows(out, visible)


def attend(
  q: Queries,
  k: Keys,
  v: Values,
  visible: Bool[Array, 'b_or_1 t s'] | None = None,
  added: Float[Array, 'b_added h t s'] | None = None,
) -> Float[Array, 'b t h v']:
  """Attention by its definition; `added` goes onto the scaled scores."""
  b, t, h, width = q.shape
  s, g = k.shape[1:3]
  grouped = q.reshape(b, t, g, h // g, width)
  scores = jnp.einsum('btgrk,bsgk->bgrts', grouped, k, preferred_element_type=jnp.float32) / math.sqrt(width)
  if added is not None:
    scores = scores + jnp.broadcast_to(added.reshape(-1, g, h // g, t, s), scores.shape)
  if visible is not None:
    scores = jnp.where(visible[:, None, None], scores, MASKED)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  out = jnp.einsum('bgrts,bsgv->btgrv', weights, v, preferred_element_type=jnp.float32)
  return out.reshape(b, t, h, v.shape[-1]).astype(v.dtype)


def added_scores(q: Queries, k: Keys, relative: Relative | None, offset: Offset) -> Float[Array, 'b_or_1 h t s'] | None:
  if relative is None:
    return None
  t, s = q.shape[1], k.shape[1]
  are_last = isinstance(offset, int) and offset == s - t
  table = by_distance.make_table(relative, t, s, offset, ahead=relative.ahead or not are_last)
  return by_distance.scores(relative, table, q, s)


def visibility(
  t: int, s: int, causal: bool, bounds: Bounds | None, first: Int[Array, ''] | int = 0
) -> Bool[Array, 'b_or_1 t s'] | None:
  """Which query sees which key, or None where every query sees every key. first: the number of the first query."""
  visible = (first + jnp.arange(t)[:, None] >= jnp.arange(s)[None, :])[None] if causal else None
  if bounds is None:
    return visible
  lower, upper, position = bounds
  position = position[:, None, :]
  inside = (position >= lower[:, :, None]) & (position <= upper[:, :, None])
  return inside if visible is None else inside & jnp.broadcast_to(visible, inside.shape)


def zero_masked_rows(out: jax.Array, visible: jax.Array | None) -> jax.Array:
  """Return the outputs with zeros in rows that see nothing."""
  assert visible is not None
  return jnp.where(visible.any(-1)[:, :, None, None], out, jnp.zeros((), out.dtype))
