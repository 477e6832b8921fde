"""Diagonal recurrences in C++ (`diagonal.cc`): channels over threads, forward and backward one pass each."""

from typing import Any

import jax

from seqmodels.kernels.cpu import library
from seqmodels.kernels.cpu.call import call


def why_not(a: Any, b: Any, h: Any) -> str | None:
  """Return why the kernels cannot compute the recurrence, or None."""
  return library.why_not(a, b, h)


@jax.custom_vjp
def diagonal(a: Any, b: Any, h: Any) -> jax.Array:
  """Return all h_t = a_t · h_{t-1} + b_t."""
  return call('diagonal_forward', (a.shape,), (a, b, h), (1, 1, 0), (1,))[0]


def _forward(a: Any, b: Any, h: Any) -> Any:
  hs = diagonal(a, b, h)
  return hs, (a, h, hs)


def _backward(saved: Any, dhs: Any) -> Any:
  a, h, hs = saved
  return tuple(call('diagonal_backward', (a.shape, a.shape, h.shape), (a, h, hs, dhs), (1, 0, 1, 1), (1, 1, 0)))


diagonal.defvjp(_forward, _backward)
