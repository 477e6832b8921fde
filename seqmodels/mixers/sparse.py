"""Strided sparse attention. Its state is a ring of the last keys and values, and another of the columns'."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from seqmodels import positions
from seqmodels.errors import check_positive
from seqmodels.kernels import attention as kernel
from seqmodels.kernels import cache as ring
from seqmodels.kernels import relative as by_distance
from seqmodels.kernels.sparse_attention import NOWHERE, Columns, sparse_attention
from seqmodels.mixers.attention import Attention, Seen
from seqmodels.notation import Activations, Flags, State


class Sparse(Attention):
  """The strided pattern of Child et al. (2019), the union of its two head sets in every head.

  A query sees the last `stride` positions of its document, its own included, and every earlier position j for which
  (j + 1) mod stride = 0, a column. Bidirectional: the positions fewer than `stride` away, and all columns.

  stride          about √length makes the cost O(t · √t)
  implementation  `reference` (one block) or else a loop over blocks of queries
  decode          as for `Attention`, of both rings

  The state has min(stride, max_length) slots for the last positions and max_length / stride for the last columns: exact
  up to max_length tokens, after that those windows. Segments may be of any length; padding does not count.
  """

  implementations = ('auto', 'reference')
  positions = ('rotary', 'relative', 't5', 'alibi')

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    heads: int = 0,
    kv_heads: int = 0,
    position: str = 'none',
    stride: int = 64,
    implementation: str = 'auto',
    decode: str = 'prefix',
  ):
    check_positive(**{'mixer.stride': stride})
    how: dict[str, Any] = {'rngs': rngs, 'causal': causal, 'dtype': dtype, 'heads': heads, 'kv_heads': kv_heads}
    super().__init__(width, position=position, implementation=implementation, decode=decode, **how)
    self.stride = stride
    self.padding_last = True

  def init_state(self, batch: int, max_length: int) -> State:
    near = super().init_state(batch, min(self.stride, max_length))
    columns = super().init_state(batch, max(1, max_length // self.stride))
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
    """The window, and of what lies beyond it every stride-th position."""
    (behind, _), window = super().sees(length, memory), self._in_window(length, memory)
    columns = (behind - window[0]) // self.stride
    if self.causal:
      return window[0] + columns, window[1]
    return window[0] + columns, window[1] + np.maximum(length // self.stride - (behind - 1) // self.stride - 1, 0)

  def _in_window(self, length: int, memory: int) -> Seen:
    behind, ahead = super().sees(length, memory)
    return np.minimum(behind, self.stride), np.minimum(ahead, self.stride - 1)

  def _mix(
    self, x: Activations, state: State | None, reset: Flags | None, mask: Flags | None
  ) -> tuple[Activations, State | None]:
    batch, length = x.shape[:2]
    start = jnp.zeros((batch,), jnp.int32) if state is None else state['end']
    where, end = positions.advance(start, length, reset, mask)
    q, k, v = self._project(x, where)
    after = None if state is None else self._write(state, k, v, where, end, reset, mask)
    if after is not None and length == 1:
      return self._join(self._decode(q, after)), after
    index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], where.shape)
    document = index - where, index
    if not self.causal:
      bounds = self._segment_bounds(reset, mask, batch, length)
      document = jnp.zeros_like(index), jnp.full_like(index, length - 1)
      if bounds is not None:
        document = bounds[0], jnp.minimum(bounds[1], bounds[2].max(axis=1, keepdims=True))
    columns = self._columns(k, v, where, index, mask)
    window, far, farthest = self.stride, document, length
    if state is None:
      keys, values = (jnp.pad(a, ((0, 0), (window, 0), (0, 0), (0, 0))) for a in (k, v))
    else:
      window, remembered = state['k'].slots, state['column_k'].slots
      near = [ring.in_order(state[name], start).swapaxes(1, 2) for name in 'kv']
      keys, values = (jnp.concatenate(pair, axis=1) for pair in zip(near, (k, v), strict=True))
      columns = _join_columns(self._remembered(state, start), columns)
      # The last columns only, those in the window included: what the ring would hold had every token come alone.
      oldest = jnp.maximum(0, ((where + 1) // self.stride - remembered) * self.stride)
      far = document[0] + oldest, index
      farthest = length + (remembered + 1) * self.stride
    how: dict[str, Any] = {
      'window': window,
      'farthest': farthest,
      'backend': self.implementation,
      'ahead': not self.causal,
    }
    out = sparse_attention(q, keys, values, columns, document, far, relative=self.relative, **how)
    return self._join(out), after

  def _is_column(self, where: Int[Array, 'b t']) -> Flags:
    return (where + 1) % self.stride == 0

  def _columns(
    self, k: jax.Array, v: jax.Array, where: Int[Array, 'b t'], index: Int[Array, 'b t'], mask: Flags | None
  ) -> Columns:
    """The segment's own columns."""
    batch, length = where.shape
    count = -(-length // self.stride)
    column = self._is_column(where) if mask is None else self._is_column(where) & mask
    rank = jnp.where(column, jnp.cumsum(column.astype(jnp.int32), axis=1) - 1, count)
    nowhere = jnp.full((batch, count), NOWHERE, jnp.int32)
    place = nowhere.at[jnp.arange(batch)[:, None], rank].set(index, mode='drop')
    take = lambda a: jnp.take_along_axis(a, jnp.maximum(place, 0)[:, :, None, None], axis=1)
    return Columns(take(k), take(v), place)

  def _remembered(self, state: State, end: Int[Array, 'b']) -> Columns:
    """The columns of a state, on a scale on which the next token stands at 0."""
    k, v = (state[name].joined().swapaxes(1, 2) for name in ('column_k', 'column_v'))
    return Columns(k, v, self._places(end, k.shape[1]))

  def _places(self, end: Int[Array, 'b'], slots: int) -> Int[Array, 'b c']:
    """Where the columns in a ring stand, the next token being at 0."""
    number = ring.in_slots(end // self.stride, slots)
    return jnp.where(number < 0, NOWHERE, (number + 1) * self.stride - 1 - end[:, None])

  def _write(
    self,
    state: State,
    k: jax.Array,
    v: jax.Array,
    where: Int[Array, 'b t'],
    end: Int[Array, 'b'],
    reset: Flags | None,
    mask: Flags | None,
  ) -> State:
    slots = state['column_k'].slots
    number = (where + 1) // self.stride - 1
    recent = number >= end[:, None] // self.stride - slots
    slot = jnp.where(ring.kept(where.shape, reset, mask) & self._is_column(where) & recent, number % slots, slots)
    return super()._write(state, k, v, where, end, reset, mask) | {
      'column_k': state['column_k'].put(k, slot),
      'column_v': state['column_v'].put(v, slot),
    }

  def _decode(self, q: Float[Array, 'b 1 h k'], state: State) -> jax.Array:
    """One query over the filled slots of both rings, its own token among them: [b h v]."""
    end, slots, columns = state['end'], state['k'].slots, state['column_k'].slots

    def over(prefix: int) -> jax.Array:
      near, far = ring.reach(prefix, slots), ring.reach(prefix // self.stride, columns)
      held, column = ring.in_slots(end, slots)[:, :near] - end[:, None], self._places(end, columns)[:, :far]
      visible = held >= -end[:, None], (column > NOWHERE) & (column < -slots)
      added: tuple[jax.Array | None, jax.Array | None] = None, None
      if self.relative is not None:
        distance = -1 - jnp.concatenate([held, column], axis=1)
        both = by_distance.scores_at(self.relative, q, distance[:, None], (far + 1) * self.stride)[:, :, 0]
        added = both[:, :, :near], both[:, :, near:]
      held_k, held_v, column_k, column_v = (
        state[name].first(count).blocks
        for name, count in (('k', near), ('v', near), ('column_k', far), ('column_v', far))
      )
      parts = [kernel.Slots(held_k, held_v, visible[0], added[0])]
      if prefix >= self.stride:
        parts.append(kernel.Slots(column_k, column_v, visible[1], added[1]))
      return kernel.over_slots(q[:, 0], parts)

    # With this many tokens both rings are full.
    reach = max(slots, columns * self.stride)
    return ring.read_filled(over, jnp.zeros_like(q[:, 0]), end, reach, self.decode)


def _join_columns(first: Columns, second: Columns) -> Columns:
  return Columns(*(jnp.concatenate([a, b], axis=1) for a, b in zip(first, second, strict=True)))
