"""Griffin's recurrent block around the Real-Gated Linear Recurrent Unit (De et al., 2024)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.errors import InputError, check_positive
from seqmodels.kernels import diagonal
from seqmodels.kernels.convolution import causal_depthwise
from seqmodels.kernels.projection import batch_major, time_major
from seqmodels.mixers.base import Direction, Directional

C = 8.0  # the exponent of the paper's equation 4
HEAD_WIDTH = 64  # of a gate's block where `heads` is not given
SMALLEST = 1e-12  # of 1 - a², whose root has no gradient at 0


class GatedRecurrence(Direction):
  """GELU(W_g x) ⊙ RGLRU(conv(W_x x)), then a projection.

  RG-LRU: r = σ(W_a x + b_a), i = σ(W_i x + b_i), log a = -c · softplus(-Λ) · r, h_t = a h_{t-1} + √(1 - a²) (i ⊙ x).
  Λ starts so that a^c at r = 1 is uniform in [0.9, 0.999]; other weights are LeCun normal, biases zero.
  """

  def __init__(
    self,
    width: int,
    size: int,
    *,
    rngs: nnx.Rngs,
    expansion: float,
    heads: int,
    temporal_width: int,
    implementation: str,
    dtype: DTypeLike,
  ):
    heads = heads or max(1, round(expansion * size / HEAD_WIDTH))
    block = max(1, round(expansion * size / heads))
    inner = heads * block
    kernel = nnx.initializers.lecun_normal()
    self.input_kernel = nnx.Param(kernel(rngs.params(), (width, 2 * inner), jnp.float32))
    self.input_bias = nnx.Param(jnp.zeros((2 * inner,), jnp.float32))
    self.taps = nnx.Param(temporal_width**-0.5 * jax.random.normal(rngs.params(), (temporal_width, inner)))
    self.taps_bias = nnx.Param(jnp.zeros((inner,), jnp.float32))
    self.gates_kernel = nnx.Param(block**-0.5 * jax.random.normal(rngs.params(), (heads, block, 2 * block)))
    self.gates_bias = nnx.Param(jnp.zeros((heads, 2 * block), jnp.float32))
    decay = jax.random.uniform(rngs.params(), (inner,), minval=0.9, maxval=0.999) ** (1 / C)
    self.decay = nnx.Param(jnp.log(decay) - jnp.log1p(-decay))
    self.output_kernel = nnx.Param(kernel(rngs.params(), (inner, size), jnp.float32))
    self.output_bias = nnx.Param(jnp.zeros((size,), jnp.float32))
    self.size, self.inner, self.heads = size, inner, heads
    self.implementation = implementation
    self.dtype = dtype

  def init_state(self, batch: int) -> dict[str, jax.Array]:
    history = self.taps.shape[0] - 1
    return {
      'h': jnp.zeros((batch, self.inner), jnp.float32),
      'inputs': jnp.zeros((batch, history, self.inner), jnp.float32),
    }

  def __call__(self, x, state, reset, mask):
    projected = time_major(x, self.input_kernel[...], self.input_bias[...], self.dtype).astype(self.dtype)
    branch, gate = jnp.split(projected, 2, axis=-1)
    branch, inputs = causal_depthwise(branch.swapaxes(0, 1), self.taps[...], state['inputs'], reset, mask)
    branch = branch.swapaxes(0, 1) + self.taps_bias[...].astype(self.dtype)[None, None, :]
    a, b = self._decay_and_input(branch)
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'backend': self.implementation}
    hs, h = diagonal.diagonal(a, b, state['h'], **how)
    gated = jax.nn.gelu(gate, approximate=True) * hs.astype(self.dtype)
    y = batch_major(gated, self.output_kernel[...], self.dtype)
    return y + self.output_bias[...].astype(self.dtype)[None, None, :], {'h': h, 'inputs': inputs}

  def _decay_and_input(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(a, √(1 - a²) (i ⊙ x)), float32 [t b e], from x in the computation's dtype."""
    t, b, _ = x.shape
    blocks = x.reshape(t * b, self.heads, -1)
    kernel = self.gates_kernel[...].astype(self.dtype)
    gates = jnp.einsum('nhk,hkz->nhz', blocks, kernel, preferred_element_type=jnp.float32)
    gates = jax.nn.sigmoid(gates + self.gates_bias[...][None])
    r, i = (part.reshape(t, b, self.inner) for part in jnp.split(gates, 2, axis=-1))
    log_a = -C * r * jax.nn.softplus(-self.decay[...])[None, None, :]
    scale = jnp.sqrt(jnp.maximum(-jnp.expm1(2 * log_a), SMALLEST))
    return jnp.exp(log_a), scale * i * x.astype(jnp.float32)


class RGLRU(Directional):
  """De et al. (2024), figure 2 (c): the whole recurrent block, with its two branches.

  expansion       recurrent width as a multiple of a direction's output, rounded to a multiple of the heads
  heads           blocks of the block-diagonal gates; 0: one for each 64 channels
  temporal_width  taps of the convolution
  implementation  `auto`, `scan`, `associative` or `native` (see `kernels/diagonal.py`)
  """

  implementations = ('auto', 'reference', 'associative', 'cpu')

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    expansion: float = 4 / 3,
    heads: int = 0,
    temporal_width: int = 4,
    implementation: str = 'auto',
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation)
    check_positive(expansion=expansion, temporal_width=temporal_width)
    if heads < 0:
      raise InputError(f'heads={heads} must not be negative')
    how: dict[str, Any] = {'rngs': rngs, 'implementation': implementation, 'dtype': self.dtype}
    form: dict[str, Any] = {'expansion': expansion, 'heads': heads, 'temporal_width': temporal_width}
    self.set_directions(lambda size: GatedRecurrence(width, size, **form, **how))
