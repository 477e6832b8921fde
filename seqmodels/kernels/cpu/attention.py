"""Softmax attention and its gradient in C++ (`attention.cc`): a block of scores exists at a time."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.kernels.cpu import library
from seqmodels.kernels.cpu.call import call


def why_not(q: Any, k: Any, v: Any, bounds: Any, *, causal: bool) -> str | None:
  """Return why the kernels cannot compute the attention, or None."""
  del bounds, causal
  return library.why_not(q, k, v)


def attention(q: Any, k: Any, v: Any, bounds: Any, *, causal: bool) -> jax.Array:
  """Attention as in `kernels/attention.py`; temporaries are O(t + s) per thread."""
  limits = () if bounds is None else tuple(a.astype(jnp.int32) for a in bounds)
  return _attention(q, k, v, limits, causal)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attention(q: Any, k: Any, v: Any, limits: Any, causal: bool) -> Any:
  return _forward(q, k, v, limits, causal)[0]


def _forward(q: Any, k: Any, v: Any, limits: Any, causal: bool) -> Any:
  b, t, h, _ = q.shape
  arrays = q, k, v, *limits
  shapes = (b, t, h, v.shape[-1]), (b, h, t)
  return call('attention_forward', shapes, arrays, (0,) * len(arrays), (0, 0), causal=causal)


def _save(q: Any, k: Any, v: Any, limits: Any, causal: bool) -> Any:
  out, log_sum = _forward(q, k, v, limits, causal)
  return out, (q, k, v, limits, out, log_sum)


def _backward(causal: bool, saved: Any, dout: Any) -> Any:
  q, k, v, limits, out, log_sum = saved
  arrays = q, k, v, out, log_sum, dout, *limits
  shapes = q.shape, k.shape, v.shape
  return *call('attention_backward', shapes, arrays, (0,) * len(arrays), (0, 0, 0), causal=causal), None


_attention.defvjp(_save, _backward)
