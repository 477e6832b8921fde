"""Causal convolution as a mixer: depthwise over time, then pointwise over channels."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.errors import check_positive
from seqmodels.kernels.convolution import causal_depthwise
from seqmodels.mixers.base import Direction, Directional


class SeparableConvolution(Direction):
  """W · SiLU(taps * x + bias): weights are LeCun normal over what they sum, biases zero."""

  def __init__(self, width: int, size: int, *, rngs: nnx.Rngs, kernel_size: int, dilation: int, dtype: DTypeLike):
    self.taps = nnx.Param(kernel_size**-0.5 * jax.random.normal(rngs.params(), (kernel_size, width)))
    self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))
    self.output_kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (width, size), jnp.float32))
    self.size, self.dilation = size, dilation
    self.dtype = dtype

  def init_state(self, batch: int) -> dict[str, jax.Array]:
    taps, width = self.taps.shape
    return {'inputs': jnp.zeros((batch, (taps - 1) * self.dilation, width), jnp.float32)}

  def __call__(self, x, state, reset, mask):
    how: dict[str, Any] = {'dilation': self.dilation}
    y, inputs = causal_depthwise(x.astype(self.dtype), self.taps[...], state['inputs'], reset, mask, **how)
    y = jax.nn.silu(y + self.bias[...].astype(self.dtype)[None, None, :])
    kernel = self.output_kernel[...].astype(self.dtype)
    return jnp.dot(y, kernel, preferred_element_type=jnp.float32).astype(self.dtype), {'inputs': inputs}


class Convolution(Directional):
  """Depthwise separable causal convolution (Chollet, 2017; causal and dilated as in van den Oord et al., 2016).

  kernel_size  taps over time
  dilation     positions between two taps: a layer sees the last (kernel_size - 1) · dilation + 1 positions. Doubling it
               from layer to layer makes a temporal convolutional network (Bai et al., 2018)
  """

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    kernel_size: int = 8,
    dilation: int = 1,
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    check_positive(kernel_size=kernel_size, dilation=dilation)
    how: dict[str, Any] = {'rngs': rngs, 'kernel_size': kernel_size, 'dilation': dilation, 'dtype': self.dtype}
    self.set_directions(lambda size: SeparableConvolution(width, size, **how))
