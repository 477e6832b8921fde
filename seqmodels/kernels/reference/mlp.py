"""Two dense layers with GELU between; see `kernels/mlp.py`."""

import jax
import jax.numpy as jnp


def mlp(
  x: jax.Array, up_kernel: jax.Array, up_bias: jax.Array, down_kernel: jax.Array, down_bias: jax.Array
) -> jax.Array:
  """Return the layers' output of x [rows d]."""
  hidden = jnp.dot(x, up_kernel) + up_bias[None, :]
  return jnp.dot(jax.nn.gelu(hidden, approximate=True), down_kernel) + down_bias[None, :]
