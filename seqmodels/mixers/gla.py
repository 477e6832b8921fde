"""Gated linear attention: every feature of the key forgets at its own, data-dependent rate."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.errors import check_positive
from seqmodels.kernels import gated_linear_attention as kernel
from seqmodels.kernels import projection
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional
from seqmodels.notation import State

TEMPERATURE = 16.0  # the decay is σ(·)^(1/16): slow from the start


class GLADirection(Direction):
  """S_t = diag(α_t) S_{t-1} + k_t v_tᵀ with α = σ(X W_1 W_2 + b)^(1/16); (swish(X W_r) ⊙ norm(q_t S_t)) W_O.

  Keys are half as wide as values (Yang et al., 2024).
  """

  def __init__(
    self,
    width: int,
    size: int,
    *,
    rngs: nnx.Rngs,
    heads: int,
    gate_rank: int,
    implementation: str,
    chunk: int,
    dtype: DTypeLike,
  ):
    self.heads = by_head.count_heads(size, heads)
    self.key_size = self.heads * -(-size // (2 * self.heads))
    self.size, self.implementation, self.chunk, self.dtype = size, implementation, chunk, dtype
    weights = nnx.initializers.lecun_normal()
    self.input_kernel = nnx.Param(
      weights(rngs.params(), (width, 2 * self.key_size + 2 * size + gate_rank), jnp.float32)
    )
    self.decay_kernel = nnx.Param(weights(rngs.params(), (gate_rank, self.key_size), jnp.float32))
    self.decay_bias = nnx.Param(jnp.zeros((self.key_size,)))
    self.norm_scale = nnx.Param(jnp.ones((size,)))
    self.output_kernel = nnx.Param(weights(rngs.params(), (size, size), jnp.float32))

  def init_state(self, batch: int) -> State:
    return {'s': jnp.zeros((batch, self.heads, self.key_size // self.heads, self.size // self.heads), jnp.float32)}

  def mixing_flops(self, length: int) -> float:
    widths = self.key_size // self.heads, self.size // self.heads
    return kernel.flops(*widths, self.heads, length, chunk=self.chunk, backend=self.implementation)

  def __call__(self, x, state, reset, mask):
    joined = projection.dot(x, self.input_kernel[...], self.dtype)
    keys, size = self.key_size, self.size
    ends = keys, 2 * keys, 2 * keys + size, 2 * keys + 2 * size
    q, k, v, gate, low = jnp.split(joined, ends, axis=-1)
    decay = jnp.dot(low, self.decay_kernel[...].astype(self.dtype), preferred_element_type=jnp.float32)
    decay = jax.nn.log_sigmoid(decay + self.decay_bias[...][None, None, :]) / TEMPERATURE
    q, k, v, decay = (by_head.split_heads(a, self.heads) for a in (q, k, v, decay))
    how: dict[str, Any] = {'chunk': self.chunk, 'backend': self.implementation, 'dtype': self.dtype}
    q = q * q.shape[-1] ** -0.5
    y, s = kernel.gated_linear_attention(q, k, v, decay, state['s'], reset=reset, mask=mask, **how)
    y = jax.nn.silu(gate.astype(jnp.float32)) * by_head.rms_norm(y, self.norm_scale[...])
    return projection.dot(y, self.output_kernel[...], self.dtype), {'s': s}


class GLA(Directional):
  """Yang et al. (2024), Gated linear attention; see `Directional` for the two-directional form.

  heads           0: chosen from the width
  gate_rank       width between the two matrices of the decay
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
    gate_rank: int = 16,
    implementation: str = 'auto',
    chunk: int = 0,
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation, chunk)
    check_positive(gate_rank=gate_rank)
    how: dict[str, Any] = {'heads': heads, 'gate_rank': gate_rank, 'implementation': implementation, 'chunk': chunk}
    make = functools.partial(GLADirection, width, rngs=rngs, dtype=self.dtype, **how)
    self.set_directions(make, by_head.multiple(heads))
