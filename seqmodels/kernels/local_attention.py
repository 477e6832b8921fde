"""Attention to a window around each query in O(t · window) time and memory (Beltagy et al., 2020).

Blocks of queries become rows of a batch, each with the keys of its block and of the window before it (bidirectional:
and after it); any form of `attention.py` does the rest.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from seqmodels.kernels import attention as kernel
from seqmodels.kernels.relative import Relative

SMALLEST_BLOCK = 64


def local_attention(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b s g k'],
  v: Float[Array, 'b s g v'],
  lower: Int[Array, 'b t'],
  upper: Int[Array, 'b t'],
  *,
  window: int,
  ahead: bool = False,
  relative: Relative | None = None,
  kernels: str = 'auto',
  block: int = 0,
) -> Float[Array, 'b t h v']:
  """Query i sees the keys at positions lower[i] … upper[i] that are fewer than `window` away from i.

  The first `window` keys stand before the segment, at positions -window … -1 (s = window + t). ahead: also keys at
  positions above i. block: queries a row; 0: chosen from the window.
  """
  t = q.shape[1]
  size = min(max(block or SMALLEST_BLOCK, window), t)
  size = max(size, window)
  q_rows, k_rows, v_rows = fold(q, size), windows(k, t, size, window, ahead), windows(v, t, size, window, ahead)
  lower, upper = near(lower, upper, window, ahead)
  # A padded query sees nothing. Positions of a row count from its first key.
  first = size * jnp.arange(-(-t // size), dtype=jnp.int32) - window
  first = jnp.tile(first, q.shape[0])[:, None]
  lower, upper = fold(lower + 1, size) - 1 - first, fold(upper + 1, size) - 1 - first
  lower = jnp.where(upper < 0, 1, jnp.maximum(lower, 0))
  position = jnp.broadcast_to(jnp.arange(k_rows.shape[1], dtype=jnp.int32)[None, :], k_rows.shape[:2])
  out = kernel.attention(
    q_rows,
    k_rows,
    v_rows,
    causal=False,
    bounds=(lower, upper, position),
    relative=relative,
    offset=window,
    kernels=kernels,
  )
  return out.reshape(q.shape[0], -1, *out.shape[2:])[:, :t]


def near(
  lower: Int[Array, 'b t'], upper: Int[Array, 'b t'], window: int, ahead: bool
) -> tuple[Int[Array, 'b t'], Int[Array, 'b t']]:
  """Return the interval of each query cut down to its window."""
  index = jnp.arange(lower.shape[1], dtype=jnp.int32)[None, :]
  last = index + window - 1 if ahead else index
  return jnp.maximum(lower, index - window + 1), jnp.minimum(upper, last)


def fold(a: jax.Array, size: int) -> jax.Array:
  """[b t ...] → [b·n size ...], filled up with zeros."""
  a = jnp.pad(a, [(0, 0), (0, -a.shape[1] % size)] + [(0, 0)] * (a.ndim - 2))
  return a.reshape(-1, size, *a.shape[2:])


def windows(a: jax.Array, t: int, size: int, window: int, ahead: bool) -> jax.Array:
  """[b window+t ...] → the keys of each block: `window` before it, its own, and with `ahead` `window` after it."""
  b, blocks = a.shape[0], -(-t // size)
  after = window if ahead else 0
  a = jnp.pad(a, [(0, 0), (0, blocks * size - t + size)] + [(0, 0)] * (a.ndim - 2))
  cut = lambda start: a[:, start : start + blocks * size].reshape(b * blocks, size, *a.shape[2:])
  parts = [cut(0)[:, :window], cut(window)]
  if after:
    parts.append(cut(window + size)[:, :after])
  return jnp.concatenate(parts, axis=1)
