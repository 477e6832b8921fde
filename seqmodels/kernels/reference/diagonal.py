"""Diagonal linear recurrences as a plain scan, differentiated by JAX; see `kernels/diagonal.py`."""

from typing import Any

import jax

from seqmodels.context import Documents


def diagonal(a: Any, b: Any, h: Any) -> jax.Array:
  """Return all h_t = a_t · h_{t-1} + b_t."""

  def step(h, now):
    a, b = now
    h = a * h + b
    return h, h

  return jax.lax.scan(step, h, (a, b))[1]


def rotating(a: Any, b: Any, h: Any, documents: Documents) -> Any:
  """Return (all h, the last h) as pairs of real and imaginary parts. documents: `[t b]`."""
  a_re, a_im = (part[None, :] for part in a)

  def step(h: Any, now: Any) -> tuple[Any, Any]:
    (b_re, b_im), documents = now
    re, im = (documents.forget(part) for part in h)
    new = a_re * re - a_im * im + b_re, a_re * im + a_im * re + b_im
    new = documents.keep(new[0], re), documents.keep(new[1], im)
    return new, new

  last, hs = jax.lax.scan(step, h, (b, documents))
  return hs, last
