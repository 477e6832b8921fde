"""Projections: products of activations and weights."""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.notation import Activations


def dot(
  x: Float[Array, '*n d'], kernel: Float[Array, 'd z'], dtype: DTypeLike, to: DTypeLike | None = None
) -> Float[Array, '*n z']:
  """Return x @ kernel in `dtype`, accumulated to another if `to` is given."""
  return jnp.dot(x.astype(dtype), kernel.astype(dtype), preferred_element_type=to)


def time_major(
  x: Activations, kernel: Float[Array, 'd z'], bias: Float[Array, ' z'] | None, dtype: DTypeLike
) -> Float[Array, 't b z']:
  """x @ kernel + bias, time first, in float32; the matmul reads `dtype` and accumulates in float32.

  The narrow side is turned, and the matmul is flat: XLA's CPU backend copies around one with two batch axes.
  """
  b, t, d = x.shape
  flat = x.swapaxes(0, 1).reshape(t * b, d).astype(dtype)
  z = jnp.dot(flat, kernel.astype(dtype), preferred_element_type=jnp.float32)
  return (z if bias is None else z + bias[None, :]).reshape(t, b, -1)


def batch_major(y: Float[Array, 't b e'], kernel: Float[Array, 'e z'], dtype: DTypeLike) -> Float[Array, 'b t z']:
  """y @ kernel, batch first, in `dtype`, accumulated in float32."""
  t, b, e = y.shape
  z = jnp.dot(y.astype(dtype).reshape(t * b, e), kernel.astype(dtype), preferred_element_type=jnp.float32)
  return z.astype(dtype).reshape(t, b, -1).swapaxes(0, 1)
