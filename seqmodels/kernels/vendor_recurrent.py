"""The vendor's LSTM on NVIDIA GPUs: cuDNN behind `jax.experimental.rnn` (Appleyard et al., 2016). Float32 only."""

import jax
import jax.numpy as jnp
from jax.experimental import rnn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.errors import InputError

Carry = Float[Array, 'b e']


def check(dtype: DTypeLike) -> None:
  """Raises InputError where there is no vendor's LSTM: elsewhere than on a CUDA GPU, or in another type."""
  device = jax.devices()[0]
  if device.platform != 'gpu' or 'cuda' not in device.client.platform_version.lower():
    raise InputError(
      f'mixer.implementation=vendor needs an NVIDIA GPU; this is {device.platform}; allowed: fused, scan'
    )
  if jnp.dtype(dtype) != jnp.float32:
    raise InputError(f'mixer.implementation=vendor needs model.dtype=float32, not {jnp.dtype(dtype)}')


def pack(
  input_kernel: Float[Array, 'd z'], recurrent_kernel: Float[Array, 'e z'], bias: Float[Array, ' z']
) -> Float[Array, ' n']:
  """The library's flat weights: both kernels gate by gate (in our order, transposed), then its two biases."""
  return jnp.concatenate([input_kernel.T.ravel(), recurrent_kernel.T.ravel(), bias, jnp.zeros_like(bias)])


def lstm(
  x: Float[Array, 'b t d'],
  h: Carry,
  c: Carry,
  input_kernel: Float[Array, 'd z'],
  recurrent_kernel: Float[Array, 'e z'],
  bias: Float[Array, ' z'],
) -> tuple[Float[Array, 'b t e'], Carry, Carry]:
  """The LSTM of `recurrent.lstm` without flags. Returns (all h, last h, last c)."""
  lengths = jnp.full((x.shape[0],), x.shape[1], jnp.int32)
  weights = pack(input_kernel, recurrent_kernel, bias)
  y, h_last, c_last = rnn.lstm(x, h[None], c[None], weights, lengths, x.shape[2], h.shape[1], 1, 0.0, False)
  return y, h_last[0], c_last[0]
