"""Dropout as a function: the caller owns the key."""

import jax
import jax.numpy as jnp

from seqmodels.context import Context


def dropout(x: jax.Array, rate: float, context: Context) -> jax.Array:
  """Zero entries with probability `rate` and scale the others by 1/(1 - rate) (Srivastava et al. 2014).

  Return x where the context has no key (evaluation) or the rate is 0. Of a part of the tokens, what is zeroed is what
  would be if all of them were here: it is drawn for all, which the compiler may fuse with the cut.
  """
  key, part = context.key, context.part
  if key is None or rate == 0.0:
    return x
  batch, length, *others = x.shape
  kept = jax.random.bernoulli(key, 1.0 - rate, (batch, context.documents.count(length), *others))
  if part is not None:
    kept = part.own(jnp.pad(kept, [(0, 0), (0, part.padding), *[(0, 0)] * len(others)]))
  return jnp.where(kept, x / (1.0 - rate), jnp.zeros((), x.dtype))
