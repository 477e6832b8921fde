"""cuDNN's attention behind `jax.nn.dot_product_attention`, in half precision."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.kernels.reference.attention import visibility, zero_masked_rows


def why_not(q: Any, k: Any, v: Any, bounds: Any, *, causal: bool) -> str | None:
  """Return why cuDNN cannot compute the attention, or None."""
  del k, v, bounds, causal
  if q.dtype not in (jnp.bfloat16, jnp.float16):
    return f"cuDNN's attention is for half precision, not {q.dtype}"
  if q.shape[-1] % 8 or q.shape[-1] > 128:
    return f'head_dim={q.shape[-1]} must be a multiple of 8, and at most 128'
  return None if is_there() else 'this host has no cuDNN'


@functools.cache
def is_there() -> bool:
  """Return whether this host has the library, which JAX needs to trace a call."""
  array = jax.ShapeDtypeStruct((1, 64, 1, 64), jnp.bfloat16)
  try:
    jax.eval_shape(lambda q: attention(q, q, q, None, causal=True), array)
  except RuntimeError:
    return False
  return True


def attention(q: Any, k: Any, v: Any, bounds: Any, *, causal: bool) -> jax.Array:
  """Attention as in `kernels/attention.py`. Bounds make a t × s mask of one byte each."""
  if bounds is None:
    return jax.nn.dot_product_attention(q, k, v, is_causal=causal, implementation='cudnn')
  visible = visibility(q.shape[1], k.shape[1], causal, bounds)
  assert visible is not None
  out = jax.nn.dot_product_attention(q, k, v, mask=visible[:, None], implementation='cudnn')
  return zero_masked_rows(out, visible)
