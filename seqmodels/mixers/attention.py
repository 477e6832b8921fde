"""Softmax attention as a mixer. Its state is a ring of the last `max_length` keys and values."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from seqmodels import positions
from seqmodels.errors import InputError, unknown
from seqmodels.kernels import attention as kernel
from seqmodels.kernels import cache as ring
from seqmodels.kernels import projection
from seqmodels.kernels import relative as by_distance
from seqmodels.mixers.base import Mixer
from seqmodels.mixers.distances import BY_DISTANCE
from seqmodels.notation import Activations, Flags, State

Seen = tuple[Int[np.ndarray, 't'], Int[np.ndarray, 't']]


def choose_heads(width: int) -> int:
  """The largest head count whose key width is 32 to 64, even if that can be; else the one nearest to that range."""
  divisors = [h for h in range(1, width + 1) if width % h == 0]

  def badness(heads: int) -> tuple[bool, float, int]:
    key_width = width // heads
    distance = max(32 / key_width, key_width / 64, 1.0)
    return key_width % 2 == 1, distance, -heads

  return min(divisors, key=badness)


class Attention(Mixer):
  """Multi-head (Vaswani et al., 2017) or grouped-query (Ainslie et al., 2023) attention, without biases.

  heads           0: chosen from the width (`choose_heads`)
  kv_heads        key/value heads, which divide the heads; 0: as many as heads; 1: multi-query (Shazeer, 2019)
  position        `rotary` turns queries and keys (Su et al., 2021); `relative`, `t5`, `alibi` and `transformer_xl` add
                  to the scores by distance (`distances.py`); every other encoding is added outside
  implementation  `auto`, `materialised`, `blockwise`, `fused` or `native` (see `kernels/attention.py`)
  decode          one token reads the cache's filled `prefix`, rounded up to a power of two (native code: not rounded),
                  or the `full` cache

  The state holds the keys and values of the current document, position p in slot p mod max_length, and `end`, the
  number of the document's tokens so far. A query sees the last max_length positions, its own included.
  """

  implementations: tuple[str, ...] = ('auto', 'reference', 'xla', 'cpu')
  positions: tuple[str, ...] = ('rotary', *BY_DISTANCE)

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
    implementation: str = 'auto',
    decode: str = 'prefix',
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    heads = heads or choose_heads(width)
    kv_heads = kv_heads or heads
    if heads < 0 or width % heads:
      raise InputError(f'heads={heads} must divide width={width}')
    if kv_heads < 0 or heads % kv_heads:
      raise InputError(f'kv_heads={kv_heads} must divide heads={heads}')
    allowed = ('none', *positions.ADDITIVE, *self.positions)
    if position not in allowed:
      raise unknown('model.position', position, allowed)
    if position == 'rotary' and (width // heads) % 2:
      raise InputError(
        f'position=rotary needs an even key width; width={width} with heads={heads} gives {width // heads}'
      )
    self.check_implementation(implementation)
    if decode not in ring.DECODE:
      raise unknown('mixer.decode', decode, ring.DECODE)
    self.heads, self.kv_heads, self.key_width = heads, kv_heads, width // heads
    self.position, self.implementation, self.decode = position, implementation, decode
    self.padding_last = position in BY_DISTANCE  # moved there, so that distances are differences of indices
    weights = nnx.initializers.lecun_normal()
    self.qkv_kernel = nnx.Param(weights(rngs.params(), (width, (heads + 2 * kv_heads) * self.key_width), jnp.float32))
    self.output_kernel = nnx.Param(weights(rngs.params(), (width, width), jnp.float32))
    if position in BY_DISTANCE:
      self.distances = BY_DISTANCE[position](width, heads, rngs=rngs, ahead=not causal)

  def init_state(self, batch: int, max_length: int) -> State:
    slots = lambda: ring.empty(batch, self.kv_heads, max_length, self.key_width, self.dtype)
    return {'k': slots(), 'v': slots(), 'end': jnp.zeros((batch,), jnp.int32)}

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    return self.flops_of(length, *self.pairs(length, memory))

  def pairs(self, length: int, memory: int = 0) -> tuple[float, float, int]:
    """How many keys, and how many distances, a query meets in the mean, and how many distances all of them meet."""
    behind, ahead = self.sees(length, memory)
    seen = float(np.mean(behind + ahead))
    return seen, seen, int(np.max(behind) + np.max(ahead))

  def sees(self, length: int, memory: int = 0) -> Seen:
    """How many positions each of `length` tokens sees, up to its own and ahead of it; see `mixing_flops`."""
    behind = np.full(length, memory) if memory else np.arange(1, length + 1)
    return behind, np.zeros_like(behind) if self.causal else length - behind

  def flops_of(self, length: int, keys: float, met: float, distances: int) -> float:
    """FLOPs a token beyond two per weight, whose query meets `keys` keys, and `met` of the call's `distances`."""
    flops = 4.0 * self.width * keys  # q·k, and weights·v
    return flops if self.relative is None else flops + self.relative.flops(length, met, distances)

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: nnx.Rngs | None = None,
  ) -> tuple[Activations, State | None]:
    del rngs
    self.check_call(x, state)
    if reset is not None and mask is not None:
      reset = reset & mask
    if mask is None or not self.padding_last:
      return self._mix(x, state, reset, mask)
    source, place, mask = positions.compact(mask)
    x = jnp.where(mask[..., None], jnp.take_along_axis(x, source[..., None], axis=1), jnp.zeros((), x.dtype))
    if reset is not None:
      reset = jnp.take_along_axis(reset, source, axis=1) & mask
    y, state = self._mix(x, state, reset, mask)
    return jnp.take_along_axis(y, place[..., None], axis=1), state

  @property
  def relative(self) -> by_distance.Relative | None:
    return self.distances if self.position in BY_DISTANCE else None

  def _mix(
    self, x: Activations, state: State | None, reset: Flags | None, mask: Flags | None
  ) -> tuple[Activations, State | None]:
    batch, length = x.shape[:2]
    start = jnp.zeros((batch,), jnp.int32) if state is None else state['end']
    where, end = positions.advance(start, length, reset, mask)
    q, k, v = self._project(x, where)
    if state is None:
      out = self._within(q, k, v, self._segment_bounds(reset, mask, batch, length))
    elif length == 1 and self.relative is None and state.keys() == {'k', 'v', 'end'}:
      flags = None if mask is None else mask[:, 0]
      how: dict[str, Any] = {'mask': flags, 'decode': self.decode, 'backend': self.implementation}
      out, *rings = ring.decode_attention(q[:, 0], (k[:, 0], v[:, 0]), state['k'], state['v'], end, **how)
      state = {'k': rings[0], 'v': rings[1], 'end': end}
    elif length == 1:
      state = self._write(state, k, v, where, end, reset, mask)
      out = self._decode(q, state)
    else:
      self.check_fits(length, state['k'].slots)
      out = self._after(q, k, v, state, reset, mask)
      state = self._write(state, k, v, where, end, reset, mask)
    return self._join(out), state

  def check_fits(self, length: int, slots: int) -> None:
    """Raises InputError for a segment that a ring of so many slots cannot hold."""
    if length > slots:
      raise InputError(f'a segment of {length} tokens does not fit a state made for max_length={slots}')

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
    """The state after a segment."""
    held = {'k': state['k'], 'v': state['v']}
    return state | ring.write(held, {'k': k, 'v': v}, where, end, reset, mask) | {'end': end}

  def _join(self, out: jax.Array) -> Activations:
    """The heads [b t h k] joined and projected."""
    out = out.reshape(out.shape[0], -1, self.width)
    return projection.dot(out, self.output_kernel[...], self.dtype)

  def _project(self, x: Activations, where: Int[Array, 'b t']) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries [b t h k], keys [b t g k] and values [b t g k] of the tokens at positions `where`."""
    joined = projection.dot(x, self.qkv_kernel[...], self.dtype)
    joined = joined.reshape(*x.shape[:2], -1, self.key_width)
    if self.position == 'rotary':
      turned = positions.rotary(joined[:, :, : self.heads + self.kv_heads], where)
      q, k = turned[:, :, : self.heads], turned[:, :, self.heads :]
    else:
      q, k = joined[:, :, : self.heads], joined[:, :, self.heads : self.heads + self.kv_heads]
    if self.relative is not None:
      q = self.relative.content(q)
    return q, k, joined[:, :, self.heads + self.kv_heads :]

  def _segment_bounds(self, reset: Flags | None, mask: Flags | None, batch: int, length: int) -> kernel.Bounds | None:
    """Which tokens of one segment see each other: those of one document that are not padding."""
    if reset is None and mask is None:
      return None
    index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, :], (batch, length))
    lower, upper = jnp.zeros_like(index), index
    if not self.causal:
      upper = jnp.full_like(index, length - 1)
    if reset is not None:
      lower = jax.lax.cummax(jnp.where(reset, index, 0), axis=1)
      if not self.causal:
        starts_next = jnp.concatenate([reset[:, 1:], jnp.zeros((batch, 1), bool)], axis=1)
        upper = jax.lax.cummin(jnp.where(starts_next, index, length - 1), axis=1, reverse=True)
    return lower, upper, index if mask is None else jnp.where(mask, index, -1)

  def _within(self, q: jax.Array, k: jax.Array, v: jax.Array, bounds: kernel.Bounds | None) -> jax.Array:
    how: dict[str, Any] = {'relative': self.relative, 'backend': self.implementation}
    return kernel.attention(q, k, v, causal=self.causal, bounds=bounds, **how)

  def _after(
    self, q: jax.Array, k: jax.Array, v: jax.Array, state: State, reset: Flags | None, mask: Flags | None
  ) -> jax.Array:
    """Attends to what the state remembers and to the segment. An empty state (a prompt's prefill) costs nothing."""
    batch, length = q.shape[:2]
    bounds = self._segment_bounds(reset, mask, batch, length)
    slots = state['k'].slots

    def with_memory():
      end, held = state['end'], ring.in_slots(state['end'], slots)
      memory = [state[name].joined() for name in 'kv']
      if self.relative is not None:
        memory, held = [ring.in_order(state[name], end) for name in 'kv'], ring.in_row(end, slots)
      keys, values = (jnp.concatenate([old.swapaxes(1, 2), a], axis=1) for old, a in zip(memory, (k, v), strict=True))
      limits = memory_bounds(held, state['end'], slots, length, reset, mask)
      how: dict[str, Any] = {'relative': self.relative, 'offset': slots, 'backend': self.implementation}
      return kernel.attention(q, keys, values, causal=False, bounds=limits, **how)

    return jax.lax.cond(jnp.all(state['end'] == 0), lambda: self._within(q, k, v, bounds), with_memory)

  def _decode(self, q: Float[Array, 'b 1 h k'], state: State) -> jax.Array:
    """One query over the filled slots of the ring, its own token among them: [b h v]."""
    k, v, end, slots = state['k'], state['v'], state['end'], state['k'].slots

    def over(prefix: int) -> jax.Array:
      seen = self._seen(q, end, slots, prefix)
      return kernel.over_slots(q[:, 0], [kernel.Slots(k.first(prefix).blocks, v.first(prefix).blocks, *seen)])

    return ring.read_filled(over, jnp.zeros_like(q[:, 0]), end, slots, self.decode)

  def _seen(
    self, q: Float[Array, 'b 1 h k'], end: Int[Array, 'b'], slots: int, prefix: int
  ) -> tuple[Bool[Array, 'b s'], Float[Array, 'b h s'] | None]:
    """Which of the first `prefix` slots of a ring the newest token sees, and what is added to their scores."""
    held = ring.in_slots(end, slots)[:, :prefix]
    added = None
    if self.relative is not None:
      distance = (end[:, None] - 1 - held)[:, None]
      added = by_distance.scores_at(self.relative, q, distance, prefix - 1)[:, :, 0]
    return held >= 0, added


def memory_bounds(
  held: Int[Array, 'b m'], end: Int[Array, ' b'], slots: int, length: int, reset: Flags | None, mask: Flags | None
) -> kernel.Bounds:
  """Bounds of a segment's queries over [memory, segment], the memory's positions being `held`.

  Positions here go on from `end` through the whole segment, documents or not: a document that starts inside the segment
  is a lower bound, and so is the ring's length.
  """
  place, _ = positions.advance(end, length, None, mask)
  valid = jnp.ones(place.shape, bool) if mask is None else mask
  lower = jnp.maximum(place - slots + 1, 0)
  if reset is not None:
    lower = jnp.maximum(lower, jax.lax.cummax(jnp.where(reset, place, 0), axis=1))
  return lower, place, jnp.concatenate([held, jnp.where(valid, place, -1)], axis=1)
