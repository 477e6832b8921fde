"""cuDNN's LSTM behind `jax.experimental.rnn` (Appleyard et al., 2016). Float32 only, without resets and padding."""

from typing import Any

import jax.numpy as jnp
from jax.experimental import rnn
from jaxlib import gpu_rnn
from jaxtyping import Array, Float

from seqmodels.context import Documents


def covers(x: Any, carry: Any, weights: Any, projected: Any, documents: Documents, *, dtype: Any) -> bool:
  """Return whether cuDNN has such a layer: it knows no resets and no padding, and projects the inputs itself."""
  del carry, weights, dtype
  return projected is None and documents.is_trivial and x.shape[1] > 1


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


def lstm(x: Any, carry: Any, weights: Any, projected: Any, documents: Documents, *, dtype: Any) -> Any:
  """Return (all h, the last carry)."""
  del projected, documents, dtype
  (b, t, d), (h, c) = x.shape, carry
  lengths = jnp.full((b,), t, jnp.int32)
  y, h_last, c_last = rnn.lstm(x, h[None], c[None], pack(*weights), lengths, d, h.shape[1], 1, 0.0, False)
  return y, (h_last[0], c_last[0])
