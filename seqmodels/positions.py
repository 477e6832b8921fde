"""Formulas of position encodings, and the counting of positions under resets and padding."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt

from seqmodels.context import Documents
from seqmodels.notation import Flags

ADDITIVE = ('sinusoidal', 'learned')  # added to the input by the model; the other encodings act inside mixers


def advance(start: Int[Array, ' b'], length: int, documents: Documents) -> tuple[Int[Array, 'b t'], Int[Array, ' b']]:
  """Return the position of each token in its document, and the position of the token after the segment.

  start: position of the first token here. A reset begins a document at 0; padding does not count (a padded position
  repeats the position before it, never below 0), and a reset on padding is ignored. Of a part: its own positions, from
  the start of all tokens on, and the one after all of them.
  """
  if (part := documents.part) is not None:
    position, end = advance(start, length * part.count, documents.whole())
    return part.own(position), end
  batch = start.shape[0]
  if documents.is_trivial:
    return start[:, None] + jnp.arange(length, dtype=jnp.int32)[None, :], start + length
  reset, mask, _ = documents.counted()
  valid = jnp.ones((batch, length), jnp.int32) if mask is None else mask.astype(jnp.int32)
  seen = start[:, None] + jnp.cumsum(valid, axis=1)
  base = jnp.zeros((batch, length), jnp.int32)
  if reset is not None:
    base = jax.lax.cummax(jnp.where(reset, seen - valid, 0), axis=1)
  count = seen - base
  return jnp.maximum(count - 1, 0), count[:, -1]


def compact(mask: Flags) -> tuple[Int[Array, 'b t'], Int[Array, 'b t'], Flags]:
  """Return how to move padding to the end: (source, place, real).

  Token source[b, i] moves to place i, where `real` is true; token t moves to place[b, t] (padding: to any).
  """
  batch, length = mask.shape
  place = jnp.cumsum(mask.astype(jnp.int32), axis=1) - 1
  index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], (batch, length))
  rows = jnp.arange(batch)[:, None]
  source = jnp.zeros_like(index).at[rows, jnp.where(mask, place, length)].set(index, mode='drop')
  return source, jnp.maximum(place, 0), index <= place[:, -1:]


def turns(half: int) -> tuple[UInt[np.ndarray, ' half'], UInt[np.ndarray, ' half']]:
  """Return the turns a position of wavelengths from 2π to 10,000·2π as 64-bit fractions of one: (high, low) word."""
  per_position = 10_000.0 ** (-np.arange(half, dtype=np.float64) / half) / (2 * math.pi)
  high = np.floor(per_position * 2.0**32)
  low = np.floor((per_position * 2.0**32 - high) * 2.0**32)
  return high.astype(np.uint32), low.astype(np.uint32)


def angles(position: Int[Array, 'b t'], half: int) -> Float[Array, 'b t half']:
  """Return position · 10,000^(-i/half) in [-π, π), for every int32 position to within 4e-7.

  A float32 product would be off by 1 at position 19 million. Here the product with the turns a position is taken in
  64-bit integers, whose overflow is the reduction to one turn, and only its highest 32 bits become a float.
  """
  high, low = (jnp.asarray(word)[None, None, :] for word in turns(half))
  size = jnp.abs(position).astype(jnp.uint32)[..., None]
  size_high, size_low, low_high, low_low = size >> 16, size & 0xFFFF, low >> 16, low & 0xFFFF
  # The highest word of size · low, but for what is carried from the 32 lowest bits of all: at most 3 of its units.
  carried = size_high * low_high + (size_high * low_low >> 16) + (size_low * low_high >> 16)
  phase = jax.lax.bitcast_convert_type(size * high + carried, jnp.int32).astype(jnp.float32) * (2 * math.pi / 2**32)
  return jnp.where(position[..., None] < 0, -phase, phase)


def sinusoidal(position: Int[Array, 'b t'], width: int) -> Float[Array, 'b t d']:
  """Return sines and cosines of wavelengths in geometric progression, 2π to 10,000·2π (Vaswani et al. 2017, 3.5)."""
  angle = angles(position, (width + 1) // 2)
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)[..., :width]


def rotary(x: Float[Array, 'b t h k'], position: Int[Array, 'b t']) -> Float[Array, 'b t h k']:
  """Rotate each pair (x[i], x[i + k/2]) by position · 10,000^(-2i/k); k must be even.

  Products of queries and keys then depend on their distance only (Su et al. 2021), wherever they stand. Computed in
  float32.
  """
  angle = angles(position, x.shape[-1] // 2)[:, :, None]
  sin, cos = jnp.sin(angle), jnp.cos(angle)
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


def alibi_slopes(heads: int) -> Float[np.ndarray, ' h']:
  """Return 2^(-8 i / h) for i = 1 … h, if h is a power of two (Press et al. 2022, section 3).

  For other head counts, those of the largest power of two below h, and then every other one of twice as many heads (the
  authors' code).
  """

  def powers(count: int) -> list[float]:
    return [2.0 ** (-8.0 * i / count) for i in range(1, count + 1)]

  below = 2 ** int(math.log2(heads))
  return np.asarray(powers(below) + powers(2 * below)[::2][: heads - below], np.float32)


def t5_bucket(
  distance: Int[Array, ' m'], *, buckets: int = 32, farthest: int = 128, ahead: bool = False
) -> Int[Array, ' m']:
  """Return the bucket of a distance (Raffel et al. 2020, section 2.1).

  Half of the buckets are exact, the others logarithmic up to `farthest`, from where on all distances share one. ahead:
  half of the buckets are for keys ahead of the query, else those count as distance 0.
  """
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
