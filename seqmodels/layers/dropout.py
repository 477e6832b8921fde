"""Dropout as a function: the caller owns the key."""

import jax
import jax.numpy as jnp

from seqmodels.notation import Key


def dropout(x: jax.Array, rate: float, key: Key | None) -> jax.Array:
  """Zero entries with probability `rate` and scale the others by 1/(1 - rate) (Srivastava et al. 2014).

  Return x where key is None (evaluation) or the rate is 0.
  """
  if key is None or rate == 0.0:
    return x
  kept = jax.random.bernoulli(key, 1.0 - rate, x.shape)
  return jnp.where(kept, x / (1.0 - rate), jnp.zeros_like(x))
