"""Casts between products."""

import jax
from jax.typing import DTypeLike


def rounded(a: jax.Array, dtype: DTypeLike) -> jax.Array:
  """Return `a` in `dtype`, in a layout of its own rather than that of the product which gives it.

  XLA on CPU (JAX 0.10.2) runs products of bfloat16 that are summed in float32 in some layouts only; in others it fails
  with "Unsupported element type for DotThunk".
  """
  return a if a.dtype == dtype else jax.lax.optimization_barrier(a.astype(dtype))
