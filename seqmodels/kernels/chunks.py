"""Cutting time into chunks, and what documents and padding mean inside one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from seqmodels.context import Documents
from seqmodels.errors import InputError
from seqmodels.kernels.dispatch import ByPlatform
from seqmodels.notation import Flags

# Tokens. On a Zen 4, forward and backward in chunks of 64 take 1.3 (decay a head), 1.7 (gated) and 1.7 (delta rule) of
# the time in chunks of 32; an accelerator has half as many steps.
CHUNK_ON_CPU, CHUNK = 32, 64
NOTHING = -1e30  # the log of no weight; finite, so that differences of two of them are zero


class ChunkMasks(NamedTuple):
  """The keys that the tokens of one chunk see; the last row of `keys` is also that of the next state.

  keys   [b 1 c c] or [1 1 c c]  the keys that each query sees: those up to its own, of its document
  state  [b 1 c]                 the incoming state is of the query's document; None: always
  """

  keys: Bool[Array, 'b 1 c c']
  state: Bool[Array, 'b 1 c'] | None


class Level(NamedTuple):
  """One of the log₂ c ways to halve blocks of a chunk: the pairs between the halves, and the log decay between them.

  pairs  [c c]      the query is in the second half of a block, the key in the first
  past   [b h c k]  decay from the start of the token's own half, the token included: for queries
  rest   [b h c k]  decay from after the token to the end of its own half: for keys
  """

  pairs: Bool[Array, 'c c']
  past: Float[Array, 'b h c k']
  rest: Float[Array, 'b h c k']


def choose(chunk: int, length: int, on: str = 'cpu') -> int:
  """Return the chunk's length: `chunk`, or 0 for what is fast, no longer than the power of two that holds `length`.

  Raises InputError on a chunk that is no power of two.
  """
  if chunk < 0 or chunk & (chunk - 1):
    raise InputError(f'mixer.chunk={chunk} must be 0 (chosen) or a power of two')
  chunk = chunk or (CHUNK_ON_CPU if on == 'cpu' else CHUNK)
  return min(chunk, 1 << (length - 1).bit_length())


def by_platform(chunk: int, length: int) -> ByPlatform:
  """Return `choose` for every platform."""
  return ByPlatform(choose(chunk, length, 'cpu'), choose(chunk, length, 'others'))


def split(a: jax.Array | None, size: int, fill: float = 0.0) -> jax.Array | None:
  """[b t h ...] → [n b h c ...]: chunks lead, heads before time; the end is filled up. None stays None."""
  if a is None:
    return None
  b, t, h, *rest = a.shape
  count = -(-t // size)
  a = jnp.pad(a, ((0, 0), (0, count * size - t)) + ((0, 0),) * (a.ndim - 2), constant_values=fill)
  return jnp.moveaxis(a.reshape(b, count, size, h, *rest), (1, 3), (0, 2))


def join(a: jax.Array, length: int) -> jax.Array:
  """[n b h c ...] → [b t h ...] of the first `length` positions."""
  n, b, h, c, *rest = a.shape
  return jnp.moveaxis(a, (0, 2), (1, 3)).reshape(b, n * c, h, *rest)[:, :length]


def segment_ids(reset: Flags | None, size: int) -> Int[Array, 'n b c'] | None:
  """Return each token's document, counted from the start of its chunk: 0 is the document of the chunk before."""
  if reset is None:
    return None
  begins = jnp.pad(reset, ((0, 0), (0, -reset.shape[1] % size))).reshape(reset.shape[0], -1, size)
  return jnp.cumsum(begins.swapaxes(0, 1).astype(jnp.int32), axis=-1)


def masks(ids: Int[Array, 'b c'] | None, size: int) -> ChunkMasks:
  """Return the masks of a chunk of `size` tokens. ids: `segment_ids` of one chunk."""
  causal = jnp.tril(jnp.ones((size, size), bool))[None, None]
  if ids is None:
    return ChunkMasks(causal, None)
  ids = ids[:, None]
  return ChunkMasks(causal & (ids[..., :, None] == ids[..., None, :]), ids == 0)


