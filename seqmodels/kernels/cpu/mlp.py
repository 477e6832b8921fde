"""Two dense layers with GELU between in C++ (`mlp.cc`), with their own backward pass."""

from typing import Any

import jax

from seqmodels.kernels.cpu import library
from seqmodels.kernels.cpu.call import SUM, call

AT_SUMS = 3  # of the backward pass's arguments


def why_not(*arrays: Any) -> str | None:
  """Return why the kernels cannot compute the layers, or None."""
  return library.why_not(*arrays)


@jax.custom_vjp
def mlp(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> jax.Array:
  """Return gelu(x w1 + b1) w2 + b2 of x [rows d]."""
  return _call(x, w1, b1, w2, b2, saves=False)[0]


def _call(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, saves: bool) -> Any:
  shapes = (x.shape[0], w2.shape[1]), (x.shape[0], w1.shape[1]) if saves else (0,)
  return call('mlp_forward', shapes, (x, w1, b1, w2, b2), (0, None, None, None, None), (0, 0))


def _forward(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
  y, z = _call(x, w1, b1, w2, b2, saves=True)
  return y, (x, w1, w2, z)


def _backward(saved: Any, dy: Any) -> Any:
  x, w1, w2, z = saved
  shapes = x.shape, w1.shape, w1.shape[1:], w2.shape, w2.shape[1:], z.shape
  results = (0, SUM, SUM, SUM, SUM, 0)
  # The gradients at the sums take the place of the sums.
  in_place = {AT_SUMS: len(shapes) - 1}
  return tuple(call('mlp_backward', shapes, (x, w1, w2, z, dy), (0, None, None, 0, 0), results, in_place))[:-1]


mlp.defvjp(_forward, _backward)
