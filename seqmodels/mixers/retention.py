"""Retention: linear attention with a constant decay a head."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels import positions
from seqmodels.errors import check_positive
from seqmodels.kernels import linear_attention as kernel
from seqmodels.kernels import projection
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional
from seqmodels.notation import State


class RetentionDirection(Direction):
  """(swish(X W_G) ⊙ GroupNorm(q_t Σ γ^(t-s) k_s v_sᵀ)) W_O, head h having γ = 1 - 2^(-5-h) (Sun et al., 2023)."""

  def __init__(
    self,
    width: int,
    size: int,
    *,
    rngs: nnx.Rngs,
    heads: int,
    position: str,
    expand: int,
    implementation: str,
    chunk: int,
    dtype: DTypeLike,
  ):
    self.heads = by_head.count_heads(size, heads, position)
    self.size, self.inner, self.position = size, expand * size, position
    self.implementation, self.chunk, self.dtype = implementation, chunk, dtype
    weights = nnx.initializers.lecun_normal()
    self.input_kernel = nnx.Param(weights(rngs.params(), (width, 2 * size + 2 * self.inner), jnp.float32))
    self.norm_scale = nnx.Param(jnp.ones((self.inner,)))
    self.norm_bias = nnx.Param(jnp.zeros((self.inner,)))
    self.output_kernel = nnx.Param(weights(rngs.params(), (self.inner, size), jnp.float32))

  def init_state(self, batch: int) -> State:
    state = kernel.init_state(batch, self.heads, self.size // self.heads, self.inner // self.heads)
    return state | {'position': jnp.zeros((batch,), jnp.int32)} if self.position == 'rotary' else state

  def mixing_flops(self, length: int) -> float:
    widths = self.size // self.heads, self.inner // self.heads
    return kernel.flops(*widths, self.heads, length, chunk=self.chunk, backend=self.implementation)

  def __call__(self, x, state, reset, mask):
    size, inner, (b, t, _) = self.size, self.inner, x.shape
    joined = projection.dot(x, self.input_kernel[...], self.dtype)
    q, k, v, gate = jnp.split(joined, (size, 2 * size, 2 * size + inner), axis=-1)
    q, k, v = (by_head.split_heads(a, self.heads) for a in (q, k, v))
    new = {}
    if self.position == 'rotary':
      where, new['position'] = positions.advance(state['position'], t, reset, mask)
      q, k = positions.rotary(q, where), positions.rotary(k, where)
    q = q * q.shape[-1] ** -0.5
    log_decay = jnp.log1p(-(2.0 ** (-5.0 - jnp.arange(self.heads))))
    (y, _, _), memory = kernel.linear_attention(
      q,
      k,
      v,
      {'s': state['s']},
      log_decay=jnp.broadcast_to(log_decay[None, None], (b, t, self.heads)),
      reset=reset,
      mask=mask,
      chunk=self.chunk,
      backend=self.implementation,
      dtype=self.dtype,
    )
    y = by_head.group_norm(y, self.norm_scale[...], self.norm_bias[...])
    y = jax.nn.silu(gate.astype(jnp.float32)) * y
    return projection.dot(y, self.output_kernel[...], self.dtype), new | memory


class Retention(Directional):
  """Sun et al. (2023), without biases; see `Directional` for the two-directional form.

  heads           0: chosen from the width. position: `rotary` turns queries and keys, as in the paper
  expand          value width as a multiple of the width; 2 in the paper
  implementation  `chunked` or `scan`; chunk: tokens at a time, a power of two; 0: chosen
  """

  implementations = ('auto', 'reference')
  positions = ('rotary',)

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    heads: int = 0,
    position: str = 'none',
    expand: int = 2,
    implementation: str = 'auto',
    chunk: int = 0,
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation, chunk)
    check_positive(expand=expand)
    how: dict[str, Any] = {
      'heads': heads,
      'position': position,
      'expand': expand,
      'implementation': implementation,
      'chunk': chunk,
    }
    make = functools.partial(RetentionDirection, width, rngs=rngs, dtype=self.dtype, **how)
    self.set_directions(make, by_head.multiple(heads, position))
