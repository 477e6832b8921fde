"""The cache of attention, and one token of attention over it.

A cache is a ring buffer: it keeps the last s positions of a document, position p in slot p mod s. How many tokens the
document has so far is its `end`; until it exceeds s, slot p holds position p and nothing is lost.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from seqmodels.context import BATCH, CACHE, Documents, StateSpec
from seqmodels.errors import unknown
from seqmodels.kernels import attention, dispatch
from seqmodels.kernels.cpu import decode_attention as cpu
from seqmodels.kernels.dispatch import Form, Op

DECODE = ('prefix', 'full')
SMALLEST_BLOCK = 64

Names = tuple[str, str]
KEYS: Names = ('kv_heads', 'head_dim')


class Cache(NamedTuple):
  """The slots of a cache, in blocks that each double what stands before them: 64, 64, 128, 256 …, the last cut off.

  What is filled, rounded up to a power of two, is the first few blocks: a decoded token reads these where they are. A
  prefix of one array would be copied first, which takes several times as long as the attention to it (XLA on CPU).
  """

  blocks: tuple[Any, ...]  # arrays [b g _ k], or the specs of these

  @property
  def slots(self) -> int:
    return sum(block.shape[2] for block in self.blocks)

  def joined(self) -> Float[Array, 'b g s k']:
    return jnp.concatenate(self.blocks, axis=2)

  def first(self, slots: int) -> 'Cache':
    """Return the fewest blocks that hold the first `slots` slots."""
    return Cache(self.blocks[: 1 + prefixes(self.slots).index(reach(slots, self.slots))])

  def put(self, new: Float[Array, 'b t g k'], slot: Int[Array, 'b t']) -> 'Cache':
    """Return the cache with the new tokens in their slots; slots beyond its end are dropped."""
    # Mapped over the batch, so that it can be split over devices.
    put = jax.vmap(lambda block, new, place: block.at[:, place].set(new, mode='drop'))
    start, blocks = 0, []
    for block in self.blocks:
      size = block.shape[2]
      place = jnp.where(slot < start, size, slot - start)
      blocks.append(put(block, new.swapaxes(1, 2).astype(block.dtype), place))
      start += size
    return Cache(tuple(blocks))

  def lengthen(self, specs: 'Cache') -> 'Cache':
    """Return the cache with empty slots at its end, as many as the cache of `StateSpec`s has; never fewer."""
    blocks = list(self.blocks)
    for i, spec in enumerate(specs.blocks):
      if i == len(blocks):
        blocks.append(jax.lax.slice_in_dim(blocks[0], 0, 0, axis=spec.axis(CACHE)))
      blocks[i] = spec.lengthen(blocks[i])
    return Cache(tuple(blocks))


def is_cache(node: object) -> bool:
  return isinstance(node, Cache)


def prefixes(slots: int) -> list[int]:
  """Return where the blocks of a cache end: at powers of two, and at its own end."""
  shorter = [2**n for n in range(SMALLEST_BLOCK.bit_length() - 1, slots.bit_length()) if 2**n < slots]
  return [*shorter, slots]


def reach(filled: int, slots: int) -> int:
  """Return where the block ends that holds the last of `filled` slots of a cache."""
  return next(end for end in prefixes(slots) if end >= min(filled, slots))


def spec(batch: int, heads: int, slots: int, head_dim: int, dtype: DTypeLike, names: Names = KEYS) -> Cache:
  """Return the specs of a cache's blocks; names: of the axes of heads and of features."""
  axes = BATCH, names[0], CACHE, names[1]
  edges = itertools.pairwise([0, *prefixes(slots)])
  return Cache(tuple(StateSpec((batch, heads, stop - start, head_dim), axes, dtype) for start, stop in edges))


def in_slots(end: Int[Array, ' b'], slots: int) -> Int[Array, 'b s']:
  """Return the newest position kept in each slot of a cache; negative: not written yet."""
  last = end[:, None] - 1
  # One remainder a row: one a slot would take as long as the scores of a decoded token.
  back = last % slots - jnp.arange(slots, dtype=jnp.int32)[None, :]
  return last - jnp.where(back < 0, back + slots, back)


def in_row(end: Int[Array, ' b'], slots: int) -> Int[Array, 'b s']:
  """Return the positions of a cache put in order; negative: not written yet."""
  return end[:, None] - slots + jnp.arange(slots, dtype=jnp.int32)[None, :]


def in_order(cache: Cache, end: Int[Array, ' b']) -> Float[Array, 'b g s k']:
  """Return the slots in the order of their positions, the oldest first."""
  slot = in_row(end, cache.slots) % cache.slots
  return jnp.take_along_axis(cache.joined(), slot[:, None, :, None], axis=2)


