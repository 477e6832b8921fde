"""Normalisation: one implementation and one epsilon for whole vectors, for each head, with and without centring."""

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.layers.dense import Sizes, rows
from seqmodels.layers.parameter import parameter

EPSILON = 1e-6


def normalize(x: jax.Array, axes: int = 1, *, centre: bool = False) -> jax.Array:
  """Divide by the root mean square over the last `axes` axes, after subtracting the mean if `centre`; in float32."""
  over = tuple(range(x.ndim - axes, x.ndim))
  y = x.astype(jnp.float32)
  if centre:
    y = y - jnp.mean(y, axis=over, keepdims=True)
  return y * jax.lax.rsqrt(jnp.mean(jnp.square(y), axis=over, keepdims=True) + EPSILON)


class Norm(nnx.Module):
  """RMS norm (Zhang & Sennrich 2019), layer norm (Ba et al. 2016) or, over `heads`, group norm (Wu & He 2018).

  `Norm({'embed': d}, 'rms')` normalises vectors; `Norm({'heads': h, 'head_dim': k}, 'layer', axes=1)` each head by its
  own mean and variance, with a scale and a bias of the whole shape.
  """

  def __init__(self, sizes: Sizes, kind: str = 'rms', *, axes: int | None = None, bias: bool = True) -> None:
    """axes: how many of the last axes are normalised together; None: all of `sizes`. bias: of a layer norm."""
    shape, names = tuple(sizes.values()), tuple(sizes)
    self.scale = parameter(jnp.ones(shape), names)
    self.bias = parameter(jnp.zeros(shape), names) if kind == 'layer' and bias else None
    self.centre, self.axes = kind == 'layer', len(shape) if axes is None else axes

  def __call__(self, x: jax.Array) -> jax.Array:
    """Return the normalised x, in its dtype; computed in float32."""
    y = normalize(x, self.axes, centre=self.centre)
    y = y * rows(self.scale[...], y.ndim)
    if self.bias is not None:
      y = y + rows(self.bias[...], y.ndim)
    return y.astype(x.dtype)
