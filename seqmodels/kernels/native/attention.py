"""Softmax attention and its gradient in C++ (`attention.cc`): a block of scores exists at a time."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from seqmodels.kernels import native


def attention(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b s g k'],
  v: Float[Array, 'b s g v'],
  *,
  causal: bool = True,
  bounds: tuple[Int[Array, 'b t'], Int[Array, 'b t'], Int[Array, 'b s']] | None = None,
) -> Float[Array, 'b t h v']:
  """Attention as in `kernels/attention.py`; temporaries are O(t + s) per thread. Raises InputError where the library is
  not there, or for other types than float32."""
  native.check(q, k, v)
  limits = () if bounds is None else tuple(a.astype(jnp.int32) for a in bounds)
  return _attention(q, k, v, limits, causal)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attention(q: Any, k: Any, v: Any, limits: Any, causal: bool) -> Any:
  return _forward(q, k, v, limits, causal)[0]


def _forward(q: Any, k: Any, v: Any, limits: Any, causal: bool) -> Any:
  b, t, h, _ = q.shape
  results = native.results((b, t, h, v.shape[-1]), (b, h, t))
  return native.call('attention_forward', results, q, k, v, *limits, causal=causal)


def _save(q: Any, k: Any, v: Any, limits: Any, causal: bool) -> Any:
  out, log_sum = _forward(q, k, v, limits, causal)
  return out, (q, k, v, limits, out, log_sum)


def _backward(causal: bool, saved: Any, dout: Any) -> Any:
  q, k, v, limits, out, log_sum = saved
  results = native.results(q.shape, k.shape, v.shape)
  arrays = q, k, v, out, log_sum, dout
  return *native.call('attention_backward', results, *arrays, *limits, causal=causal), None


_attention.defvjp(_save, _backward)
