"""Transformer-XL's attention: a memory of hidden states without a gradient, and positions by distance."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels import positions
from seqmodels.errors import InputError
from seqmodels.kernels import attention as kernel
from seqmodels.mixers.attention import Attention
from seqmodels.notation import Activations, Flags, State


class TransformerXL(Attention):
  """Segment-level recurrence with relative positions (Dai et al., 2019, equations of section 3.3).

  stop_gradient   no gradient flows into the memory, as in the paper; the weights still learn from what it holds

  The state holds the inputs x of the last max_length tokens, the newest last, and how many of them belong to the
  current document. Keys and values are computed from them with the current weights. Every query sees exactly the last
  max_length positions, its own included; the memory at evaluation may be longer than in training.
  """

  positions = ('transformer_xl',)

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    heads: int = 0,
    kv_heads: int = 0,
    implementation: str = 'auto',
    stop_gradient: bool = True,
  ):
    how: dict[str, Any] = {'rngs': rngs, 'causal': causal, 'dtype': dtype, 'heads': heads, 'kv_heads': kv_heads}
    super().__init__(width, position='transformer_xl', implementation=implementation, **how)
    self.stop_gradient = stop_gradient

  def init_state(self, batch: int, max_length: int) -> State:
    return {
      'x': jnp.zeros((batch, max_length, self.width), self.dtype),
      'filled': jnp.zeros((batch,), jnp.int32),
    }

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    """The memory's keys and values are projected in every call; for one token the query is (`_decode_from`)."""
    keys_and_values = 2 * self.width * self.kv_heads * self.key_width  # weights
    if length > 1 or not memory:
      return super().mixing_flops(length, memory) + 2.0 * keys_and_values * memory / length
    onto = 2.0 * (2 * self.width**2 - keys_and_values)  # of each head, less what is among the weights
    return onto + 6.0 * self.heads * self.width * memory  # key, value and distance, each as wide as the model

  def _mix(
    self, x: Activations, state: State | None, reset: Flags | None, mask: Flags | None
  ) -> tuple[Activations, State | None]:
    batch, length = x.shape[:2]
    bounds = self._segment_bounds(reset, mask, batch, length)
    if state is None:
      return self._join(self._over(x, x, bounds)), None
    slots = state['x'].shape[1]
    if length > slots:
      raise InputError(f'a segment of {length} tokens does not fit a memory made for max_length={slots}')
    x = x.astype(self.dtype)
    memory = jax.lax.stop_gradient(state['x']) if self.stop_gradient else state['x']
    joined = jnp.concatenate([memory, x], axis=1)
    where, end = positions.advance(state['filled'], length, reset, mask)
    after = {'x': newest(joined, slots, mask), 'filled': jnp.minimum(end, slots)}
    if length == 1:
      return self._join(self._decode_from(x, after)), after
    index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], where.shape)
    position = jnp.broadcast_to(jnp.arange(-slots, length, dtype=jnp.int32)[None, :], (batch, slots + length))
    limits = jnp.maximum(index - where, index - slots + 1), index, position
    out = jax.lax.cond(
      jnp.all(state['filled'] == 0), lambda: self._over(x, x, bounds), lambda: self._over(x, joined, limits)
    )
    return self._join(out), after

  def _over(self, x: Activations, source: Float[Array, 'b s d'], bounds: kernel.Bounds | None) -> jax.Array:
    """Queries of x over keys and values of `source`, whose last tokens are those of x."""
    cut = self.heads * self.key_width
    weights = self.qkv_kernel[...].astype(self.dtype)
    split = lambda a: a.reshape(*a.shape[:2], -1, self.key_width)
    q = self.distances.content(split(jnp.dot(x.astype(self.dtype), weights[:, :cut])))
    k, v = jnp.split(split(jnp.dot(source.astype(self.dtype), weights[:, cut:])), 2, axis=2)
    causal, offset = self.causal and source is x, source.shape[1] - x.shape[1]
    how: dict[str, Any] = {'relative': self.relative, 'offset': offset, 'implementation': self.implementation}
    return kernel.attention(q, k, v, causal=causal, bounds=bounds, **how)

  def _decode_from(self, x: Float[Array, 'b 1 d'], state: State) -> Float[Array, 'b h v']:
    """One token over the memory that it is part of.

    The key and value projections go onto the query and the result: slots · width products a head, where projecting the
    memory would take slots · width · key width.
    """
    groups, shared, slots = self.kv_heads, self.heads // self.kv_heads, state['x'].shape[1]
    weights = self.qkv_kernel[...].astype(self.dtype).reshape(self.width, -1, self.key_width)
    q = jnp.einsum('btd,dhk->bthk', x, weights[:, : self.heads])
    q = self.distances.content(q)
    keys, values = weights[:, self.heads : self.heads + groups], weights[:, self.heads + groups :]
    onto = jnp.einsum('bgrk,dgk->bgrd', q.reshape(q.shape[0], groups, shared, -1), keys)
    scores = jnp.einsum('bgrd,bsd->bgrs', onto, state['x'], preferred_element_type=jnp.float32)
    distance = jnp.arange(slots - 1, -1, -1, dtype=jnp.int32)
    met = self.distances.met(q, distance)
    assert met is not None
    seen = (distance[None, :] < state['filled'][:, None])[:, None, None]
    scores = jnp.where(seen, (scores + met.reshape(scores.shape)) / math.sqrt(self.key_width), kernel.MASKED)
    chosen = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
    mixed = jnp.einsum('bgrs,bsd->bgrd', chosen, state['x'])
    return jnp.einsum('bgrd,dgv->bgrv', mixed, values).reshape(q.shape[0], self.heads, -1)


def newest(joined: Float[Array, 'b s d'], slots: int, mask: Flags | None) -> Float[Array, 'b m d']:
  """The last `slots` tokens of [memory, segment]; mask: which tokens of the segment are real, those first."""
  if mask is None:
    return joined[:, -slots:]
  count = jnp.sum(mask, axis=1, dtype=jnp.int32)
  index = count[:, None] + jnp.arange(slots, dtype=jnp.int32)[None, :]
  return jnp.take_along_axis(joined, index[:, :, None], axis=1)
