"""Diagonal linear recurrences with their own backward passes; see `kernels/diagonal.py`.

`scan` is one `lax.scan`: the fastest on CPU, where a step is one fused pass over memory. `associative` is
`lax.associative_scan`, log2(t) passes, for accelerators, where t steps are t kernel launches; on CPU it is 2 to 7 times
slower. The backward pass is the same recurrence in reverse, dh_t = dy_t + a_{t+1} · dh_{t+1}. Cotangents are not
conjugated: JAX's convention for complex products.
"""

from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.context import Documents
from seqmodels.kernels.reference import diagonal as reference


@jax.custom_vjp
def scan(a: Any, b: Any, h: Any) -> jax.Array:
  """Return all h_t = a_t · h_{t-1} + b_t."""
  return reference.diagonal(a, b, h)


def _scan_forward(a: Any, b: Any, h: Any) -> Any:
  hs = scan(a, b, h)
  return hs, (a, h, hs)


def _scan_backward(saved: Any, dhs: Any) -> Any:
  a, h, hs = saved

  def step(from_later, now):
    a, dh = now
    dh = dh + from_later
    return a * dh, dh

  first, dh = jax.lax.scan(step, jnp.zeros_like(h), (a, dhs), reverse=True)
  return dh * jnp.concatenate([h[None], hs[:-1]]), dh, first


scan.defvjp(_scan_forward, _scan_backward)


@jax.custom_vjp
def associative(a: Any, b: Any, h: Any) -> jax.Array:
  """Return all h_t = a_t · h_{t-1} + b_t."""
  return _from_zero(a, b.at[0].add(a[0] * h))


def _associative_forward(a: Any, b: Any, h: Any) -> Any:
  hs = associative(a, b, h)
  return hs, (a, h, hs)


def _associative_backward(saved: Any, dhs: Any) -> Any:
  a, h, hs = saved
  dh = _from_zero(jnp.concatenate([a[1:], jnp.zeros_like(a[:1])]), dhs, reverse=True)
  return dh * jnp.concatenate([h[None], hs[:-1]]), dh, a[0] * dh[0]


associative.defvjp(_associative_forward, _associative_backward)


def _from_zero(a: jax.Array, b: jax.Array, reverse: bool = False) -> jax.Array:
  def join(earlier, later):
    return later[0] * earlier[0], later[0] * earlier[1] + later[1]

  return jax.lax.associative_scan(join, (a, b), reverse=reverse)[1]


def rotating_associative(a: Any, b: Any, h: Any, documents: Documents) -> Any:
  """Return (all h, the last h) as pairs, through complex numbers. documents: `[t b]`."""
  decay = jnp.broadcast_to(jax.lax.complex(*a)[None, None, :], b[0].shape)
  decay, inputs = with_documents(decay, jax.lax.complex(*b), documents)
  hs = associative(decay, inputs, jax.lax.complex(*h))
  return (hs.real, hs.imag), (hs[-1].real, hs[-1].imag)


def with_documents(a: jax.Array, b: jax.Array, documents: Documents) -> tuple[jax.Array, jax.Array]:
  """Fold documents `[t b]` into a recurrence: a reset makes a zero, padding makes a one and b zero."""
  return documents.forget(documents.keep(a, 1)), documents.keep(b)
