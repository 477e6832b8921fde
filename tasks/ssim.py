"""Compute the structural similarity of images (Wang et al. 2004), as scikit-image does by default."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

WINDOW = 7  # pixels a side
K1, K2 = 0.01, 0.03


def ssim(a: Float[Array, '*b h w'], b: Float[Array, '*b h w'], data_range: float) -> Float[Array, '*b']:
  """Return the mean over all windows of 7 × 7 pixels that lie in the image, each pixel weighing the same.

  Variances and covariance are those of samples (divided by 48). data_range: between the least and the greatest value.
  """

  def mean(x: jax.Array) -> jax.Array:
    one = (1,) * (x.ndim - 2)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, (*one, WINDOW, WINDOW), (*one, 1, 1), 'VALID') / WINDOW**2

  a, b = a.astype(jnp.float32), b.astype(jnp.float32)
  mean_a, mean_b = mean(a), mean(b)
  sample = WINDOW**2 / (WINDOW**2 - 1)
  variances = sample * (mean(a * a) - mean_a * mean_a + mean(b * b) - mean_b * mean_b)
  covariance = sample * (mean(a * b) - mean_a * mean_b)
  c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
  above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
  below = (mean_a * mean_a + mean_b * mean_b + c1) * (variances + c2)
  return jnp.mean(above / below, axis=(-2, -1))
