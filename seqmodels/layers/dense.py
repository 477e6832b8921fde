"""A dense layer from named axes to named axes."""

import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.context import Context
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
    rngs: nnx.Rngs | None = None,
    init: Initializer = lecun_normal,
    kernel: jax.Array | None = None,
    bias: bool = False,
    dtype: DTypeLike = jnp.float32,
  ) -> None:
    """init draws the kernel as a matrix of all inputs by all outputs; dtype is that of the product; the bias is 0.

    kernel: the initial kernel, in place of `rngs` and `init`: for layers whose kernels are drawn together.
    """
    if kernel is None:
      assert rngs is not None
      kernel = init(rngs.params(), (math.prod(inputs.values()), math.prod(outputs.values())))
    kernel = kernel.astype(jnp.float32)
    self.kernel = parameter(kernel.reshape(*inputs.values(), *outputs.values()), (*inputs, *outputs))
    self.bias = parameter(jnp.zeros(tuple(outputs.values())), tuple(outputs)) if bias else None
    self.inputs, self.dtype = len(inputs), jnp.dtype(dtype)

  def __call__(self, x: jax.Array, out_dtype: DTypeLike | None = None, *, scale: jax.Array | None = None) -> jax.Array:
    """Return y in `out_dtype` (default: the layer's dtype). scale: multiplied with the kernel, in float32."""
    kernel = self.kernel[...] if scale is None else self.kernel[...] * scale
    y = contract(x.astype(self.dtype), kernel.astype(self.dtype), self.inputs, out_dtype)
    return y if self.bias is None else y + rows(self.bias[...].astype(y.dtype), y.ndim)

  def as_matrix(self, x: jax.Array, out_dtype: DTypeLike | None = None) -> jax.Array:
    """Return the same, with the kernel read as a matrix.

    For layers with heads whose output is read time first: XLA on CPU (JAX 0.10.2) lays a product with more axes out by
    heads and copies it, which takes 7 % of a training step of the sLSTM. Where heads are read one by one, the matrix
    takes 10 to 22 % more (attention and linear mixers). Merging keeps a sharding along the first axis of the outputs
    only.
    """
    inputs, outputs = self.kernel.shape[: self.inputs], self.kernel.shape[self.inputs :]
    lead, kernel = x.shape[: x.ndim - self.inputs], self.kernel[...].astype(self.dtype)
    size = math.prod(inputs)
    y = contract(x.astype(self.dtype).reshape(*lead, size), kernel.reshape(size, -1), 1, out_dtype)
    y = y.reshape(*lead, *outputs)
    return y if self.bias is None else y + rows(self.bias[...].astype(y.dtype), y.ndim)


class HeadDense(nnx.Module):
  """A dense layer of its own for every head, hence a block-diagonal matrix: [n heads k] → [n heads *outputs]."""

  def __init__(
    self,
    heads: int,
    size: int,
    outputs: Sizes,
    *,
    rngs: nnx.Rngs,
    bias: bool = False,
    dtype: DTypeLike = jnp.float32,
  ) -> None:
    """size: k. Weights are N(0, 1/k), the bias is 0."""
    names, sizes = tuple(outputs), tuple(outputs.values())
    kernel = size**-0.5 * jax.random.normal(rngs.params(), (heads, size, math.prod(sizes)))
    self.kernel = parameter(kernel.reshape(heads, size, *sizes), ('heads', 'head_input', *names))
    self.bias = parameter(jnp.zeros((heads, *sizes)), ('heads', *names)) if bias else None
    self.dtype = jnp.dtype(dtype)

  def __call__(self, x: Float[Array, 'n h k'], out_dtype: DTypeLike | None = None) -> Float[Array, 'n h *z']:
    """Return y in `out_dtype` (default: the layer's dtype)."""
    heads, size, *sizes = self.kernel.shape
    kernel = self.kernel[...].astype(self.dtype).reshape(heads, size, -1)
    y = jnp.einsum('nhk,hkz->nhz', x.astype(self.dtype), kernel, preferred_element_type=out_dtype)
    y = y.reshape(*y.shape[:2], *sizes)
    return y if self.bias is None else y + rows(self.bias[...].astype(y.dtype), y.ndim)


def contract(x: jax.Array, kernel: jax.Array, axes: int = 1, out_dtype: DTypeLike | None = None) -> jax.Array:
  """Sum over the last `axes` axes of x and the first of the kernel; accumulate and return in `out_dtype`.

  Batch and time are one axis of the product: with two, XLA on CPU copies the output's gradient before it forms the
  kernel's, which takes three times as long (JAX 0.10; [4096 256] by [256 1024], one core: 32 ms, with one axis 11 ms).
  """
  outer, summed = x.shape[: x.ndim - axes], x.shape[x.ndim - axes :]
  flat, inner = x.reshape(math.prod(outer), *summed), tuple(range(axes))
  dimensions = (tuple(i + 1 for i in inner), inner), ((), ())
  y = jax.lax.dot_general(flat, kernel, dimensions, preferred_element_type=out_dtype)
  return y.reshape(*outer, *y.shape[1:])


def by_row(function: Callable[[jax.Array], jax.Array], x: Float[Array, 't b *z'], context: Context) -> jax.Array:
  """Return what `function` makes of the rows [n *z] of x, as [t b …].

  On one device time and batch are one axis: XLA's CPU backend copies around a product with two. On a mesh they stay
  two: in an axis that begins with time the parts of a batch do not lie together, and would be gathered.
  """
  if context.constrain is not None:
    return jax.vmap(function)(x)
  y = function(x.reshape(-1, *x.shape[2:]))
  return y.reshape(*x.shape[:2], *y.shape[1:])


def time_major(
  x: Float[Array, 'b t d'], layer: Dense, context: Context, *, scale: jax.Array | None = None
) -> Float[Array, 't b *z']:
  """Return layer(x), time first, in float32; the narrow side is turned."""
  return by_row(lambda rows: layer(rows, jnp.float32, scale=scale), x.swapaxes(0, 1), context)


def batch_major(
  x: Float[Array, 't b *z'], layer: Dense, context: Context, *, scale: jax.Array | None = None
) -> Float[Array, 'b t d']:
  """Return layer(x), batch first, in the layer's dtype, accumulated in float32; see `time_major`."""
  y = by_row(lambda rows: layer(rows, jnp.float32, scale=scale).astype(layer.dtype), x, context)
  return y.swapaxes(0, 1)


def rows(vector: jax.Array, rank: int) -> jax.Array:
  """Return `vector` with leading axes of 1 up to `rank`: ranks are never promoted implicitly."""
  return vector.reshape((1,) * (rank - vector.ndim) + vector.shape)
