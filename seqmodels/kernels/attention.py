"""Softmax attention (Vaswani et al., 2017), multi-head or grouped-query (Ainslie et al., 2023), in three forms.

`materialised`  the t × s scores exist at once: quadratic memory.
`blockwise`     scores exist a block of queries at a time, also in the backward pass: linear memory (`blockwise.py`).
`fused`         `jax.nn.dot_product_attention`: cuDNN on a GPU in half precision, else whatever XLA makes of it.
`auto`          the fastest of them that is known for the backend, type and length.

Masks are intervals. With `bounds = (lower, upper, key_position)`, query i of a row sees the keys j with
lower[i] <= key_position[j] <= upper[i]; a key that nobody may see has a position outside every interval. With
`causal=True` keys and queries are the same tokens (t == s) and query i never sees key j > i; both together mean both.
A query that sees nothing gets zeros. The softmax is float32.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from seqmodels.errors import unknown
from seqmodels.kernels.blockwise import blockwise

IMPLEMENTATIONS = ('auto', 'materialised', 'blockwise', 'fused')

Queries = Float[Array, 'b t h k']
Keys = Float[Array, 'b s g k']
Values = Float[Array, 'b s g v']
Bounds = tuple[Int[Array, 'b t'], Int[Array, 'b t'], Int[Array, 'b s']]

MASKED = -1e30  # finite, so that a row that sees nothing has no nan in its gradient


def attention(
  q: Queries,
  k: Keys,
  v: Values,
  *,
  causal: bool = True,
  bounds: Bounds | None = None,
  implementation: str = 'auto',
) -> Float[Array, 'b t h v']:
  """softmax(q kᵀ / √key width) v for every head; h is a multiple of g.

  Raises InputError on an unknown implementation.
  """
  if implementation == 'auto':
    implementation = choose(q, k)
  if implementation == 'materialised':
    return materialised(q, k, v, causal=causal, bounds=bounds)
  if implementation == 'blockwise':
    return blockwise(q, k, v, causal=causal, bounds=bounds)
  if implementation == 'fused':
    return fused(q, k, v, causal=causal, bounds=bounds)
  raise unknown('mixer.implementation', implementation, IMPLEMENTATIONS)


def choose(q: jax.Array, k: jax.Array) -> str:
  """The implementation that `auto` stands for."""
  if q.shape[1] <= 64:
    return 'materialised'
  return 'fused' if _has_cudnn(q) else 'blockwise'


def _has_cudnn(q: jax.Array) -> bool:
  half = q.dtype in (jnp.bfloat16, jnp.float16)
  return jax.default_backend() == 'gpu' and half and q.shape[-1] % 8 == 0 and q.shape[-1] <= 128


def materialised(
  q: Queries, k: Keys, v: Values, *, causal: bool = True, bounds: Bounds | None = None
) -> Float[Array, 'b t h v']:
  """All scores at once."""
  b, t, h, width = q.shape
  s, g = k.shape[1:3]
  grouped = q.reshape(b, t, g, h // g, width)
  scores = jnp.einsum('btgrk,bsgk->bgrts', grouped, k, preferred_element_type=jnp.float32) / math.sqrt(width)
  visible = visibility(t, s, causal, bounds)
  if visible is not None:
    scores = jnp.where(visible[:, None, None], scores, MASKED)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  out = jnp.einsum('bgrts,bsgv->btgrv', weights, v, preferred_element_type=jnp.float32)
  out = out.reshape(b, t, h, v.shape[-1]).astype(v.dtype)
  return _zero_the_blind(out, visible, bounds)


def over_ring(
  q: Float[Array, 'b h k'],
  k: Float[Array, 'b g s k'],
  v: Float[Array, 'b g s v'],
  filled: Int[Array, ' b'],
) -> Float[Array, 'b h v']:
  """One query a row over the first `filled` slots of a cache, whose layout is the one that matmuls read in place."""
  b, h, width = q.shape
  g, s = k.shape[1:3]
  scores = jnp.einsum('bgrk,bgsk->bgrs', q.reshape(b, g, h // g, width), k, preferred_element_type=jnp.float32)
  visible = jnp.arange(s)[None, :] < filled[:, None]
  weights = jax.nn.softmax(jnp.where(visible[:, None, None], scores / math.sqrt(width), MASKED), axis=-1)
  weights = jnp.where(filled[:, None, None, None] > 0, weights, 0.0).astype(v.dtype)
  out = jnp.einsum('bgrs,bgsv->bgrv', weights, v, preferred_element_type=jnp.float32)
  return out.reshape(b, h, v.shape[-1]).astype(v.dtype)


def fused(
  q: Queries, k: Keys, v: Values, *, causal: bool = True, bounds: Bounds | None = None
) -> Float[Array, 'b t h v']:
  """The library's attention. With bounds, a t × s mask of one byte each is materialised."""
  implementation: Literal['cudnn', 'xla'] = 'cudnn' if _has_cudnn(q) else 'xla'
  if bounds is None:
    return jax.nn.dot_product_attention(q, k, v, is_causal=causal, implementation=implementation)
  visible = visibility(q.shape[1], k.shape[1], causal, bounds)
  assert visible is not None
  out = jax.nn.dot_product_attention(q, k, v, mask=visible[:, None], implementation=implementation)
  return _zero_the_blind(out, visible, bounds)


def visibility(t: int, s: int, causal: bool, bounds: Bounds | None) -> Bool[Array, 'b_or_1 t s'] | None:
  """Which query sees which key, or None where every query sees every key."""
  visible = jnp.tril(jnp.ones((1, t, s), bool)) if causal else None
  if bounds is None:
    return visible
  lower, upper, position = bounds
  position = position[:, None, :]
  inside = (position >= lower[:, :, None]) & (position <= upper[:, :, None])
  return inside if visible is None else inside & jnp.broadcast_to(visible, inside.shape)


def _zero_the_blind(out: jax.Array, visible: jax.Array | None, bounds: Bounds | None) -> jax.Array:
  if visible is None or bounds is None:
    return out
  return jnp.where(visible.any(-1)[:, :, None, None], out, jnp.zeros((), out.dtype))
