"""Projections: products of activations and weights."""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.kernels import native
from seqmodels.kernels.native import products
from seqmodels.notation import Activations

FEW = 2  # rows
WEIGHTS = 65_536, 524_288  # with fewer, a second thread wakes too late; more of them XLA divides among its threads too


def dot(
  x: Float[Array, '*n d'], kernel: Float[Array, 'd z'], dtype: DTypeLike, to: DTypeLike | None = None
) -> Float[Array, '*n z']:
  """x @ kernel in `dtype`, accumulated to another if `to` is given.

  In native code where there are many rows, and of a token or two, where XLA would read all weights on one thread.
  """
  x, kernel = x.astype(dtype), kernel.astype(dtype)
  rows = math.prod(x.shape[:-1])
  if products.suits(x, kernel):
    return products.dot(x, kernel)
  if 0 < rows <= FEW and WEIGHTS[0] <= kernel.size <= WEIGHTS[1] and native.suits(x, kernel):
    return few_rows(x.reshape(rows, -1), kernel).reshape(*x.shape[:-1], -1)
  return jnp.dot(x, kernel, preferred_element_type=to)


@jax.custom_jvp
def few_rows(x: Float[Array, 'n d'], kernel: Float[Array, 'd z']) -> Float[Array, 'n z']:
  """x @ kernel in native code: each thread reads some of the weights' rows, one after the other as they lie."""
  return native.call('few_rows', native.results((x.shape[0], kernel.shape[1]))[0], x, kernel)


@few_rows.defjvp
def _few_rows_jvp(primals, tangents):
  (x, kernel), (dx, dkernel) = primals, tangents
  return few_rows(x, kernel), jnp.dot(dx, kernel) + jnp.dot(x, dkernel)


def time_major(
  x: Activations, kernel: Float[Array, 'd z'], bias: Float[Array, ' z'] | None, dtype: DTypeLike
) -> Float[Array, 't b z']:
  """x @ kernel + bias, time first, in float32; the matmul reads `dtype` and accumulates in float32.

  The narrow side is turned, and the matmul is flat: XLA's CPU backend copies around one with two batch axes.
  """
  b, t, d = x.shape
  flat = x.swapaxes(0, 1).reshape(t * b, d).astype(dtype)
  z = jnp.dot(flat, kernel.astype(dtype), preferred_element_type=jnp.float32)
  return (z if bias is None else z + bias[None, :]).reshape(t, b, -1)


def batch_major(y: Float[Array, 't b e'], kernel: Float[Array, 'e z'], dtype: DTypeLike) -> Float[Array, 'b t z']:
  """y @ kernel, batch first, in `dtype`, accumulated in float32."""
  t, b, e = y.shape
  z = jnp.dot(y.astype(dtype).reshape(t * b, e), kernel.astype(dtype), preferred_element_type=jnp.float32)
  return z.astype(dtype).reshape(t, b, -1).swapaxes(0, 1)
