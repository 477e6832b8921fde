"""The feed-forward layer of a block."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.kernels import mlp as kernel
from seqmodels.layers.dense import Dense, normal
from seqmodels.notation import Activations


class MLP(nnx.Module):
  """Two dense layers with GELU between (Hendrycks & Gimpel 2016)."""

  def __init__(
    self,
    width: int,
    hidden: int,
    *,
    rngs: nnx.Rngs,
    dtype: DTypeLike = jnp.float32,
    scale: float = 1.0,
    kernels: str = 'auto',
  ) -> None:
    """scale: of the second layer's initial weights. kernels: as in `seqmodels.kernels`."""
    self.up = Dense({'embed': width}, {'mlp': hidden}, rngs=rngs, init=normal(), bias=True, dtype=dtype)
    self.down = Dense({'mlp': hidden}, {'embed': width}, rngs=rngs, init=normal(scale), bias=True, dtype=dtype)
    self.dtype, self.kernels = jnp.dtype(dtype), kernels

  @staticmethod
  def unit_size(width: int) -> int:
    """Return the number of parameters of one hidden unit."""
    return 2 * width + 1

  def __call__(self, x: Activations) -> Activations:
    up, down = self.up, self.down
    assert up.bias is not None
    assert down.bias is not None
    weights = up.kernel[...], up.bias[...], down.kernel[...], down.bias[...]
    return kernel.mlp(x, *weights, kernels=self.kernels, dtype=self.dtype)
