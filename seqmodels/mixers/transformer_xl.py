"""Transformer-XL's attention: a memory of hidden states without a gradient, and positions by distance."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels import positions
from seqmodels.kernels import attention as kernel
from seqmodels.kernels import cache as ring
from seqmodels.mixers.attention import Attention
from seqmodels.notation import Activations, Flags, State


class TransformerXL(Attention):
  """Segment-level recurrence with relative positions (Dai et al., 2019, equations of section 3.3).

  stop_gradient   no gradient flows into the memory, as in the paper; the weights still learn from what it holds
  decode          as for `Attention`

  The state is a ring as that of `Attention`, of the inputs x in place of keys and values, which are computed from them
  with the current weights. Every query sees exactly the last max_length positions, its own included; the memory at
  evaluation may be longer than in training.
  """

  implementations = ('auto', 'reference', 'xla')
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
    decode: str = 'prefix',
  ):
    how: dict[str, Any] = {'rngs': rngs, 'causal': causal, 'dtype': dtype, 'heads': heads, 'kv_heads': kv_heads}
    super().__init__(width, position='transformer_xl', implementation=implementation, decode=decode, **how)
    self.stop_gradient = stop_gradient

  def init_state(self, batch: int, max_length: int) -> State:
    return {
      'x': ring.empty(batch, 1, max_length, self.width, self.dtype),  # laid out as the keys of one head
      'end': jnp.zeros((batch,), jnp.int32),
    }

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    """The memory's keys and values are projected in every call; for one token the query is (`_decode`)."""
    keys_and_values = 2 * self.width * self.kv_heads * self.key_width  # weights
    if length > 1 or not memory:
      return super().mixing_flops(length, memory) + 2.0 * keys_and_values * memory / length
    onto = 2.0 * (2 * self.width**2 - keys_and_values)  # of each head, less what is among the weights
    both = 4.0 * self.heads * self.width * memory  # keys and values, each as wide as the model
    return onto + both + self.distances.flops(1, memory, memory)

  def _mix(
    self, x: Activations, state: State | None, reset: Flags | None, mask: Flags | None
  ) -> tuple[Activations, State | None]:
    batch, length = x.shape[:2]
    bounds = self._segment_bounds(reset, mask, batch, length)
    if state is None:
      return self._join(self._over(x, x, bounds)), None
    slots = state['x'].slots
    self.check_fits(length, slots)
    x = x.astype(self.dtype)
    held = {'x': jax.lax.stop_gradient(state['x']) if self.stop_gradient else state['x']}
    where, end = positions.advance(state['end'], length, reset, mask)
    after = ring.write(held, {'x': x[:, :, None]}, where, end, reset, mask) | {'end': end}
    if length == 1:
      return self._join(self._decode(self._queries(x), after)), after

    def with_memory() -> jax.Array:
      memory = ring.in_order(held['x'], state['end'])[:, 0]
      index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], where.shape)
      position = jnp.broadcast_to(jnp.arange(-slots, length, dtype=jnp.int32)[None, :], (batch, slots + length))
      limits = jnp.maximum(index - where, index - slots + 1), index, position
      return self._over(x, jnp.concatenate([memory, x], axis=1), limits)

    out = jax.lax.cond(jnp.all(state['end'] == 0), lambda: self._over(x, x, bounds), with_memory)
    return self._join(out), after

  def _over(self, x: Activations, source: Float[Array, 'b s d'], bounds: kernel.Bounds | None) -> jax.Array:
    """Queries of x over keys and values of `source`, whose last tokens are those of x."""
    weights = self.qkv_kernel[...].astype(self.dtype)[:, self.width :]
    projected = jnp.dot(source.astype(self.dtype), weights)
    k, v = jnp.split(projected.reshape(*source.shape[:2], -1, self.key_width), 2, axis=2)
    causal, offset = self.causal and source is x, source.shape[1] - x.shape[1]
    how: dict[str, Any] = {'relative': self.relative, 'offset': offset, 'backend': self.implementation}
    return kernel.attention(self._queries(x), k, v, causal=causal, bounds=bounds, **how)

  def _queries(self, x: Activations) -> Float[Array, 'b t h k']:
    projected = jnp.dot(x.astype(self.dtype), self.qkv_kernel[...].astype(self.dtype)[:, : self.width])
    return self.distances.content(projected.reshape(*x.shape[:2], self.heads, self.key_width))

  def _decode(self, q: Float[Array, 'b 1 h k'], state: State) -> jax.Array:
    """One query over the filled slots of the memory, its own token among them: [b h v].

    The key and value projections go onto the query and the result: slots · width products a head, where projecting the
    memory would take slots · width · key width. The memory is then the one key and the one value that all heads share.
    """
    x, end, slots = state['x'], state['end'], state['x'].slots
    grouped = q.reshape(q.shape[0], self.kv_heads, -1, self.key_width)
    weights = self.qkv_kernel[...].astype(self.dtype)[:, self.width :]
    keys, values = jnp.split(weights.reshape(self.width, -1, self.key_width), 2, axis=1)
    onto = jnp.einsum('bgrk,dgk->bgrd', grouped, keys).reshape(q.shape[0], self.heads, self.width)

    def over(prefix: int) -> jax.Array:
      held, seen = x.first(prefix).blocks, self._seen(q, end, slots, prefix)
      return kernel.over_slots(onto, [kernel.Slots(held, held, *seen)], 1 / math.sqrt(self.key_width))

    mixed = ring.read_filled(over, jnp.zeros_like(onto), end, slots, self.decode)
    mixed = mixed.reshape(*grouped.shape[:3], self.width)
    return jnp.einsum('bgrd,dgv->bgrv', mixed, values).reshape(q.shape[0], self.heads, -1)
