"""Formulas of position encodings, and the counting of positions under resets and padding."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from seqmodels.notation import Flags

ADDITIVE = ('sinusoidal', 'learned')  # added to the input by the model; the other encodings act inside mixers


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


def compact(mask: Flags) -> tuple[Int[Array, 'b t'], Int[Array, 'b t'], Flags]:
  """How to move padding to the end: (source, place, real).

  Token source[b, i] moves to place i, where `real` is true; token t moves to place[b, t] (padding: to any).
  """
  batch, length = mask.shape
  place = jnp.cumsum(mask.astype(jnp.int32), axis=1) - 1
  index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], (batch, length))
  rows = jnp.arange(batch)[:, None]
  source = jnp.zeros_like(index).at[rows, jnp.where(mask, place, length)].set(index, mode='drop')
  return source, jnp.maximum(place, 0), index <= place[:, -1:]


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


def alibi_slopes(heads: int) -> Float[np.ndarray, 'h']:
  """2^(-8 i / h) for i = 1 … h, if h is a power of two (Press et al. 2022, section 3). For other head counts, those of
  the largest power of two below h, and then every other one of twice as many heads (the authors' code)."""

  def powers(count: int) -> list[float]:
    return [2.0 ** (-8.0 * i / count) for i in range(1, count + 1)]

  below = 2 ** int(math.log2(heads))
  return np.asarray(powers(below) + powers(2 * below)[::2][: heads - below], np.float32)


def t5_bucket(
  distance: Int[Array, 'm'], *, buckets: int = 32, farthest: int = 128, ahead: bool = False
) -> Int[Array, 'm']:
  """The bucket of a distance (Raffel et al. 2020, section 2.1): half of them exact, the others logarithmic up to
  `farthest`, from where on all distances share one. ahead: half of the buckets are for keys ahead of the query, else
  those count as distance 0."""
  first = jnp.zeros_like(distance)
  if ahead:
    buckets //= 2
    first = jnp.where(distance < 0, buckets, 0)
    distance = jnp.abs(distance)
  distance = jnp.maximum(distance, 0)
  exact = buckets // 2
  share = jnp.log(jnp.maximum(distance, exact).astype(jnp.float32) / exact) / math.log(farthest / exact)
  far = exact + (share * (buckets - exact)).astype(jnp.int32)
  return first + jnp.where(distance < exact, distance, jnp.minimum(far, buckets - 1))
