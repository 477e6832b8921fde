"""Position encodings, and the counting of positions under resets and padding."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from seqmodels.notation import Flags

ADDITIVE = ('sinusoidal', 'learned')  # added to the input by the model; the other encodings act inside attention


def advance(
  start: Int[Array, 'b'], length: int, reset: Flags | None, mask: Flags | None
) -> tuple[Int[Array, 'b t'], Int[Array, 'b']]:
  """The position of each token in its document, and the position of the token after the segment.

  start: position of the first token here. A reset begins a document at 0; padding does not count (a padded position
  repeats the position before it, never below 0), and a reset on padding is ignored.
  """
  batch = start.shape[0]
  if reset is None and mask is None:
    return start[:, None] + jnp.arange(length, dtype=jnp.int32)[None, :], start + length
  valid = jnp.ones((batch, length), jnp.int32) if mask is None else mask.astype(jnp.int32)
  seen = start[:, None] + jnp.cumsum(valid, axis=1)
  base = jnp.zeros((batch, length), jnp.int32)
  if reset is not None:
    begins = reset if mask is None else reset & mask
    base = jax.lax.cummax(jnp.where(begins, seen - valid, 0), axis=1)
  count = seen - base
  return jnp.maximum(count - 1, 0), count[:, -1]


def sinusoidal(position: Int[Array, 'b t'], width: int) -> Float[Array, 'b t d']:
  """Sines and cosines of geometrically spaced wavelengths, 2π to 10,000·2π (Vaswani et al. 2017, section 3.5)."""
  half = (width + 1) // 2
  frequency = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
  angle = position[..., None].astype(jnp.float32) * frequency[None, None, :]
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)[..., :width]


def rotary(x: Float[Array, 'b t h k'], position: Int[Array, 'b t']) -> Float[Array, 'b t h k']:
  """Rotates each pair (x[i], x[i + k/2]) by position · 10,000^(-2i/k), so that products of queries and keys depend on
  their distance only (Su et al. 2021). Computed in float32; k must be even."""
  half = x.shape[-1] // 2
  frequency = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
  angle = position[..., None, None].astype(jnp.float32) * frequency[None, None, None, :]
  sin, cos = jnp.sin(angle), jnp.cos(angle)
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)
