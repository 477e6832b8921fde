"""Gated DeltaNet: a linear attention that replaces what a key recalls instead of adding to it."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.errors import check_positive
from seqmodels.kernels import delta as kernel
from seqmodels.kernels import projection
from seqmodels.kernels.convolution import causal_depthwise
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional
from seqmodels.notation import State


class GatedDeltaDirection(Direction):
  """S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ; (swish(X W_g) ⊙ norm(q_t S_t)) W_O (Yang et al., 2025).

  q, k and v pass a short convolution and swish, q and k are of length one; β = σ(X W_β) and
  log α = -exp(A) softplus(X W_α + b) a head, with A and b as in Mamba-2.
  """

  def __init__(
    self,
    width: int,
    size: int,
    *,
    rngs: nnx.Rngs,
    heads: int,
    expand: int,
    kernel_size: int,
    implementation: str,
    chunk: int,
    dtype: DTypeLike,
  ):
    self.heads = by_head.count_heads(size, heads)
    self.size, self.inner = size, expand * size
    self.implementation, self.chunk, self.dtype = implementation, chunk, dtype
    weights = nnx.initializers.lecun_normal()
    mixed = 2 * size + self.inner
    self.input_kernel = nnx.Param(weights(rngs.params(), (width, mixed + self.inner), jnp.float32))
    self.gates_kernel = nnx.Param(weights(rngs.params(), (width, 2 * self.heads), jnp.float32))
    self.taps = nnx.Param(kernel_size**-0.5 * jax.random.normal(rngs.params(), (kernel_size, mixed)))
    self.decay_rate, self.decay_bias = by_head.draw_decay(rngs, self.heads)
    self.norm_scale = nnx.Param(jnp.ones((self.inner,)))
    self.output_kernel = nnx.Param(weights(rngs.params(), (self.inner, size), jnp.float32))

  def init_state(self, batch: int) -> State:
    taps, mixed = self.taps.shape
    memory = batch, self.heads, self.size // self.heads, self.inner // self.heads
    return {'s': jnp.zeros(memory, jnp.float32), 'inputs': jnp.zeros((batch, taps - 1, mixed), jnp.float32)}

  def mixing_flops(self, length: int) -> float:
    widths = self.size // self.heads, self.inner // self.heads
    return kernel.flops(*widths, self.heads, length, chunk=self.chunk, backend=self.implementation)

  def __call__(self, x, state, reset, mask):
    mixed, gate = jnp.split(
      projection.dot(x, self.input_kernel[...], self.dtype), (2 * self.size + self.inner,), axis=-1
    )
    mixed, inputs = causal_depthwise(mixed, self.taps[...], state['inputs'], reset, mask)
    q, k, v = jnp.split(jax.nn.silu(mixed), (self.size, 2 * self.size), axis=-1)
    q, k, v = (by_head.split_heads(a, self.heads) for a in (q, k, v))
    q, k = by_head.unit(q), by_head.unit(k)
    q = q * q.shape[-1] ** -0.5
    gates = projection.dot(x, self.gates_kernel[...], self.dtype).astype(jnp.float32)
    beta, step = jnp.split(gates, 2, axis=-1)
    log_decay, _ = by_head.decay(step, self.decay_rate[...], self.decay_bias[...])
    how: dict[str, Any] = {'chunk': self.chunk, 'backend': self.implementation, 'dtype': self.dtype}
    y, s = kernel.gated_delta(q, k, v, jax.nn.sigmoid(beta), log_decay, state['s'], reset=reset, mask=mask, **how)
    y = jax.nn.silu(gate.astype(jnp.float32)) * by_head.rms_norm(y, self.norm_scale[...])
    return projection.dot(y, self.output_kernel[...], self.dtype), {'s': s, 'inputs': inputs}


class GatedDelta(Directional):
  """Yang et al. (2025), Gated delta networks; see `Directional` for the two-directional form.

  heads           0: chosen from the width
  expand          value width as a multiple of the width; 2 in the paper, whose keys are 3/4 of the width
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
    expand: int = 1,
    kernel_size: int = 4,
    implementation: str = 'auto',
    chunk: int = 0,
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation, chunk)
    check_positive(expand=expand, kernel_size=kernel_size)
    how: dict[str, Any] = {
      'heads': heads,
      'expand': expand,
      'kernel_size': kernel_size,
      'implementation': implementation,
      'chunk': chunk,
    }
    make = functools.partial(GatedDeltaDirection, width, rngs=rngs, dtype=self.dtype, **how)
    self.set_directions(make, by_head.multiple(heads))
