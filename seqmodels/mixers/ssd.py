"""Mamba-2: a selective state space whose decay is one number a head, computed as linear attention."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.errors import check_positive
from seqmodels.kernels import linear_attention as kernel
from seqmodels.kernels import projection
from seqmodels.kernels.convolution import causal_depthwise
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional
from seqmodels.notation import State


class SSDDirection(Direction):
  """h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_tᵀ, y_t = C_t h_t + D x_t; RMSNorm(y ⊙ swish(z)) W_O (Dao & Gu, 2024).

  z, x, B, C and Δ come from one projection; x, B and C pass a short convolution and swish; all heads share B and C.
  A starts uniform in [-16, -1], softplus of Δ's bias log-uniform in [0.001, 0.1], D at 1.
  """

  def __init__(
    self,
    width: int,
    size: int,
    *,
    rngs: nnx.Rngs,
    heads: int,
    expand: int,
    state_width: int,
    kernel_size: int,
    implementation: str,
    chunk: int,
    dtype: DTypeLike,
  ):
    self.size, self.inner, self.state_width = size, expand * size, state_width
    self.heads = by_head.count_heads(self.inner, heads)
    self.implementation, self.chunk, self.dtype = implementation, chunk, dtype
    weights = nnx.initializers.lecun_normal()
    mixed = self.inner + 2 * state_width
    self.input_kernel = nnx.Param(weights(rngs.params(), (width, mixed + self.inner), jnp.float32))
    self.step_kernel = nnx.Param(weights(rngs.params(), (width, self.heads), jnp.float32))
    self.taps = nnx.Param(kernel_size**-0.5 * jax.random.normal(rngs.params(), (kernel_size, mixed)))
    self.taps_bias = nnx.Param(jnp.zeros((mixed,)))
    self.decay_rate, self.decay_bias = by_head.draw_decay(rngs, self.heads)
    self.skip = nnx.Param(jnp.ones((self.heads,)))
    self.norm_scale = nnx.Param(jnp.ones((self.inner,)))
    self.output_kernel = nnx.Param(weights(rngs.params(), (self.inner, size), jnp.float32))

  def init_state(self, batch: int) -> State:
    taps, mixed = self.taps.shape
    memory = kernel.init_state(batch, self.heads, self.state_width, self.inner // self.heads)
    return memory | {'inputs': jnp.zeros((batch, taps - 1, mixed), jnp.float32)}

  def mixing_flops(self, length: int) -> float:
    how: dict[str, Any] = {'chunk': self.chunk, 'backend': self.implementation, 'key_heads': 1}
    return kernel.flops(self.state_width, self.inner // self.heads, self.heads, length, **how)

  def __call__(self, x, state, reset, mask):
    mixed, gate = jnp.split(projection.dot(x, self.input_kernel[...], self.dtype), (self.taps.shape[1],), axis=-1)
    mixed, inputs = causal_depthwise(mixed, self.taps[...], state['inputs'], reset, mask)
    mixed = jax.nn.silu(mixed + self.taps_bias[...].astype(self.dtype)[None, None, :])
    values, b, c = jnp.split(mixed, (self.inner, self.inner + self.state_width), axis=-1)
    step = projection.dot(x, self.step_kernel[...], self.dtype).astype(jnp.float32)
    log_decay, step = by_head.decay(step, self.decay_rate[...], self.decay_bias[...])
    values = by_head.split_heads(values, self.heads).astype(jnp.float32)
    (y, _, _), memory = kernel.linear_attention(
      c[:, :, None],
      b[:, :, None],
      step[..., None] * values,
      {'s': state['s']},
      log_decay=log_decay,
      reset=reset,
      mask=mask,
      chunk=self.chunk,
      backend=self.implementation,
      dtype=self.dtype,
    )
    y = (y + self.skip[...][None, None, :, None] * values).reshape(*x.shape[:2], self.inner)
    y = y * jax.nn.silu(gate.astype(jnp.float32))
    y = by_head.rms_norm(y[:, :, None], self.norm_scale[...])
    return projection.dot(y, self.output_kernel[...], self.dtype), memory | {'inputs': inputs}


class SSD(Directional):
  """Mamba-2's mixer (Dao & Gu, 2024); see `Directional` for the two-directional form.

  heads           of the inner width; 0: chosen
  expand          inner width as a multiple of the width
  state_width     width of B and C, the paper's N
  kernel_size     taps of the short convolution
  implementation  `chunked` or `scan`; chunk: tokens at a time, a power of two; 0: chosen
  """

  implementations = ('auto', 'reference')

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    heads: int = 0,
    expand: int = 2,
    state_width: int = 64,
    kernel_size: int = 4,
    implementation: str = 'auto',
    chunk: int = 0,
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation, chunk)
    check_positive(expand=expand, state_width=state_width, kernel_size=kernel_size)
    shape: dict[str, Any] = {'heads': heads, 'expand': expand, 'state_width': state_width, 'kernel_size': kernel_size}
    how: dict[str, Any] = {'implementation': implementation, 'chunk': chunk, 'dtype': self.dtype}
    make = functools.partial(SSDDirection, width, rngs=rngs, **shape, **how)
    self.set_directions(make, by_head.multiple(heads))
