"""cuDNN's LSTM behind `jax.experimental.rnn` (Appleyard et al., 2016). Float32 only, without flags."""

from typing import Any

import jax.numpy as jnp
from jax.experimental import rnn
from jaxlib import gpu_rnn
from jaxtyping import Array, Float


def covers(*arrays: Any, dtype: Any) -> bool:
  """Return whether cuDNN has such a layer: it knows no resets and no padding, and projects the inputs itself."""
  del dtype
  x, (projected, reset, mask) = arrays[0], arrays[-3:]
  return projected is None and reset is None and mask is None and x.shape[1] > 1


def why_not(*arrays: Any, dtype: Any) -> str | None:
  """Return why cuDNN cannot compute the layer, or None."""
  del arrays
  if jnp.dtype(dtype) != jnp.float32:
    return f"cuDNN's LSTM is for float32, not {dtype}"
  return None if hasattr(gpu_rnn, 'compute_rnn_workspace_reserve_space_sizes') else 'this host has no cuDNN'


def pack(
  input_kernel: Float[Array, 'd z'], recurrent_kernel: Float[Array, 'e z'], bias: Float[Array, ' z']
) -> Float[Array, ' n']:
  """Return the library's flat weights: both kernels gate by gate (in our order, transposed), then its two biases."""
  return jnp.concatenate([input_kernel.T.ravel(), recurrent_kernel.T.ravel(), bias, jnp.zeros_like(bias)])


def lstm(x, h, c, input_kernel, recurrent_kernel, bias, projected, reset, mask, *, dtype) -> Any:
  """Return (all h, last h, last c)."""
  del projected, reset, mask, dtype
  lengths = jnp.full((x.shape[0],), x.shape[1], jnp.int32)
  weights = pack(input_kernel, recurrent_kernel, bias)
  y, h_last, c_last = rnn.lstm(x, h[None], c[None], weights, lengths, x.shape[2], h.shape[1], 1, 0.0, False)
  return y, h_last[0], c_last[0]
