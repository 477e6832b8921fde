"""A dense layer from named axes to named axes."""

import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.layers.parameter import parameter

Sizes = Mapping[str, int]  # axis name → size, in order
Initializer = Callable[[jax.Array, tuple[int, int]], jax.Array]  # (key, (inputs, outputs)) → kernel

lecun_normal = nnx.initializers.lecun_normal()


def normal(scale: float = 1.0) -> Initializer:
  """Return the initializer N(0, scale²/inputs): at scale 1 the input's variance is kept (LeCun et al. 1998)."""
  return lambda key, shape: scale * shape[0] ** -0.5 * jax.random.normal(key, shape)


class Dense(nnx.Module):
  """y = x kernel + bias, from the axes `inputs` (the last of x) to the axes `outputs`.

  `Dense({'embed': 512}, {'gate': 4, 'hidden': 256}, …)` maps [b t 512] to [b t 4 256] with one kernel [512 4 256].
  Gates and heads are axes of their own, so that a kernel can be sharded along one without cutting through another.
  """

  def __init__(
    self,
    inputs: Sizes,
    outputs: Sizes,
    *,
    rngs: nnx.Rngs,
    init: Initializer = lecun_normal,
    bias: bool = False,
    dtype: DTypeLike = jnp.float32,
  ) -> None:
    """init draws the kernel as a matrix of all inputs by all outputs. dtype: of the product; the bias starts at 0."""
    rows, columns = math.prod(inputs.values()), math.prod(outputs.values())
    kernel = init(rngs.params(), (rows, columns)).astype(jnp.float32)
    self.kernel = parameter(kernel.reshape(*inputs.values(), *outputs.values()), (*inputs, *outputs))
    self.bias = parameter(jnp.zeros(tuple(outputs.values())), tuple(outputs)) if bias else None
    self.inputs, self.dtype = len(inputs), jnp.dtype(dtype)

  def __call__(self, x: jax.Array, out_dtype: DTypeLike | None = None) -> jax.Array:
    """Return y in `out_dtype` (default: the layer's dtype)."""
    y = contract(x.astype(self.dtype), self.kernel[...].astype(self.dtype), self.inputs, out_dtype)
    return y if self.bias is None else y + rows(self.bias[...].astype(y.dtype), y.ndim)


def contract(x: jax.Array, kernel: jax.Array, axes: int = 1, out_dtype: DTypeLike | None = None) -> jax.Array:
  """Sum over the last `axes` axes of x and the first of the kernel; accumulate and return in `out_dtype`."""
  last, first = tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))
  return jax.lax.dot_general(x, kernel, ((last, first), ((), ())), preferred_element_type=out_dtype)


def rows(vector: jax.Array, rank: int) -> jax.Array:
  """Return `vector` with leading axes of 1 up to `rank`: ranks are never promoted implicitly."""
  return vector.reshape((1,) * (rank - vector.ndim) + vector.shape)
