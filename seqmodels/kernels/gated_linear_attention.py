"""Linear attention whose decay is a vector over the key's features: S_t = diag(a_t) S_{t-1} + k_t v_tᵀ, y_t = q_t S_t.

`chunked`  a scan over chunks, as in `linear_attention.py`; the scores of a chunk need the decay between each query and
           key, feature by feature. A product exp(g_i) exp(-g_j) of cumulative decays would overflow, so the chunk is
           halved again and again: between the halves of a block, the query's factor is the decay since the boundary,
           the key's the decay up to it, and neither exceeds one. That is one matmul a level, exact for any decay
           (compare the secondary chunks of Yang et al., 2024).
`scan`     one token at a time: the ladder's lowest rung, and what decodes.

The state, documents, padding and precision are as in `linear_attention.py`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.kernels import chunks
from seqmodels.notation import Flags

Memory = Float[Array, 'b h k v']


def gated_linear_attention(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b t h k'],
  v: Float[Array, 'b t h v'],
  log_decay: Float[Array, 'b t h k'],
  state: Memory,
  *,
  reset: Flags | None = None,
  mask: Flags | None = None,
  chunk: int = 0,
  implementation: str = 'chunked',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Float[Array, 'b t h v'], Memory]:
  """All y in float32, and the last state (Yang et al., 2024, Gated linear attention).

  log_decay  log a ≤ 0
  chunk      tokens at a time, a power of two; 0: chosen

  Raises InputError on a chunk that is no power of two or an unknown implementation.
  """
  length = q.shape[1]
  k, log_decay = chunks.only(mask, k), chunks.only(mask, log_decay.astype(jnp.float32))
  q, k, v = (a.astype(dtype) for a in (q, k, v))
  if not chunks.is_chunked(implementation, length):
    state, y = jax.lax.scan(_token, state, chunks.time_major((q, k, v, log_decay, reset)))
    return chunks.time_major(y), state
  size = chunks.choose(chunk, length)
  inputs = (*(chunks.split(a, size) for a in (q, k, v, log_decay)), chunks.numbers(reset, size))
  state, y = chunks.scan(_chunk, state, inputs)
  return chunks.join(y, length), state


def flops(k: int, v: int, heads: int, length: int, *, chunk: int, implementation: str) -> float:
  """FLOPs a token over `length` tokens: see `Mixer.mixing_flops`. k, v: widths of a head."""
  recurrent = 4.0 * heads * k * v
  if not chunks.is_chunked(implementation, length):
    return recurrent
  size = chunks.choose(chunk, length)
  levels = size.bit_length() - 1
  return recurrent + 2.0 * size * heads * (levels * k + v)


def _token(state: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
  q, k, v, log_decay, reset = now
  q, k, v = (a.astype(jnp.float32) for a in (q, k, v))
  keep = chunks.only(None if reset is None else ~reset, jnp.exp(log_decay))
  state = keep[..., None] * state + k[..., None] * v[:, :, None]
  return state, jnp.sum(q[..., None] * state, axis=2)


def _chunk(state: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
  """One chunk: q, k, log_decay [b h c k], v [b h c v], document numbers [b c]."""
  q, k, v, log_decay, number = now
  sight = chunks.sight(number, q.shape[2])
  levels, past, rest = chunks.levels(log_decay)
  scores = jnp.where(sight.keys, decayed_scores(q, k, levels), 0.0).astype(v.dtype)
  keep = chunks.only(sight.state, jnp.exp(past))
  recalled = jnp.matmul((q * keep).astype(q.dtype), state.astype(q.dtype), preferred_element_type=jnp.float32)
  y = jnp.matmul(scores, v, preferred_element_type=jnp.float32) + recalled
  last = None if number is None else sight.keys[..., -1, :]
  put = chunks.only(last, k * jnp.exp(rest)).astype(k.dtype)
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
