"""Two dense layers with GELU between (Hendrycks & Gimpel, 2016)."""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.kernels import dispatch
from seqmodels.kernels.cpu import mlp as cpu
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.reference import mlp as reference

FORM = Form(reference.mlp)
MLP = Op('mlp', (('reference', FORM), ('xla', FORM), ('cpu', Form(cpu.mlp, ('cpu',), why_not=cpu.why_not))))


def mlp(
  x: Float[Array, '*b d'],
  up_kernel: Float[Array, 'd m'],
  up_bias: Float[Array, ' m'],
  down_kernel: Float[Array, 'm n'],
  down_bias: Float[Array, ' n'],
  *,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> Float[Array, '*b n']:
  """Return gelu(x W_up + b_up) W_down + b_down in `dtype`, with GELU in its approximation by a tanh.

  Raises InputError as `dispatch.run`.
  """
  arrays = x.reshape(-1, x.shape[-1]), up_kernel, up_bias, down_kernel, down_bias
  y = dispatch.run(MLP, kernels, tuple(a.astype(dtype) for a in arrays))
  return y.reshape(*x.shape[:-1], y.shape[-1])
