"""Diagonal linear recurrences as a plain scan, differentiated by JAX; see `kernels/diagonal.py`."""

from typing import Any

import jax
import jax.numpy as jnp


def diagonal(a: Any, b: Any, h: Any) -> jax.Array:
  """Return all h_t = a_t · h_{t-1} + b_t."""

  def step(h, now):
    a, b = now
    h = a * h + b
    return h, h

  return jax.lax.scan(step, h, (a, b))[1]


def rotating(a: Any, b: Any, h: Any, reset: Any, mask: Any) -> Any:
  """Return (all h, the last h) as pairs of real and imaginary parts."""
  a_re, a_im = (part[None, :] for part in a)

  def step(h: Any, now: Any) -> tuple[Any, Any]:
    (b_re, b_im), reset, mask = now
    re, im = h if reset is None else (jnp.where(reset[:, None], 0.0, part) for part in h)
    new_re, new_im = a_re * re - a_im * im + b_re, a_re * im + a_im * re + b_im
    if mask is not None:
      new_re, new_im = (jnp.where(mask[:, None], n, old) for n, old in ((new_re, re), (new_im, im)))
    return (new_re, new_im), (new_re, new_im)

  last, hs = jax.lax.scan(step, h, (b, *(None if flags is None else flags.T for flags in (reset, mask))))
  return hs, last
