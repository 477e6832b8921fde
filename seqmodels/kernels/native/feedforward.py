"""Two dense layers with GELU between in C++ (`feedforward.cc`), with their own backward pass."""

from typing import Any

import jax
from jaxtyping import Array, Float

from seqmodels.kernels import native
from seqmodels.kernels.native.products import suits as suits

AT_SUMS = 3  # of the backward pass's arguments


@jax.custom_vjp
def feedforward(
  x: Float[Array, '*b d'],
  w1: Float[Array, 'd m'],
  b1: Float[Array, ' m'],
  w2: Float[Array, 'm n'],
  b2: Float[Array, ' n'],
) -> Float[Array, '*b n']:
  """gelu(x w1 + b1) w2 + b2, GELU in its approximation by a tanh."""
  return _call(x, w1, b1, w2, b2, saves=False)[0]


def _call(x, w1, b1, w2, b2, saves):
  rows = x.size // x.shape[-1]
  shapes = native.results((rows, w2.shape[1]), (rows, w1.shape[1]) if saves else (0,))
  y, z = native.call('feedforward_forward', shapes, x.reshape(rows, -1), w1, b1, w2, b2)
  return y.reshape(*x.shape[:-1], -1), z


def _forward(x, w1, b1, w2, b2):
  y, z = _call(x, w1, b1, w2, b2, saves=True)
  return y, (x, w1, w2, z)


def _backward(saved: Any, dy: jax.Array) -> Any:
  x, w1, w2, z = saved
  flat = lambda a: a.reshape(-1, a.shape[-1])
  shapes = native.results(flat(x).shape, w1.shape, w1.shape[1:], w2.shape, w2.shape[1:], z.shape)
  known = flat(x), w1, w2, z, flat(dy)
  # The gradients at the sums take the place of the sums.
  dx, dw1, db1, dw2, db2, _ = native.call('feedforward_backward', shapes, *known, in_place={AT_SUMS: len(shapes) - 1})
  return dx.reshape(x.shape), dw1, db1, dw2, db2


feedforward.defvjp(_forward, _backward)
