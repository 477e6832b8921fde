"""Softmax attention as a mixer. Its state is a ring buffer of the last `max_length` keys and values."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from seqmodels import positions
from seqmodels.context import BATCH, Context, Documents, StateSpec
from seqmodels.errors import InputError, unknown
from seqmodels.kernels import attention as kernel
from seqmodels.kernels import cache
from seqmodels.kernels import relative as by_distance
from seqmodels.layers import Dense
from seqmodels.layers.dense import lecun_normal
from seqmodels.layers.heads import resolve_heads
from seqmodels.mixers.base import DETERMINISTIC, Form, Mixer
from seqmodels.mixers.bounds import Segment, cached_bounds
from seqmodels.mixers.distances import BY_DISTANCE
from seqmodels.notation import Activations, State
from seqmodels.part import Part

Seen = tuple[Int[np.ndarray, ' t'], Int[np.ndarray, ' t']]


class Attention(Mixer):
  """Multi-head (Vaswani et al. 2017) or grouped-query (Ainslie et al. 2023) attention, without biases.

  The state holds the keys and values of the current document, position p in slot p mod max_length, and `end`, the
  number of the document's tokens so far. A query sees the last max_length positions, its own included.
  """

  @dataclass(frozen=True)
  class Options:
    """The options of attention.

    heads     0: chosen from the width (`layers.heads.choose_heads`)
    kv_heads  key/value heads, which divide the heads; 0: as many as heads; 1: multi-query (Shazeer 2019)
    position  `rotary` rotates queries and keys (Su et al. 2021); `relative`, `t5`, `alibi` and `transformer_xl` add to
              the scores by distance (`distances.py`); every other encoding is added to the model's input
    decode    one token reads the filled `prefix` of the cache, rounded up to a power of two (kernels=cpu: not rounded),
              or the `full` cache
    """

    heads: int = 0
    kv_heads: int = 0
    position: str = 'none'
    decode: str = 'prefix'

    def __post_init__(self) -> None:
      if self.decode not in cache.DECODE:
        raise unknown('mixer.decode', self.decode, cache.DECODE)

  can_be_split: ClassVar[bool] = True
  positions: ClassVar[tuple[str, ...]] = ('rotary', *BY_DISTANCE)

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.decode, self.position = self.options.decode, self.options.position
    self.heads, self.kv_heads = resolve_heads(form.width, self.options.heads, self.options.kv_heads)
    self.head_dim = form.width // self.heads
    allowed = ('none', *positions.ADDITIVE, *self.positions)
    if self.position not in allowed:
      raise unknown('model.position', self.position, allowed)
    if self.position == 'rotary' and self.head_dim % 2:
      sizes = f'width={form.width} with heads={self.heads} gives {self.head_dim}'
      raise InputError(f'position=rotary needs an even head_dim; {sizes}')
    self.padding_last = self.position in BY_DISTANCE  # moved there, so that distances are differences of indices
    embed, all_heads = {'embed': form.width}, {'heads': self.heads, 'head_dim': self.head_dim}
    kv_heads, kv_size = {'kv_heads': self.kv_heads, 'head_dim': self.head_dim}, self.kv_heads * self.head_dim
    joined = lecun_normal(rngs.params(), (form.width, form.width + 2 * kv_size))
    query, key, value = jnp.split(joined, [form.width, form.width + kv_size], axis=1)
    self.query = Dense(embed, all_heads, kernel=query, dtype=form.dtype)
    self.key = Dense(embed, kv_heads, kernel=key, dtype=form.dtype)
    self.value = Dense(embed, kv_heads, kernel=value, dtype=form.dtype)
    self.output = Dense(all_heads, embed, rngs=rngs, dtype=form.dtype)
    if self.position in BY_DISTANCE:
      self.distances = BY_DISTANCE[self.position](form.width, self.heads, rngs=rngs, ahead=not form.causal)

  def state_spec(self, batch: int, max_length: int) -> dict[str, Any]:
    slots = cache.spec(batch, self.kv_heads, max_length, self.head_dim, self.dtype)
    return {'k': slots, 'v': slots, 'end': StateSpec((batch,), (BATCH,), jnp.int32)}

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    return self.flops_of(length, *self.pairs(length, memory))

  def pairs(self, length: int, memory: int = 0) -> tuple[float, float, int]:
    """Return how many keys, and how many distances, a query meets on average, and the number of all distances."""
    behind, ahead = self.sees(length, memory)
    seen = float(np.mean(behind + ahead))
    return seen, seen, int(np.max(behind) + np.max(ahead))

  def sees(self, length: int, memory: int = 0) -> Seen:
    """Return how many positions each of `length` tokens sees, up to its own and ahead of it; see `mixing_flops`."""
    behind = np.full(length, memory) if memory else np.arange(1, length + 1)
    return behind, np.zeros_like(behind) if self.causal else length - behind

  def flops_of(self, length: int, keys: float, met: float, distances: int) -> float:
    """Return the FLOPs a token beyond two per weight.

    keys, met: how many keys and how many of the call's `distances` its query meets.
    """
    flops = 4.0 * self.width * keys  # q·k, and weights·v
    return flops if self.relative is None else flops + self.relative.flops(length, met, distances)

  @property
  def relative(self) -> by_distance.Relative | None:
    return self.distances if self.position in BY_DISTANCE else None

  def mix(self, x: Activations, state: State | None, context: Context) -> tuple[Activations, State | None]:
    part, documents = context.part, context.documents.whole()
    if documents.mask is None or not self.padding_last:
      return self._mix(x, state, documents, part)
    source, place, moved = _to_the_end(documents)
    own = moved.mask if part is None else part.own(moved.mask)
    x = Documents(mask=own).keep(_move(x, source, part))
    y, state = self._mix(x, state, moved.counted(), part)
    return _move(y, place, part), state

  def _mix(
    self, x: Activations, state: State | None, documents: Documents, part: Part | None
  ) -> tuple[Activations, State | None]:
    """See `mix`. documents: of all tokens, of which x may be a part."""
    segment = self._locate(x, state, documents, part)
    length = segment.where.shape[1]
    q, k, v = self._project(x, segment)
    if state is None:
      out = self._within(q, k, v, segment)
    elif length == 1:
      out, state = self._decode(q, k, v, state, segment)
    else:
      self.check_fits(length, state['k'].slots)
      out = self._after(q, k, v, state, segment)
      state = self._write(state, k, v, segment)
    return self._join(out), state

  def check_fits(self, length: int, slots: int) -> None:
    """Raise InputError for a segment that is longer than the cache."""
    if length > slots:
      raise InputError(f'a segment of {length} tokens does not fit a state made for max_length={slots}')

  def _locate(self, x: Activations, state: State | None, documents: Documents, part: Part | None) -> Segment:
    start = jnp.zeros((x.shape[0],), jnp.int32) if state is None else state['end']
    return Segment.of(start, x.shape[1], documents, part)

  def _project(self, x: Activations, segment: Segment) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the queries [b t h k] of x, and the keys [b s g k] and values [b s g k] of the whole segment."""
    # One product of joined kernels takes 1.2 times as long, forward and backward, and 2.8 times for one token (b16 t256
    # d256, CPU time of one core, JAX 0.10.2).
    q, k, v = self.query(x), self.key(x), self.value(x)
    if self.position == 'rotary':
      where = segment.own(segment.where)
      q, k = positions.rotary(q, where), positions.rotary(k, where)
    return q if self.relative is None else self.relative.content(q), *segment.gather((k, v), 'kv_heads')

  def attention_map(self, x: Activations, context: Context = DETERMINISTIC) -> Float[Array, 'b h t t']:
    documents = context.documents.counted()
    x, mask = documents.keep(x.astype(self.dtype)), documents.mask
    if mask is None:
      return self._map(x, documents)
    if self.padding_last:
      source, place, moved = _to_the_end(documents)
      found = self._map(moved.keep(_move(x, source, None)), moved.counted())
      found = jnp.take_along_axis(found, place[:, None, :, None], axis=2)
      found = jnp.take_along_axis(found, place[:, None, None, :], axis=3)
    else:
      found = self._map(x, documents)
    return jnp.where(mask[:, None, :, None] & mask[:, None, None, :], found, 0)

  def _map(self, x: Activations, documents: Documents) -> Float[Array, 'b h t t']:
    segment = self._locate(x, None, documents, None)
    q, k, _ = self._project(x, segment)
    return self._within(q, k, kernel.one_hot_values(k), segment).swapaxes(1, 2)

  def _join(self, out: jax.Array) -> Activations:
    """Return the heads [b t h k], or of one token [b h k], joined and projected."""
    return self.output(out.reshape(out.shape[0], -1, self.heads, self.head_dim))

  def _write(self, state: State, k: jax.Array, v: jax.Array, segment: Segment) -> State:
    """Return the state after a segment."""
    caches = {'k': state['k'], 'v': state['v']}
    written = cache.write(caches, {'k': k, 'v': v}, segment.where, segment.end, segment.documents)
    return state | written | {'end': segment.end}

  def _within(self, q: jax.Array, k: jax.Array, v: jax.Array, segment: Segment) -> jax.Array:
    """Attend to the segment alone."""
    return kernel.attention(
      q,
      k,
      v,
      causal=self.causal and segment.part is None,
      bounds=segment.bounds(causal=self.causal),
      relative=self.relative,
      offset=segment.first,
      kernels=self.kernels,
    )

  def _after(self, q: jax.Array, k: jax.Array, v: jax.Array, state: State, segment: Segment) -> jax.Array:
    """Attend to the cache and to the segment. An empty cache (a prompt's prefill) costs nothing."""
    slots, end = state['k'].slots, state['end']

    def with_cache() -> jax.Array:
      held = cache.in_slots(end, slots)
      cached = [state[name].joined() for name in 'kv']
      if self.relative is not None:
        cached, held = [cache.in_order(state[name], end) for name in 'kv'], cache.in_row(end, slots)
      keys, values = (jnp.concatenate([old.swapaxes(1, 2), a], axis=1) for old, a in zip(cached, (k, v), strict=True))
      lower, upper, position = cached_bounds(held, end, slots, k.shape[1], segment.documents)
      return kernel.attention(
        q,
        keys,
        values,
        causal=False,
        bounds=(*segment.own((lower, upper)), position),
        relative=self.relative,
        offset=slots + segment.first,
        kernels=self.kernels,
      )

    return jax.lax.cond(jnp.all(end == 0), lambda: self._within(q, k, v, segment), with_cache)

  def _decode(
    self, q: Float[Array, 'b 1 h k'], k: jax.Array, v: jax.Array, state: State, segment: Segment
  ) -> tuple[Float[Array, 'b h k'], State]:
    """Write one token and attend to the filled slots of the cache, its own among them."""
    if self.relative is None:
      mask = segment.documents.mask
      out, keys, values = cache.decode_attention(
        q[:, 0],
        (k[:, 0], v[:, 0]),
        state['k'],
        state['v'],
        segment.end,
        mask=None if mask is None else mask[:, 0],
        decode=self.decode,
        kernels=self.kernels,
      )
      return out, {'k': keys, 'v': values, 'end': segment.end}
    state = self._write(state, k, v, segment)
    return self._read(q, state), state

  def _read(self, q: Float[Array, 'b 1 h k'], state: State) -> Float[Array, 'b h k']:
    """Attend with one query to the filled slots of the cache."""
    k, v, end, slots = state['k'], state['v'], state['end'], state['k'].slots

    def over(prefix: int) -> jax.Array:
      visible = self._visible(q, end, slots, prefix)
      return kernel.over_slots(q[:, 0], [kernel.Slots(k.first(prefix).blocks, v.first(prefix).blocks, *visible)])

    return cache.read_filled(over, jnp.zeros_like(q[:, 0]), end, slots, self.decode)

  def _visible(
    self, q: Float[Array, 'b 1 h k'], end: Int[Array, ' b'], slots: int, prefix: int
  ) -> tuple[Bool[Array, 'b s'], Float[Array, 'b h s'] | None]:
    """Return which of the first `prefix` slots the newest token sees, and what is added to their scores."""
    held = cache.in_slots(end, slots)[:, :prefix]
    added = None
    if self.relative is not None:
      distance = (end[:, None] - 1 - held)[:, None]
      added = by_distance.scores_at(self.relative, q, distance, prefix - 1)[:, :, 0]
    return held >= 0, added


def _to_the_end(documents: Documents) -> tuple[Int[Array, 'b t'], Int[Array, 'b t'], Documents]:
  """Return where every token comes from if padding moves to the end, where it goes to, and the documents then."""
  assert documents.mask is not None
  source, place, mask = positions.compact(documents.mask)
  reset = None if documents.reset is None else jnp.take_along_axis(documents.reset, source, axis=1)
  return source, place, Documents(reset, mask)


def _move(x: Activations, index: Int[Array, 'b s'], part: Part | None) -> Activations:
  """Return x[index] along time; of a part, its own of all tokens that are moved."""
  if part is not None:
    x, index = part.gather(x), part.own(index)
  return jnp.take_along_axis(x, index[..., None], axis=1)
