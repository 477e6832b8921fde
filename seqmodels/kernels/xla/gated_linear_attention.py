"""Gated linear attention as a scan over chunks; see `kernels/gated_linear_attention.py`.

The scores of a chunk need the decay between each query and key, feature by feature. A product exp(g_i) exp(-g_j) of
cumulative decays would overflow, so the chunk is halved again and again: between the halves of a block, the query's
factor is the decay since the boundary, the key's the decay up to it, and neither exceeds one. That is one matmul a
level, exact for any decay (compare the secondary chunks of Yang et al., 2024).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seqmodels.context import Documents
from seqmodels.kernels import chunks


def gated_linear_attention(
  q: Any, k: Any, v: Any, log_decay: Any, state: Any, documents: Documents, *, chunk: int
) -> Any:
  """Return (y, the last state)."""
  length = q.shape[1]
  inputs = (*(chunks.split(a, chunk) for a in (q, k, v, log_decay)), chunks.segment_ids(documents.reset, chunk))
  state, y = chunks.scan(_chunk, state, inputs)
  return chunks.join(y, length), state


def _chunk(state: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
  """One chunk: q, k, log_decay [b h c k], v [b h c v], document numbers [b c]."""
  q, k, v, log_decay, ids = now
  masks = chunks.masks(ids, q.shape[2])
  levels, past, rest = chunks.levels(log_decay)
  scores = jnp.where(masks.keys, decayed_scores(q, k, levels), 0.0).astype(v.dtype)
  keep = chunks.where_seen(masks.state, jnp.exp(past))
  recalled = jnp.matmul((q * keep).astype(q.dtype), state.astype(q.dtype), preferred_element_type=jnp.float32)
  y = jnp.matmul(scores, v, preferred_element_type=jnp.float32) + recalled
  last = None if ids is None else masks.keys[..., -1, :]
  put = chunks.where_seen(last, k * jnp.exp(rest)).astype(k.dtype)
  update = jnp.matmul(put.swapaxes(-1, -2), v, preferred_element_type=jnp.float32)
  return keep[:, :, -1, :, None] * state + update, y


def decayed_scores(
  q: Float[Array, 'b h c k'], k: Float[Array, 'b h c k'], levels: list[chunks.Level]
) -> Float[Array, 'b h c c']:
  """q_i·k_j with each feature decayed from j to i, for j ≤ i, and zero elsewhere."""
  own = jnp.sum(q.astype(jnp.float32) * k.astype(jnp.float32), axis=-1)
  scores = own[..., None] * jnp.eye(q.shape[2])[None, None]
  for level in levels:
    queries, keys = (q * jnp.exp(level.past)).astype(q.dtype), (k * jnp.exp(level.rest)).astype(k.dtype)
    products = jnp.matmul(queries, keys.swapaxes(-1, -2), preferred_element_type=jnp.float32)
    scores = jnp.where(level.pairs[None, None], products, scores)
  return scores
