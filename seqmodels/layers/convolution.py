"""Depthwise causal convolution over time as a layer."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.context import BATCH, Context, StateSpec
from seqmodels.kernels.convolution import causal_depthwise
from seqmodels.layers.dense import Sizes, rows
from seqmodels.layers.parameter import parameter


class CausalConvolution(nnx.Module):
  """Σ_i taps[w-1-i] ⊙ x_{t - i·dilation} + bias, of each channel alone: [b t *channels] → [b t *channels].

  The state is the last (w - 1)·dilation inputs, which windows skip where they are padding; see `causal_depthwise`.
  """

  def __init__(self, channels: Sizes, taps: jax.Array, *, bias: bool = False, dilation: int = 1) -> None:
    """taps: the initial taps [w c], c being all channels. The bias starts at 0."""
    sizes, names = tuple(channels.values()), tuple(channels)
    self.taps = parameter(taps.reshape(-1, *sizes), ('taps', *names))
    self.bias = parameter(jnp.zeros(sizes), names) if bias else None
    self.names, self.dilation = names, dilation

  def state_spec(self, batch: int) -> StateSpec:
    taps, *sizes = self.taps.shape
    return StateSpec((batch, (taps - 1) * self.dilation, *sizes), (BATCH, 'history', *self.names))

  def __call__(self, x: jax.Array, history: jax.Array, context: Context) -> tuple[jax.Array, jax.Array]:
    """Return y in the dtype of x, and the history after x."""
    channels = math.prod(self.taps.shape[1:])
    flat = lambda a: a.reshape(*a.shape[: a.ndim - len(self.names)], channels)
    arrays = flat(x), flat(self.taps[...]), flat(history)
    y, new = causal_depthwise(*arrays, documents=context.documents, dilation=self.dilation, channels=self.names[0])
    y = y.reshape(x.shape)
    if self.bias is not None:
      y = y + rows(self.bias[...].astype(y.dtype), y.ndim)
    return y, new.reshape(history.shape)


def draw_taps(rngs: nnx.Rngs, kernel_size: int, *channels: int) -> jax.Array:
  """Return taps [w c] of variance 1/w: the input's variance is kept."""
  return kernel_size**-0.5 * jax.random.normal(rngs.params(), (kernel_size, math.prod(channels)))
