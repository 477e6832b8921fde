"""Strided sparse attention (Child et al., 2019): a window and a few columns that everybody sees.

A loop over blocks of queries, each with the keys of its window and all columns; scores are computed again in the
backward pass. Time is O(t · (window + columns)), temporaries are O(t + columns · block).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from seqmodels.kernels import attention as kernel
from seqmodels.kernels import dispatch
from seqmodels.kernels import relative as by_distance
from seqmodels.kernels.local_attention import SMALLEST_BLOCK, near
from seqmodels.kernels.relative import Relative

NOWHERE = -(2**30)  # the position of a column that is not there

Interval = tuple[Int[Array, 'b t'], Int[Array, 'b t']]


class Columns(NamedTuple):
  k: Float[Array, 'b c g k']
  v: Float[Array, 'b c g v']
  position: Int[Array, 'b c']  # on the scale of the segment's indices


def sparse_attention(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b s g k'],
  v: Float[Array, 'b s g v'],
  columns: Columns,
  document: Interval,
  far: Interval,
  *,
  window: int,
  farthest: int,
  ahead: bool = False,
  relative: Relative | None = None,
  block: int = 0,
  kernels: str = 'auto',
) -> Float[Array, 'b t h v']:
  """Query i sees the keys of `document` fewer than `window` away, and the columns in `far` that are not among these.

  The first `window` keys stand before the segment, at positions -window … -1 (s = window + t).

  farthest  the largest distance that a column may have
  ahead     also keys at positions above i
  block     queries at a time; 0: chosen
  kernels   `reference` is one block, every other one the loop
  """
  dispatch.check(kernels)
  t = q.shape[1]
  block = block or (t if kernels == 'reference' else 0)
  size = min(block or max(SMALLEST_BLOCK, window), t)
  keys = window + size + (window if ahead else 0)
  lower, upper = near(*document, window, ahead)
  beyond = [(0, 0), (0, -t % size)]
  q, lower, upper, *far_away = (jnp.pad(a, beyond + [(0, 0)] * (a.ndim - 2)) for a in (q, lower, upper, *far))
  k, v = (jnp.pad(a, [(0, 0), (0, -t % size + window), (0, 0), (0, 0)]) for a in (k, v))
  table = None
  if relative is not None:
    table = by_distance.make_table(relative, size, keys, window, ahead=ahead)

  @jax.checkpoint
  def one(first: Int[Array, '']) -> Float[Array, 'b n h v']:
    cut = lambda a, length: jax.lax.dynamic_slice_in_dim(a, first, length, axis=1)
    rows = cut(q, size)
    low, high, far_low, far_high = (cut(a, size)[:, :, None] for a in (lower, upper, *far_away))
    position = (first - window + jnp.arange(keys, dtype=jnp.int32))[None, None, :]
    place = columns.position[:, None, :]
    in_window = (position >= low) & (position <= high)
    in_column = (place >= far_low) & (place <= far_high) & ~((place >= low) & (place <= high))
    added = None
    if relative is not None and table is not None:
      distance = first + jnp.arange(size, dtype=jnp.int32)[None, :, None] - place
      of_columns = by_distance.scores_at(relative, rows, distance, farthest)
      of_window = by_distance.scores(relative, table, rows, keys)
      added = jnp.concatenate([jnp.broadcast_to(of_window, (*of_columns.shape[:3], keys)), of_columns], axis=-1)
    return kernel.attend(
      rows,
      jnp.concatenate([cut(k, keys), columns.k], axis=1),
      jnp.concatenate([cut(v, keys), columns.v], axis=1),
      jnp.concatenate([in_window, in_column], axis=-1),
      added,
    )

  if size == t:
    return one(jnp.zeros((), jnp.int32))
  out = jax.lax.map(one, jnp.arange(0, q.shape[1], size, dtype=jnp.int32))
  return jnp.moveaxis(out, 0, 1).reshape(*q.shape[:3], -1)[:, :t]
