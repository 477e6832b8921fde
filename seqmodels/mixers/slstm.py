"""sLSTM (Beck et al., 2024, "xLSTM: Extended Long Short-Term Memory"): exponential gates, a normaliser, heads."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.errors import InputError
from seqmodels.kernels import slstm as kernel
from seqmodels.kernels.convolution import causal_depthwise
from seqmodels.kernels.projection import time_major
from seqmodels.mixers.base import Direction, Directional

PARTS = ('h', 'c', 'n', 'm')
EPSILON = 1e-5
HEADS, SMALLEST_HEAD = 4, 8  # where `heads` is not given


class ExponentialRecurrence(Direction):
  """The cell, with a convolution in front of its input and forget gates and a norm over each head behind it.

  Initialised as the authors' code: recurrent weights zero, forget biases from 5 down to -7 along each head by a power
  law (whose exponent grows from 0.3 to 1.6 over a model's layers; here 0.95, that of the middle), other biases zero.
  Input weights are LeCun normal.
  """

  def __init__(
    self,
    width: int,
    size: int,
    *,
    rngs: nnx.Rngs,
    heads: int,
    temporal_width: int,
    implementation: str,
    dtype: DTypeLike,
  ):
    each = size // heads
    normal = nnx.initializers.lecun_normal()
    # Columns lie head by head, and within a head gate by gate: (input, forget) and (cell, output).
    self.gates_kernel = nnx.Param(normal(rngs.params(), (width, 2 * size), jnp.float32))
    self.cell_kernel = nnx.Param(normal(rngs.params(), (width, 2 * size), jnp.float32))
    forget = 5 - 12 * (jnp.arange(each) / max(each - 1, 1)) ** 0.95
    bias = jnp.zeros((heads, 4, each), jnp.float32).at[:, 1].set(forget[None, :])
    self.bias = nnx.Param(bias.reshape(heads, 4 * each))
    self.recurrent_kernel = nnx.Param(jnp.zeros((heads, each, 4 * each), jnp.float32))
    self.norm_scale = nnx.Param(jnp.ones((size,), jnp.float32))
    if temporal_width:
      self.taps = nnx.Param(temporal_width**-0.5 * jax.random.normal(rngs.params(), (temporal_width, width)))
      self.taps_bias = nnx.Param(jnp.zeros((width,), jnp.float32))
    self.size, self.heads, self.temporal_width = size, heads, temporal_width
    self.implementation = implementation
    self.dtype = dtype

  def init_state(self, batch: int) -> dict[str, jax.Array]:
    carry = kernel.empty_carry(self.heads, batch, self.size // self.heads)
    state = {part: self._rows(a) for part, a in zip(PARTS, carry, strict=True)}
    if self.temporal_width:
      taps, width = self.taps.shape
      state['inputs'] = jnp.zeros((batch, taps - 1, width), jnp.float32)
    return state

  def __call__(self, x, state, reset, mask):
    x, new = x.astype(self.dtype), {}
    smooth = x
    if self.temporal_width:
      smooth, new['inputs'] = causal_depthwise(x, self.taps[...], state['inputs'], reset, mask)
      smooth = jax.nn.silu(smooth + self.taps_bias[...].astype(self.dtype)[None, None, :])
    projected = [
      self._by_head(time_major(a, weights, None, self.dtype))
      for a, weights in ((smooth, self.gates_kernel[...]), (x, self.cell_kernel[...]))
    ]
    gates = jnp.concatenate(projected, axis=-1) + self.bias[...][None, :, None, :]
    h, c, n, m = (self._by_head(state[part]) for part in PARTS)
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'backend': self.implementation, 'dtype': self.dtype}
    hs, carry = kernel.slstm(gates, (h, c, n, m), self.recurrent_kernel[...], **how)
    new |= {part: self._rows(a) for part, a in zip(PARTS, carry, strict=True)}
    hs = hs - jnp.mean(hs, axis=-1, keepdims=True)
    hs = hs * jax.lax.rsqrt(jnp.mean(hs * hs, axis=-1, keepdims=True) + EPSILON)
    y = self._rows(hs).swapaxes(0, 1) * self.norm_scale[...][None, None, :]
    return y.astype(self.dtype), new

  def _by_head(self, a: jax.Array) -> jax.Array:
    """[... b e] to [... heads b e/heads]."""
    return a.reshape(*a.shape[:-1], self.heads, -1).swapaxes(-3, -2)

  def _rows(self, a: jax.Array) -> jax.Array:
    """[... heads b k] to [... b e]."""
    a = a.swapaxes(-3, -2)
    return a.reshape(*a.shape[:-2], self.size)


class SLSTM(Directional):
  """The sLSTM layer of the paper's figure 10, without the projections around it: those are the block's.

  heads           blocks of the recurrent weights; 0: up to four of at least eight channels
  temporal_width  taps of the convolution before the input and forget gates; 0: none
  implementation  `fused` or `scan` (see `kernels/slstm.py`)
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
    temporal_width: int = 4,
    implementation: str = 'auto',
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation)
    if temporal_width < 0:
      raise InputError(f'mixer.temporal_width={temporal_width} must not be negative')
    if not heads:
      smallest = width if causal else width // 2
      heads = max(
        h for h in (1, 2, HEADS) if math.gcd(h, width, smallest) == h and (h == 1 or smallest >= h * SMALLEST_HEAD)
      )
    if heads < 0 or width % heads:
      raise InputError(f'heads={heads} must divide width={width}')
    how: dict[str, Any] = {'rngs': rngs, 'implementation': implementation, 'dtype': self.dtype}
    form: dict[str, Any] = {'heads': heads, 'temporal_width': temporal_width}
    self.set_directions(lambda size: ExponentialRecurrence(width, size, **form, **how), heads)
