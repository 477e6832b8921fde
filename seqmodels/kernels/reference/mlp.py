"""Two dense layers with GELU between."""

import jax
import jax.numpy as jnp


def mlp(
  x: jax.Array, up_kernel: jax.Array, up_bias: jax.Array, down_kernel: jax.Array, down_bias: jax.Array
) -> jax.Array:
  """Return gelu(x W_up + b_up) W_down + b_down in the dtype of x; biases are added to sums in float32."""
  hidden = jax.nn.gelu(_dense(x, up_kernel, up_bias), approximate=True)
  return _dense(hidden, down_kernel, down_bias)


def _dense(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
  # A bias added in bfloat16 would have a gradient that is summed over all rows in bfloat16.
  y = jnp.dot(x, kernel, preferred_element_type=jnp.float32) + bias.astype(jnp.float32)[None]
  return y.astype(x.dtype)
