"""Products of matrices in C++ (`gemm.h`), with their gradients."""

import jax
from jaxtyping import Array, Float

from seqmodels.kernels import native

FEWEST = 1024  # rows; with fewer, packing the weights takes longer than the products gain


def suits(x: jax.Array, kernel: jax.Array) -> bool:
  """Whether `dot` is the faster one here."""
  return x.size >= FEWEST * x.shape[-1] and min(kernel.shape) >= 32 and native.suits(x, kernel)


@jax.custom_vjp
def dot(x: Float[Array, '*b d'], kernel: Float[Array, 'd n']) -> Float[Array, '*b n']:
  """x @ kernel."""
  return _product(_flat(x), kernel).reshape(*x.shape[:-1], kernel.shape[1])


def _forward(x, kernel):
  return dot(x, kernel), (x, kernel)


def _backward(saved, dy):
  x, kernel = saved
  dx = _product(_flat(dy), kernel, turn_b=True).reshape(x.shape)
  return dx, _product(_flat(x), _flat(dy), turn_a=True)


dot.defvjp(_forward, _backward)


def _flat(x: jax.Array) -> jax.Array:
  return x.reshape(-1, x.shape[-1])


def _product(a: jax.Array, b: jax.Array, turn_a: bool = False, turn_b: bool = False) -> jax.Array:
  (result,) = native.results((a.shape[turn_a], b.shape[1 - turn_b]))
  return native.call('matmul', result, a, b, turn_a=turn_a, turn_b=turn_b)
