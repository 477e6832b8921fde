"""Strided sparse attention. Its state is a ring buffer of the last keys and values, and another of the columns'."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from seqmodels.context import Documents
from seqmodels.errors import check_positive
from seqmodels.kernels import attention as kernel
from seqmodels.kernels import cache
from seqmodels.kernels import relative as by_distance
from seqmodels.kernels.sparse_attention import NOWHERE, Columns, Interval, sparse_attention
from seqmodels.mixers.attention import Attention, Seen
from seqmodels.mixers.base import Form
from seqmodels.mixers.bounds import Segment, indices, segment_bounds
from seqmodels.mixers.sliding_window import without_padding
from seqmodels.notation import Activations, Flags, State
from seqmodels.part import Part


class Sparse(Attention):
  """The strided pattern of Child et al. (2019), the union of its two head sets in every head.

  A query sees the last `stride` positions of its document, its own included, and every earlier position j for which
  (j + 1) mod stride = 0, a column. Bidirectional: the positions fewer than `stride` away, and all columns.

  The state has min(stride, max_length) slots for the last positions and max_length / stride for the last columns: exact
  up to max_length tokens, after that those windows. Segments may be of any length; padding does not count.
  """

  @dataclass(frozen=True)
  class Options(Attention.Options):
    """The options of attention, and the stride.

    stride  about √length makes the cost O(t · √t)
    """

    stride: int = 64

    def __post_init__(self) -> None:
      super().__post_init__()
      check_positive(**{'mixer.stride': self.stride})

  positions: ClassVar[tuple[str, ...]] = ('rotary', 'relative', 't5', 'alibi')

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.stride = self.options.stride
    self.padding_last = True

  def state_spec(self, batch: int, max_length: int) -> dict[str, Any]:
    near = super().state_spec(batch, min(self.stride, max_length))
    columns = super().state_spec(batch, max(1, max_length // self.stride))
    return near | {'column_k': columns['k'], 'column_v': columns['v']}

  def pairs(self, length: int, memory: int = 0) -> tuple[float, float, int]:
    keys, (behind, ahead) = super().pairs(length, memory)[0], self._in_window(length, memory)
    met, distances = float(np.mean(behind + ahead)), int(np.max(behind) + np.max(ahead))
    if self.relative is None:
      return keys, met, distances
    # Those of the columns are looked up in a list of all that differ, which serves the window too where one decodes.
    reach = min(self.relative.reach, max(length, memory))
    listed = (reach if self.causal else 2 * reach) + 1
    return keys, listed if length == 1 else met + listed, distances

  def sees(self, length: int, memory: int = 0) -> Seen:
    """Return the size of the window, and of what lies beyond it every stride-th position."""
    (behind, _), window = super().sees(length, memory), self._in_window(length, memory)
    columns = (behind - window[0]) // self.stride
    if self.causal:
      return window[0] + columns, window[1]
    return window[0] + columns, window[1] + np.maximum(length // self.stride - (behind - 1) // self.stride - 1, 0)

  def _in_window(self, length: int, memory: int) -> Seen:
    behind, ahead = super().sees(length, memory)
    return np.minimum(behind, self.stride), np.minimum(ahead, self.stride - 1)

  def _mix(
    self, x: Activations, state: State | None, documents: Documents, part: Part | None
  ) -> tuple[Activations, State | None]:
    segment = self._locate(x, state, documents, part)
    q, k, v = self._project(x, segment)
    if state is None:
      return self._join(self._within(q, k, v, segment)), None
    if k.shape[1] == 1:
      out, state = self._decode(q, k, v, state, segment)
      return self._join(out), state
    return self._join(self._behind(q, k, v, state, segment)), self._write(state, k, v, segment)

  def _within(self, q: jax.Array, k: jax.Array, v: jax.Array, segment: Segment) -> jax.Array:
    """Attend to the segment alone."""
    length = k.shape[1]
    index = indices(*segment.where.shape)
    document = index - segment.where, index
    if not self.causal:
      bounds = segment_bounds(segment.documents, *index.shape, causal=False)
      document = jnp.zeros_like(index), jnp.full_like(index, length - 1)
      if bounds is not None:
        document = without_padding(bounds)
    keys, values = (jnp.pad(a, ((0, 0), (self.stride, 0), (0, 0), (0, 0))) for a in (k, v))
    columns = self._columns(k, v, segment)
    return self._attend(q, keys, values, columns, document, document, segment, window=self.stride, farthest=length)

  def _behind(self, q: jax.Array, k: jax.Array, v: jax.Array, state: State, segment: Segment) -> jax.Array:
    """Attend to the state and to the segment."""
    start, slots, cached = state['end'], state['k'].slots, state['column_k'].slots
    index = indices(*segment.where.shape)
    document = index - segment.where, index
    near = [cache.in_order(state[name], start).swapaxes(1, 2) for name in 'kv']
    keys, values = (jnp.concatenate(pair, axis=1) for pair in zip(near, (k, v), strict=True))
    columns = join_columns(self._cached_columns(state), self._columns(k, v, segment))
    # The last columns only, those in the window included: what the cache would hold had every token come alone.
    oldest = jnp.maximum(0, ((segment.where + 1) // self.stride - cached) * self.stride)
    far = document[0] + oldest, index
    farthest = k.shape[1] + (cached + 1) * self.stride
    return self._attend(q, keys, values, columns, document, far, segment, window=slots, farthest=farthest)

  def _attend(
    self,
    q: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    columns: Columns,
    document: Interval,
    far: Interval,
    segment: Segment,
    *,
    window: int,
    farthest: int,
  ) -> jax.Array:
    """Attend to keys from `window` tokens before the segment on, and to columns; all on the scale of its indices."""

    def here(interval: Interval) -> Interval:
      lower, upper = segment.own(interval)
      return lower - segment.first, upper - segment.first

    keys, values = segment.around((keys, values), window, 0 if self.causal else window)
    return sparse_attention(
      q,
      keys,
      values,
      columns._replace(position=columns.position - segment.first),
      here(document),
      here(far),
      window=window,
      farthest=farthest,
      block=q.shape[1] if self.kernels == 'reference' else 0,
      ahead=not self.causal,
      relative=self.relative,
    )

  def _is_column(self, where: Int[Array, 'b t']) -> Flags:
    return (where + 1) % self.stride == 0

  def _columns(self, k: jax.Array, v: jax.Array, segment: Segment) -> Columns:
    """Return the columns of a segment."""
    (batch, length), mask = segment.where.shape, segment.documents.mask
    count = -(-length // self.stride)
    column = self._is_column(segment.where) if mask is None else self._is_column(segment.where) & mask
    rank = jnp.where(column, jnp.cumsum(column.astype(jnp.int32), axis=1) - 1, count)
    nowhere = jnp.full((batch, count), NOWHERE, jnp.int32)
    place = nowhere.at[jnp.arange(batch)[:, None], rank].set(indices(batch, length), mode='drop')
    take = lambda a: jnp.take_along_axis(a, jnp.maximum(place, 0)[:, :, None, None], axis=1)
    return Columns(take(k), take(v), place)

  def _cached_columns(self, state: State) -> Columns:
    """Return the columns of a state, on a scale on which the next token stands at 0."""
    k, v = (state[name].joined().swapaxes(1, 2) for name in ('column_k', 'column_v'))
    return Columns(k, v, self._places(state['end'], k.shape[1]))

  def _places(self, end: Int[Array, ' b'], slots: int) -> Int[Array, 'b c']:
    """Return where the columns in a cache stand, the next token being at 0."""
    number = cache.in_slots(end // self.stride, slots)
    return jnp.where(number < 0, NOWHERE, (number + 1) * self.stride - 1 - end[:, None])

  def _write(self, state: State, k: jax.Array, v: jax.Array, segment: Segment) -> State:
    where, end, documents = segment.where, segment.end, segment.documents
    slots = state['column_k'].slots
    number = (where + 1) // self.stride - 1
    recent = number >= end[:, None] // self.stride - slots
    kept = documents.in_last(*where.shape)
    slot = jnp.where(kept & self._is_column(where) & recent, number % slots, slots)
    return super()._write(state, k, v, segment) | {
      'column_k': state['column_k'].put(k, slot),
      'column_v': state['column_v'].put(v, slot),
    }

  def _decode(
    self, q: Float[Array, 'b 1 h k'], k: jax.Array, v: jax.Array, state: State, segment: Segment
  ) -> tuple[Float[Array, 'b h k'], State]:
    state = self._write(state, k, v, segment)
    return self._read(q, state), state

  def _read(self, q: Float[Array, 'b 1 h k'], state: State) -> Float[Array, 'b h k']:
    """Attend with one query to the filled slots of both caches."""
    end, slots, columns = state['end'], state['k'].slots, state['column_k'].slots

    def over(prefix: int) -> jax.Array:
      near, far = cache.reach(prefix, slots), cache.reach(prefix // self.stride, columns)
      held, column = cache.in_slots(end, slots)[:, :near] - end[:, None], self._places(end, columns)[:, :far]
      visible = held >= -end[:, None], (column > NOWHERE) & (column < -slots)
      added: tuple[jax.Array | None, jax.Array | None] = None, None
      if self.relative is not None:
        distance = -1 - jnp.concatenate([held, column], axis=1)
        both = by_distance.scores_at(self.relative, q, distance[:, None], (far + 1) * self.stride)[:, :, 0]
        added = both[:, :, :near], both[:, :, near:]
      blocks = lambda name, count: state[name].first(count).blocks
      parts = [kernel.Slots(blocks('k', near), blocks('v', near), visible[0], added[0])]
      if prefix >= self.stride:
        parts.append(kernel.Slots(blocks('column_k', far), blocks('column_v', far), visible[1], added[1]))
      return kernel.over_slots(q[:, 0], parts)

    # With this many tokens both caches are full.
    reach = max(slots, columns * self.stride)
    return cache.read_filled(over, jnp.zeros_like(q[:, 0]), end, reach, self.decode)


def join_columns(first: Columns, second: Columns) -> Columns:
  return Columns(*(jnp.concatenate([a, b], axis=1) for a, b in zip(first, second, strict=True)))
