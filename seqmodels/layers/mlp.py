"""The feed-forward layer of a block."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.layers.dense import Dense, normal
from seqmodels.notation import Activations


class MLP(nnx.Module):
  """Two dense layers with GELU between (Hendrycks & Gimpel 2016)."""

  def __init__(
    self, width: int, hidden: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32, scale: float = 1.0
  ) -> None:
    """scale: of the second layer's initial weights."""
    self.up = Dense({'embed': width}, {'mlp': hidden}, rngs=rngs, init=normal(), bias=True, dtype=dtype)
    self.down = Dense({'mlp': hidden}, {'embed': width}, rngs=rngs, init=normal(scale), bias=True, dtype=dtype)

  @staticmethod
  def unit_size(width: int) -> int:
    """Return the number of parameters of one hidden unit."""
    return 2 * width + 1

  def __call__(self, x: Activations) -> Activations:
    return self.down(jax.nn.gelu(self.up(x), approximate=True))
