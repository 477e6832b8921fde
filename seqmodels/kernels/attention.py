"""Softmax attention (Vaswani et al., 2017), multi-head or grouped-query (Ainslie et al., 2023), in four forms.

`materialised`  the t × s scores exist at once: quadratic memory.
`blockwise`     scores exist a block of queries at a time, also in the backward pass: linear memory (`blockwise.py`).
`fused`         `jax.nn.dot_product_attention`: cuDNN on a GPU in half precision, else whatever XLA makes of it.
`native`        in C++ (`native/attention.cc`), float32 on CPU where it has been built: linear memory; no `relative`.
`auto`          the fastest of them that is known for the backend, type and length.

Masks are intervals. With `bounds = (lower, upper, key_position)`, query i of a row sees the keys j with
lower[i] <= key_position[j] <= upper[i]; a key that nobody may see has a position outside every interval. With
`causal=True` keys and queries are the same tokens (t == s) and query i never sees key j > i; both together mean both.
A query that sees nothing gets zeros. The softmax is float32. With `relative`, something is added to each score by its
distance (`relative.py`), query i standing at key i + offset; `blockwise` is then a loop over rematerialised blocks.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from seqmodels.errors import InputError, unknown
from seqmodels.kernels import native
from seqmodels.kernels import relative as by_distance
from seqmodels.kernels.blockwise import blockwise, choose_block
from seqmodels.kernels.native import attention as native_attention
from seqmodels.kernels.relative import Relative

WITH_DISTANCES = ('auto', 'materialised', 'blockwise', 'fused')  # that can have `relative`
IMPLEMENTATIONS = (*WITH_DISTANCES, 'native')

Queries = Float[Array, 'b t h k']
Keys = Float[Array, 'b s g k']
Values = Float[Array, 'b s g v']
Bounds = tuple[Int[Array, 'b t'], Int[Array, 'b t'], Int[Array, 'b s']]

LONGEST_WITH_DISTANCES = 512  # tokens up to which all scores at once are the faster form with `relative`
SHORT, SHORT_ON_GPU = 64, 256  # tokens up to which all scores at once are the faster form
SHORTEST_NATIVE = 8  # tokens from which on the form in C++ is the faster one
MASKED = -1e30  # finite, so that a row that sees nothing has no nan in its gradient


def attention(
  q: Queries,
  k: Keys,
  v: Values,
  *,
  causal: bool = True,
  bounds: Bounds | None = None,
  relative: Relative | None = None,
  offset: int = 0,
  implementation: str = 'auto',
) -> Float[Array, 'b t h v']:
  """softmax(q kᵀ / √key width) v for every head; h is a multiple of g.

  Raises InputError on an unknown implementation, and on `native` where it cannot be had.
  """
  if implementation == 'auto':
    implementation = choose(q, k, v, relative)
  if implementation == 'native':
    if relative is not None:
      raise InputError('mixer.implementation=native has no positions by distance; choose another implementation')
    return native_attention.attention(q, k, v, causal=causal, bounds=bounds)
  if implementation == 'blockwise' and relative is None:
    return blockwise(q, k, v, causal=causal, bounds=bounds)
  forms: dict[str, Any] = {'materialised': materialised, 'blockwise': rematerialised, 'fused': fused}
  if implementation not in forms:
    raise unknown('mixer.implementation', implementation, IMPLEMENTATIONS)
  return forms[implementation](q, k, v, causal=causal, bounds=bounds, relative=relative, offset=offset)


def choose(q: jax.Array, k: jax.Array, v: jax.Array, relative: Relative | None = None) -> str:
  """The implementation that `auto` stands for."""
  if relative is not None:
    return 'materialised' if q.shape[1] <= LONGEST_WITH_DISTANCES else 'blockwise'
  if q.shape[1] >= SHORTEST_NATIVE and native.suits(q, k, v):
    return 'native'
  if q.shape[1] > SHORT and _has_cudnn(q):
    return 'fused'
  return 'materialised' if q.shape[1] <= (SHORT_ON_GPU if jax.default_backend() == 'gpu' else SHORT) else 'blockwise'


def _has_cudnn(q: jax.Array) -> bool:
  half = q.dtype in (jnp.bfloat16, jnp.float16)
  return jax.default_backend() == 'gpu' and half and q.shape[-1] % 8 == 0 and q.shape[-1] <= 128


def materialised(
  q: Queries,
  k: Keys,
  v: Values,
  *,
  causal: bool = True,
  bounds: Bounds | None = None,
  relative: Relative | None = None,
  offset: int = 0,
) -> Float[Array, 'b t h v']:
  """All scores at once."""
  visible = visibility(q.shape[1], k.shape[1], causal, bounds)
  out = attend(q, k, v, visible, _added(q, k, relative, offset))
  return out if bounds is None else _zero_the_blind(out, visible)


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


def rematerialised(
  q: Queries,
  k: Keys,
  v: Values,
  *,
  causal: bool = True,
  bounds: Bounds | None = None,
  relative: Relative,
  offset: int = 0,
  block: int = 0,
) -> Float[Array, 'b t h v']:
  """A loop over blocks of queries whose scores are computed again in the backward pass: temporaries are O(t + s).

  block: queries at a time; 0: chosen from t.
  """
  t, s = q.shape[1], k.shape[1]
  size = min(block or choose_block(t), t)
  padding = -t % size
  padded = t + padding
  q = jnp.pad(q, ((0, 0), (0, padding), (0, 0), (0, 0)))
  if bounds is not None:
    lower, upper = (jnp.pad(a, ((0, 0), (0, padding))) for a in bounds[:2])
    bounds = lower, upper, bounds[2]
  table = by_distance.make_table(relative, padded, s, offset, ahead=True)

  @jax.checkpoint
  def one(first: Int[Array, '']) -> Float[Array, 'b n h v']:
    rows = jax.lax.dynamic_slice_in_dim(q, first, size, axis=1)
    added = by_distance.scores(relative, by_distance.block_of(table, padded, s, first, size), rows, s)
    limits = None
    if bounds is not None:
      lower, upper = (jax.lax.dynamic_slice_in_dim(a, first, size, axis=1) for a in bounds[:2])
      limits = lower, upper, bounds[2]
    visible = visibility(size, s, causal, limits, first)
    out = attend(rows, k, v, visible, added)
    return out if limits is None else _zero_the_blind(out, visible)

  out = jax.lax.map(one, jnp.arange(0, padded, size, dtype=jnp.int32))
  return jnp.moveaxis(out, 0, 1).reshape(q.shape[0], padded, *out.shape[3:])[:, :t]


def _added(q: Queries, k: Keys, relative: Relative | None, offset: int) -> Float[Array, 'b_or_1 h t s'] | None:
  if relative is None:
    return None
  t, s = q.shape[1], k.shape[1]
  table = by_distance.make_table(relative, t, s, offset, ahead=relative.ahead or offset != s - t)
  return by_distance.scores(relative, table, q, s)


class Slots(NamedTuple):
  """Slots of a cache, in blocks of the layout that matmuls read in place."""

  k: tuple[Float[Array, 'b g _ k'], ...]
  v: tuple[Float[Array, 'b g _ v'], ...]
  visible: Bool[Array, 'b s']
  added: Float[Array, 'b h s'] | None = None  # to the scaled scores


def over_slots(q: Float[Array, 'b h k'], parts: Sequence[Slots], scale: float = 0.0) -> Float[Array, 'b h v']:
  """One query a row over all parts in one softmax, without a copy that joins them. scale: of q · k; 0: 1/√key width."""
  b, h, width = q.shape
  g = parts[0].k[0].shape[1]
  grouped = q.reshape(b, g, h // g, width)

  def scores_of(part: Slots) -> Float[Array, 'b g r s']:
    products = [jnp.einsum('bgrk,bgsk->bgrs', grouped, k, preferred_element_type=jnp.float32) for k in part.k]
    scores = jnp.concatenate(products, axis=-1) * (scale or 1 / math.sqrt(width))
    if part.added is not None:
      scores = scores + part.added.reshape(scores.shape)
    return jnp.where(part.visible[:, None, None], scores, MASKED)

  weights = jax.nn.softmax(jnp.concatenate([scores_of(part) for part in parts], axis=-1), axis=-1)
  sees = jnp.stack([part.visible.any(axis=1) for part in parts]).any(axis=0)
  values = [v for part in parts for v in part.v]
  weights = jnp.where(sees[:, None, None, None], weights, 0.0).astype(values[0].dtype)
  out, first = jnp.zeros((), jnp.float32), 0
  for v in values:
    own = weights[..., first : first + v.shape[2]]
    out = out + jnp.einsum('bgrs,bgsv->bgrv', own, v, preferred_element_type=jnp.float32)
    first += v.shape[2]
  return out.reshape(b, h, -1).astype(values[0].dtype)


def fused(
  q: Queries,
  k: Keys,
  v: Values,
  *,
  causal: bool = True,
  bounds: Bounds | None = None,
  relative: Relative | None = None,
  offset: int = 0,
) -> Float[Array, 'b t h v']:
  """The library's attention. Bounds make a t × s mask of one byte each; distances make a bias for each head."""
  implementation: Literal['cudnn', 'xla'] = 'cudnn' if _has_cudnn(q) else 'xla'
  added = _added(q, k, relative, offset)
  bias = None if added is None else added.astype(q.dtype)
  if bounds is None:
    return jax.nn.dot_product_attention(q, k, v, bias, is_causal=causal, implementation=implementation)
  visible = visibility(q.shape[1], k.shape[1], causal, bounds)
  assert visible is not None
  out = jax.nn.dot_product_attention(q, k, v, bias, visible[:, None], implementation=implementation)
  return _zero_the_blind(out, visible)


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


def _zero_the_blind(out: jax.Array, visible: jax.Array | None) -> jax.Array:
  assert visible is not None
  return jnp.where(visible.any(-1)[:, :, None, None], out, jnp.zeros((), out.dtype))