def levels(log_decay: Float[Array, 'b h c k']) -> tuple[list[Level], Float[Array, 'b h c k'], Float[Array, 'b h c k']]:
  """Every pair of different positions in exactly one level, and `past` and `rest` of the whole chunk.

  Sums of log decays are never subtracted from one another: a strong decay somewhere would take the digits of all
  others with it.
  """
  size = log_decay.shape[2]
  index = jnp.arange(size)
  past, rest, half, found = log_decay, jnp.zeros_like(log_decay), 1, []
  while half < size:
    row, column = index[:, None] // half, index[None, :] // half
    found.append(Level((row % 2 == 1) & (column == row - 1), past, rest))
    blocks = lambda a, half=half: a.reshape(*a.shape[:2], size // (2 * half), 2, half, a.shape[-1])
    (first, second), (first_rest, second_rest) = (jnp.split(blocks(a), 2, axis=3) for a in (past, rest))
    whole_first, whole_second = first[..., -1:, :], second[..., -1:, :]
    past = jnp.concatenate([first, second + whole_first], axis=3).reshape(log_decay.shape)
    rest = jnp.concatenate([first_rest + whole_second, second_rest], axis=3).reshape(log_decay.shape)
    half *= 2
  return found, past, rest


def between(log_decay: Float[Array, 'b h c']) -> tuple[Float[Array, 'b h c c'], Float[Array, 'b h c']]:
  """Return the log decay from each key to each query (infinite for later keys), and from before the chunk to each."""
  found, past, _ = levels(log_decay[..., None])
  spans = jnp.where(jnp.eye(log_decay.shape[-1], dtype=bool)[None, None], 0.0, -jnp.inf)
  for level in found:
    spans = jnp.where(level.pairs[None, None], level.past + level.rest.swapaxes(-1, -2), spans)
  return jnp.broadcast_to(spans, (*log_decay.shape, log_decay.shape[-1])), past[..., 0]


def decay_after(log_decay: Float[Array, 'b t *z']) -> Float[Array, 'b t *z']:
  """Return the log decay from each token to the last one, its own left out."""
  own_out = jnp.concatenate([log_decay[:, 1:], jnp.zeros_like(log_decay[:, :1])], axis=1)
  return jax.lax.cumsum(own_out, axis=1, reverse=True)


def decay_of_all(log_decay: Float[Array, 'b t *z'], documents: Documents) -> Float[Array, ' b *z']:
  """Return the log decay over all tokens: that of no weight where a document begins."""
  total = jnp.sum(log_decay, axis=1)
  return total if documents.reset is None else Documents(documents.reset.any(axis=1)).forget(total, NOTHING)


def where_seen(flags: jax.Array | None, values: jax.Array) -> jax.Array:
  """Return `values` where the flags are set, else zero; None: everywhere. Flags lack trailing axes that values have."""
  if flags is None:
    return values
  return jnp.where(flags.reshape(flags.shape + (1,) * (values.ndim - flags.ndim)), values, jnp.zeros_like(values))


def scan(step: Callable[..., Any], state: Any, inputs: Any) -> tuple[Any, Any]:
  """`lax.scan` over chunks, whose scores the backward pass computes again.

  On CPU, at chunks of 32, that is a tenth faster than to store them, and takes 40 to 65 % of the memory.
  """
  return jax.lax.scan(jax.checkpoint(step, prevent_cse=False), _at_run_time(state), inputs)


def _at_run_time(state: Any) -> Any:
  """Return the state as a value that the compiler cannot know.

  With a constant zero state, XLA on CPU (JAX 0.10.2) may read uninitialised memory in `A @ B + C @ zeros`.
  """
  return jax.lax.optimization_barrier(state)


def time_major(tree: Any) -> Any:
  return jax.tree.map(lambda a: a.swapaxes(0, 1), tree)
