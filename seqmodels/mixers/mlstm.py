"""The mLSTM of xLSTM: an LSTM whose cell is a matrix and whose gates do not read it, hence parallel in time."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.kernels import linear_attention as kernel
from seqmodels.kernels import projection
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional
from seqmodels.notation import State

LARGEST_EXPONENT = 80.0  # exp of it is finite in float32


class MLSTMDirection(Direction):
  """C_t = f C_{t-1} + i k_t v_tᵀ, n_t = f n_{t-1} + i k_t, h_t = q_t C_t / max(|q_t n_t|, 1) (Beck et al., 2024).

  i = exp(ĩ) and f = σ(f̃), one number a head each. C and n are kept as multiples of exp(m), m being the largest log
  weight so far (the paper's equations 15 to 17), which changes no output. Then a norm a head, the output gate
  σ(X W_o), and a projection. f̃ starts at 3 to 6 across heads, ĩ near 0, both at first without a look at the input.
  """

  def __init__(
    self, width: int, size: int, *, rngs: nnx.Rngs, heads: int, implementation: str, chunk: int, dtype: DTypeLike
  ):
    self.heads = by_head.count_heads(size, heads)
    self.size, self.implementation, self.chunk, self.dtype = size, implementation, chunk, dtype
    weights = nnx.initializers.lecun_normal()
    self.input_kernel = nnx.Param(weights(rngs.params(), (width, 4 * size), jnp.float32))
    self.gates_kernel = nnx.Param(jnp.zeros((width, 2 * self.heads)))
    inputs = 0.1 * jax.random.normal(rngs.params(), (self.heads,))
    self.gates_bias = nnx.Param(jnp.concatenate([inputs, jnp.linspace(3.0, 6.0, self.heads)]))
    self.norm_scale = nnx.Param(jnp.ones((size,)))
    self.output_kernel = nnx.Param(weights(rngs.params(), (size, size), jnp.float32))

  def init_state(self, batch: int) -> State:
    width = self.size // self.heads
    return kernel.init_state(batch, self.heads, width, width, normalised=True, stabilised=True)

  def mixing_flops(self, length: int) -> float:
    width = self.size // self.heads
    return kernel.flops(width, width, self.heads, length, chunk=self.chunk, backend=self.implementation)

  def __call__(self, x, state, reset, mask):
    q, k, v, gate = jnp.split(projection.dot(x, self.input_kernel[...], self.dtype), 4, axis=-1)
    q, k, v = (by_head.split_heads(a, self.heads) for a in (q, k, v))
    gates = (
      projection.dot(x, self.gates_kernel[...], self.dtype).astype(jnp.float32) + self.gates_bias[...][None, None, :]
    )
    log_input, forget = jnp.split(gates, 2, axis=-1)
    (y, n, m), new = kernel.linear_attention(
      q,
      k / math.sqrt(k.shape[-1]),
      v,
      state,
      log_decay=jax.nn.log_sigmoid(forget),
      log_input=log_input,
      reset=reset,
      mask=mask,
      chunk=self.chunk,
      backend=self.implementation,
      dtype=self.dtype,
    )
    y = y / jnp.maximum(jnp.abs(n), jnp.exp(jnp.minimum(-m, LARGEST_EXPONENT)))[..., None]
    y = jax.nn.sigmoid(gate.astype(jnp.float32)) * by_head.rms_norm(y, self.norm_scale[...])
    return projection.dot(y, self.output_kernel[...], self.dtype), new


class MLSTM(Directional):
  """Beck et al. (2024), xLSTM; see `Directional` for the two-directional form.

  heads           0: chosen from the width
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
    implementation: str = 'auto',
    chunk: int = 0,
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation, chunk)
    how: dict[str, Any] = {'heads': heads, 'implementation': implementation, 'chunk': chunk, 'dtype': self.dtype}
    make = functools.partial(MLSTMDirection, width, rngs=rngs, **how)
    self.set_directions(make, by_head.multiple(heads))
