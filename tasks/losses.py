"""Compute losses and metrics as a sum and a weight per example; pure functions for use inside `jax.jit`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tasks.base import Sums


def cross_entropy(logits: Float[Array, '*b n'], targets: Int[Array, '*b']) -> Float[Array, '*b']:
  """Return −log softmax(logits)[target] in nats and float32; finite for any finite logits."""
  logits = logits.astype(jnp.float32)
  picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
  return jax.nn.logsumexp(logits, axis=-1) - picked


def correct(logits: Float[Array, '*b n'], targets: Int[Array, '*b']) -> Float[Array, '*b']:
  """Return 1 where the largest logit is the target's, 0 elsewhere."""
  return (jnp.argmax(logits, axis=-1) == targets).astype(jnp.float32)


def weighted(values: Float[Array, ' b *t'], weights: Float[Array, ' b *t']) -> Float[Array, ' b *t']:
  """Return values · weights in float32; exactly 0 where a weight is 0, whatever a model gives there (NaN included)."""
  values, weights = values.astype(jnp.float32), weights.astype(jnp.float32)
  return jnp.where(weights > 0, values * weights, 0.0)


def summed(values: Float[Array, ' b *t'], weights: Float[Array, ' b *t']) -> Sums:
  """Return the sums of the weighted values and of the weights over everything but the batch: [b], [b]."""
  rows = values.shape[0]
  values, weights = weighted(values, weights), weights.astype(jnp.float32)
  return jnp.sum(values.reshape(rows, -1), axis=1), jnp.sum(weights.reshape(rows, -1), axis=1)