def write(
  caches: Mapping[str, Cache],
  new: Mapping[str, Float[Array, 'b t g _']],
  where: Int[Array, 'b t'],
  end: Int[Array, ' b'],
  documents: Documents,
) -> dict[str, Cache]:
  """Return the caches with a segment's tokens at positions `where`: the newest of the last document, no padding."""
  slots = next(iter(caches.values())).slots
  slot = jnp.where(documents.in_last(*where.shape) & (where >= end[:, None] - slots), where % slots, slots)
  return {name: cache.put(new[name], slot) for name, cache in caches.items()}


def read_filled(
  read: Callable[[int], jax.Array], nothing: jax.Array, end: Int[Array, ' b'], slots: int, decode: str
) -> jax.Array:
  """Return read(n) for the first n slots, n being the filled ones rounded up to a power of two; `nothing` for none.

  decode: `prefix`, or `full` for all slots always.
  """
  lengths = prefixes(slots) if decode == 'prefix' else [slots]
  # The empty cache has a branch of its own so that there always is a conditional: without one, XLA on CPU copies
  # the whole cache at every step to suit the matmul.
  needed = jnp.searchsorted(jnp.array([0, *lengths]), jnp.minimum(end, slots).max())
  return jax.lax.switch(needed, [lambda: nothing, *(functools.partial(read, length) for length in lengths)])


Blocks = tuple[jax.Array, ...]


def decode_attention(
  q: Float[Array, 'b h k'],
  new: tuple[Float[Array, 'b g k'], Float[Array, 'b g v']],
  k: Cache,
  v: Cache,
  end: Int[Array, ' b'],
  *,
  mask: Bool[Array, ' b'] | None = None,
  decode: str = 'prefix',
  kernels: str = 'auto',
) -> tuple[Float[Array, 'b h v'], Cache, Cache]:
  """Write a token's key and value into the caches, and attend to the filled slots. Return the output and the caches.

  end     the tokens of each row so far, this one included
  mask    false: the row's token is padding, which is not written
  decode  `prefix`: read what is filled, rounded up to a power of two (cpu: not rounded); `full`: all slots
  """
  if decode not in DECODE:
    raise unknown('mixer.decode', decode, DECODE)
  q, *token = (Documents(mask=mask).keep(a) for a in (q, *new))
  flags = jnp.zeros((0,), bool) if mask is None else mask
  out, k_blocks, v_blocks = _decode(kernels, decode, q, tuple(token), k.blocks, v.blocks, end, flags)
  return out, Cache(k_blocks), Cache(v_blocks)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _decode(
  kernels: str, decode: str, q: jax.Array, new: Blocks, k: Blocks, v: Blocks, end: jax.Array, mask: jax.Array
) -> tuple[jax.Array, Blocks, Blocks]:
  return dispatch.run(DECODE_ATTENTION, kernels, (q, new, k, v, end, mask), decode=decode)


@_decode.defjvp
def _decode_jvp(kernels, decode, primals, tangents):
  """Differentiate as the form in JAX, in both modes."""
  *floats, end, mask = primals
  in_jax = lambda q, new, k, v: _in_jax(q, new, k, v, end, mask, decode=decode)
  return _decode(kernels, decode, *primals), jax.jvp(in_jax, tuple(floats), tuple(tangents[:4]))[1]


def _in_jax(
  q: jax.Array, new: Blocks, k: Blocks, v: Blocks, end: jax.Array, mask: jax.Array, *, decode: str
) -> tuple[jax.Array, Blocks, Blocks]:
  caches, slots = {'k': Cache(k), 'v': Cache(v)}, Cache(k).slots
  tokens = {name: a[:, None] for name, a in zip('kv', new, strict=True)}
  caches = write(caches, tokens, end[:, None] - 1, end, Documents(mask=mask[:, None] if mask.size else None))
  visible = in_slots(end, slots) >= 0

  def read(prefix: int) -> jax.Array:
    keys, values = (caches[name].first(prefix).blocks for name in 'kv')
    return attention.over_slots(q, [attention.Slots(keys, values, visible[:, :prefix])])

  out = read_filled(read, jnp.zeros((*q.shape[:2], v[0].shape[-1]), q.dtype), end, slots, decode)
  return out, caches['k'].blocks, caches['v'].blocks


def _over_all(
  q: jax.Array, new: Blocks, k: Blocks, v: Blocks, end: jax.Array, mask: jax.Array, *, decode: str
) -> tuple[jax.Array, Blocks, Blocks]:
  del decode
  return _in_jax(q, new, k, v, end, mask, decode='full')


DECODE_ATTENTION = Op(
  'decode_attention',
  (
    ('reference', Form(_over_all)),
    ('xla', Form(_in_jax)),
    ('cpu', Form(cpu.decode_attention, ('cpu',), cpu.covers, cpu.why_not)),
  ),
)
