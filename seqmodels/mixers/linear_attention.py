"""Linear attention: a feature map in place of the softmax, hence a sum of outer products in place of a cache."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels import positions
from seqmodels.kernels import linear_attention as kernel
from seqmodels.kernels import projection
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Mixer
from seqmodels.notation import Activations, Flags, State


def elu_plus_one(x: jax.Array) -> jax.Array:
  """elu(x) + 1, in a form that XLA computes 2.5 times as fast."""
  return jnp.exp(jnp.minimum(x, 0.0)) + jnp.maximum(x, 0.0)


class FeatureAttention(Mixer):
  """y_t = φ(q_t)ᵀ Σ φ(k_s) v_sᵀ / φ(q_t)ᵀ Σ φ(k_s) for a feature map φ that subclasses give, without biases.

  heads           0: chosen from the width
  position        `rotary` turns φ(q) and φ(k) in the numerator only (Su et al., 2021, equation 19)
  implementation  `auto`, `chunked`, `scan` or `native` (see `kernels/linear_attention.py`)
  chunk           tokens at a time, a power of two; 0: chosen

  The bidirectional form sums over all tokens of the document. The state is float32 `[b h k v]`, and `[b h k]` of the
  normaliser.
  """

  implementations: tuple[str, ...] = ('auto', 'xla', 'reference', 'cpu')
  positions = ('rotary',)
  stabilised = False
  epsilon = 1e-6  # added to the normaliser, as in the paper's code

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    heads: int = 0,
    position: str = 'none',
    implementation: str = 'auto',
    chunk: int = 0,
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation, chunk)
    self.heads = by_head.count_heads(width, heads, position)
    self.position, self.implementation, self.chunk = position, implementation, chunk
    self.feature_width = width // self.heads
    weights = nnx.initializers.lecun_normal()
    self.qkv_kernel = nnx.Param(weights(rngs.params(), (width, 3 * width), jnp.float32))
    self.output_kernel = nnx.Param(weights(rngs.params(), (width, width), jnp.float32))

  def features(
    self, q: jax.Array, k: jax.Array, rngs: nnx.Rngs | None
  ) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """φ(q) and φ(k) [b t h feature_width], and where `stabilised` the log of a factor left out of φ(k) [b t h]."""
    raise NotImplementedError

  def init_state(self, batch: int, max_length: int) -> State:
    del max_length
    sizes = batch, self.heads, self.feature_width, self.width // self.heads
    state = kernel.init_state(*sizes, normalised=True, stabilised=self.stabilised)
    return state | {'position': jnp.zeros((batch,), jnp.int32)} if self.position == 'rotary' else state

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    del memory
    key_width = self.width // self.heads
    total = self.feature_flops() + self._sum_flops(key_width, length)
    return total + self._sum_flops(1, length) if self.position == 'rotary' else total

  def feature_flops(self) -> float:
    """FLOPs a token of φ(q) and φ(k)."""
    return 0.0

  def _sum_flops(self, v: int, length: int) -> float:
    """Of sums over values `v` wide. Bidirectional, the sum is one, over all tokens at once."""
    how: dict[str, Any] = {'chunk': self.chunk, 'backend': self.implementation if self.causal else 'reference'}
    return kernel.flops(self.feature_width, v, self.heads, length, **how)

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: nnx.Rngs | None = None,
  ) -> tuple[Activations, State | None]:
    self.check_call(x, state)
    if reset is not None and mask is not None:
      reset = reset & mask
    start = self.init_state(x.shape[0], 0) if state is None else state
    joined = by_head.split_heads(projection.dot(x, self.qkv_kernel[...], self.dtype), 3 * self.heads)
    q, k, v = jnp.split(joined, 3, axis=2)
    # A state remembers keys under the fixed features: no other draw goes with it.
    q, k, log_input = self.features(q, k, rngs if state is None else None)
    how: dict[str, Any] = {'log_input': log_input, 'reset': reset, 'mask': mask}
    if self.position == 'rotary':
      where, end = positions.advance(start['position'], x.shape[1], reset, mask)
      memory = {name: a for name, a in start.items() if name in ('s', 'm')}
      sums, new = self._sums(positions.rotary(q, where), positions.rotary(k, where), v, memory, how)
      memory = memory | {'s': start['n'][..., None]}
      normaliser, ends = self._sums(q, k, jnp.ones_like(v[..., :1]), memory, how)
      y, n = sums.y, normaliser.y[..., 0]
      new = new | {'n': ends['s'][..., 0], 'position': end}
    else:
      sums, new = self._sums(q, k, v, start, how)
      y, n = sums.y, sums.n
    y = (y / (n[..., None] + self.epsilon)).reshape(x.shape)
    return projection.dot(y, self.output_kernel[...], self.dtype), None if state is None else new

  def _sums(
    self, q: jax.Array, k: jax.Array, v: jax.Array, state: State, how: dict[str, Any]
  ) -> tuple[kernel.Sums, State]:
    how = how | {'chunk': self.chunk, 'backend': self.implementation, 'dtype': self.dtype}
    if not self.causal:
      return kernel.whole(q, k, v, **how), state
    return kernel.linear_attention(q, k, v, state, **how)


class LinearAttention(FeatureAttention):
  """φ = elu + 1, which has as many features as the key is wide (Katharopoulos et al., 2020)."""

  def features(self, q, k, rngs):
    del rngs
    return elu_plus_one(q), elu_plus_one(k), None
