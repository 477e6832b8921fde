"""Softmax attention to a window of the last positions. Its state is a ring of that many keys and values."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from seqmodels import positions
from seqmodels.errors import check_positive
from seqmodels.kernels import attention as kernel
from seqmodels.kernels import cache as ring
from seqmodels.kernels.local_attention import local_attention
from seqmodels.mixers.attention import Attention, Seen
from seqmodels.notation import Flags, State


class SlidingWindow(Attention):
  """A query sees the last `window` positions of its document, its own included (Beltagy et al., 2020).

  window   positions seen; bidirectional: the keys fewer than `window` away on either side. Padding does not count

  The other options are those of `Attention`. Time and memory are O(t · window). The state has min(window, max_length)
  slots, and a query sees at most that many positions; segments may be of any length.
  """

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    heads: int = 0,
    kv_heads: int = 0,
    position: str = 'none',
    window: int = 128,
    implementation: str = 'auto',
    decode: str = 'prefix',
  ):
    check_positive(**{'mixer.window': window})
    how: dict[str, Any] = {'rngs': rngs, 'causal': causal, 'dtype': dtype, 'heads': heads, 'kv_heads': kv_heads}
    super().__init__(width, position=position, implementation=implementation, decode=decode, **how)
    self.window = window
    self.padding_last = True

  def init_state(self, batch: int, max_length: int) -> State:
    return super().init_state(batch, min(self.window, max_length))

  def sees(self, length: int, memory: int = 0) -> Seen:
    behind, ahead = super().sees(length, memory)
    return np.minimum(behind, self.window), np.minimum(ahead, self.window - 1)

  def check_fits(self, length: int, slots: int) -> None:
    """Any segment fits: the ring keeps its end."""

  def _within(self, q: jax.Array, k: jax.Array, v: jax.Array, bounds: kernel.Bounds | None) -> jax.Array:
    batch, length = q.shape[:2]
    if length <= self.window:
      return super()._within(q, k, v, bounds)
    if bounds is None:
      index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], (batch, length))
      lower, upper = jnp.zeros_like(index), index if self.causal else jnp.full_like(index, length - 1)
    else:
      lower, upper = _without_padding(bounds)
    before = ((0, 0), (self.window, 0), (0, 0), (0, 0))
    return self._local(q, jnp.pad(k, before), jnp.pad(v, before), lower, upper, self.window)

  def _after(
    self, q: jax.Array, k: jax.Array, v: jax.Array, state: State, reset: Flags | None, mask: Flags | None
  ) -> jax.Array:
    length, slots = q.shape[1], state['k'].slots
    if length <= slots:
      return super()._after(q, k, v, state, reset, mask)
    where, _ = positions.advance(state['end'], length, reset, mask)
    index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], where.shape)
    memory = [ring.in_order(state[name], state['end']).swapaxes(1, 2) for name in 'kv']
    keys, values = (jnp.concatenate(pair, axis=1) for pair in zip(memory, (k, v), strict=True))
    return self._local(q, keys, values, index - where, index, slots)

  def _local(
    self, q: jax.Array, k: jax.Array, v: jax.Array, lower: jax.Array, upper: jax.Array, window: int
  ) -> jax.Array:
    how: dict[str, Any] = {'relative': self.relative, 'backend': self.implementation}
    return local_attention(q, k, v, lower, upper, window=window, ahead=not self.causal, **how)


def _without_padding(bounds: kernel.Bounds) -> tuple[jax.Array, jax.Array]:
  """Intervals that end before the padding at the end of the segment."""
  lower, upper, position = bounds
  return lower, jnp.minimum(upper, position.max(axis=1, keepdims=True))
