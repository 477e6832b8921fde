"""Projections: of a few tokens, and in front of time-major scans."""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.kernels import native
from seqmodels.notation import Activations

FEW = 2  # rows
WEIGHTS = 65_536, 524_288  # with fewer, a second thread wakes too late; more of them XLA divides among its threads too


def dot(x: Float[Array, '*n d'], kernel: Float[Array, 'd z'], to: DTypeLike | None = None) -> Float[Array, '*n z']:
  """x @ kernel in their dtype, or accumulated to another.

  For a token or two all threads read the weights, where XLA would read them on one.
  """
  rows = math.prod(x.shape[:-1])
  if not (0 < rows <= FEW and WEIGHTS[0] <= kernel.size <= WEIGHTS[1] and native.suits(x, kernel)):
    return jnp.dot(x, kernel, preferred_element_type=to)
  return few_rows(x.reshape(rows, -1), kernel).reshape(*x.shape[:-1], -1)


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
