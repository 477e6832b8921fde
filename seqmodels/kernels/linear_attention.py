"""Linear attention with no decay or one decay a head: S_t = a_t S_{t-1} + i_t k_t v_tᵀ, y_t = q_t S_t.

`chunked`  a scan over chunks: a masked matmul inside each, the state between them (Hua et al., 2022; Sun et al., 2023).
`scan`     one token at a time: the ladder's lowest rung, and what decodes.
`native`   chunked, in C++ for one CPU device (`native/linear_attention.cc`); without decay and weights of inputs, and
           with keys of their own for every head.
`auto`     native where it is built and can be, else chunked.

The state is a dict of float32 arrays, and its entries say what is computed:

  s  [b h k v]  the sum of outer products
  n  [b h k]    the normaliser: the sum of keys, weighted alike
  m  [b h]      the stabiliser (Beck et al., 2024): the largest log weight so far. `s` and `n` are scaled by exp(-m), as
                are the outputs, so that weights exp(log_input) of any size neither overflow nor vanish

Rules: `reset` forgets what was before a position; masked positions change no other output and no state, bit for bit;
matmuls read `dtype` and accumulate in float32; log weights are float32. Nothing depends on m but the scale, so m takes
no gradient.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.errors import InputError, unknown
from seqmodels.kernels import chunks, native
from seqmodels.notation import Flags

IMPLEMENTATIONS = ('auto', *chunks.IMPLEMENTATIONS, 'native')
NOTHING = -1e30  # the log of no weight; finite, so that differences of two of them are zero

State = dict[str, jax.Array]


class Sums(NamedTuple):
  """Weighted sums over what each query sees: q·S, q·n where the state has a normaliser, m where it has a stabiliser."""

  y: Float[Array, 'b t h v']
  n: Any  # [b t h] or None
  m: Any  # [b t h] or None


def init_state(batch: int, heads: int, k: int, v: int, *, normalised: bool = False, stabilised: bool = False) -> State:
  """What is remembered before the first token."""
  state = {'s': jnp.zeros((batch, heads, k, v), jnp.float32)}
  if normalised:
    state['n'] = jnp.zeros((batch, heads, k), jnp.float32)
  if stabilised:
    state['m'] = jnp.full((batch, heads), NOTHING, jnp.float32)
  return state


def linear_attention(
  q: Float[Array, 'b t g k'],
  k: Float[Array, 'b t g k'],
  v: Float[Array, 'b t h v'],
  state: State,
  *,
  log_decay: Float[Array, 'b t h'] | None = None,
  log_input: Float[Array, 'b t h'] | None = None,
  reset: Flags | None = None,
  mask: Flags | None = None,
  chunk: int = 0,
  implementation: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Sums, State]:
  """The sums at every position, in float32, and the last state.

  q, k       one a head, or one that all heads share (g = 1)
  log_decay  log a ≤ 0; None: nothing is forgotten (Katharopoulos et al., 2020)
  log_input  log i, of any size; wanted exactly where the state has a stabiliser
  chunk      tokens at a time, a power of two; 0: chosen

  Raises InputError on a chunk that is no power of two, an unknown implementation, and `native` where it cannot be had.
  """
  length = q.shape[1]
  k = chunks.only(mask, k)
  log_decay = None if log_decay is None else chunks.only(mask, log_decay.astype(jnp.float32))
  if log_input is not None:
    log_input = log_input.astype(jnp.float32)
    log_input = log_input if mask is None else jnp.where(mask[:, :, None], log_input, NOTHING)
  q, k, v = (a.astype(dtype) for a in (q, k, v))
  logs_or_shared = log_decay is not None or log_input is not None or k.shape[2] != v.shape[2]
  implementation = _chosen(implementation, logs_or_shared, q, k, v)
  if implementation == 'native' and length > 1:
    return _in_one_call(q, k, v, state, reset, chunks.choose(chunk, length))
  if not is_chunked(implementation, length):
    state, sums = jax.lax.scan(_token, state, chunks.time_major((q, k, v, log_decay, log_input, reset)))
    return chunks.time_major(sums), state
  size = chunks.choose(chunk, length)
  parts = [chunks.split(a, size) for a in (q, k, v, log_decay)]
  inputs = (*parts, chunks.split(log_input, size, NOTHING), chunks.numbers(reset, size))
  state, sums = chunks.scan(_chunk, state, inputs)
  return jax.tree.map(lambda a: chunks.join(a, length), sums), state


def is_chunked(implementation: str, length: int) -> bool:
  """Whether so many tokens are read in chunks; `scan` alone is not. Raises InputError on an unknown implementation."""
  if implementation not in IMPLEMENTATIONS:
    raise unknown('mixer.implementation', implementation, IMPLEMENTATIONS)
  return implementation != 'scan' and length > 1


def _chosen(implementation: str, logs_or_shared: bool, *arrays: jax.Array) -> str:
  if implementation == 'native':
    native.check(*arrays)
    if logs_or_shared:
      raise InputError('mixer.implementation=native is for sums without decay, without weights and without shared keys')
  if implementation != 'auto':
    return implementation
  return 'native' if not logs_or_shared and native.suits(*arrays) else 'chunked'


def flops(
  k: int, v: int, heads: int, length: int, *, chunk: int, implementation: str, key_heads: int | None = None
) -> float:
  """FLOPs a token of the sums over `length` tokens: see `Mixer.mixing_flops`. k, v: widths of a head."""
  recurrent = 4.0 * heads * k * v
  if not is_chunked(implementation, length):
    return recurrent
  pairs = (heads if key_heads is None else key_heads) * k + heads * v  # scores, and what they weigh
  return recurrent + 2.0 * chunks.choose(chunk, length) * pairs


def _in_one_call(
  q: jax.Array, k: jax.Array, v: jax.Array, state: State, reset: Flags | None, size: int
) -> tuple[Sums, State]:
  nothing = jnp.zeros((0,), jnp.float32)
  flags = jnp.zeros((0,), bool) if reset is None else reset
  y, n, *ends = _native(q, k, v, state['s'], state.get('n', nothing), flags, size)
  end = dict(zip(('s', 'n'), ends, strict=True))
  return Sums(y, n if 'n' in state else None, None), {name: end[name] for name in state}


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def _native(
  q: jax.Array, k: jax.Array, v: jax.Array, s: jax.Array, n: jax.Array, reset: jax.Array, size: int
) -> tuple[jax.Array, ...]:
  """(y, sums, last s, last n); n and reset may be empty."""
  results = native.results(v.shape, v.shape[:3] if n.size else (0,), s.shape, n.shape)
  return tuple(native.call('linear_forward', results, q, k, v, s, n, reset, chunk=np.int64(size)))


def _native_forward(q, k, v, s, n, reset, size):
  return _native(q, k, v, s, n, reset, size), (q, k, v, s, n, reset)


def _native_backward(size, saved, gradients):
  results = native.results(*(a.shape for a in saved[:5]))
  return *native.call('linear_backward', results, *saved, *gradients, chunk=np.int64(size)), None


_native.defvjp(_native_forward, _native_backward)


def _token(state: State, now: Any) -> tuple[State, Sums]:
  """One step of the recurrence: q, k [b g k], v [b h v], logs [b h], reset [b]."""
  q, k, v, log_decay, log_input, reset = now
  q, k, v = (a.astype(jnp.float32) for a in (q, k, v))
  kept = None if reset is None else ~reset
  new, m = {}, None
  keep = jnp.float32(0.0) if log_decay is None else log_decay
  if log_input is not None:
    before = state['m'] if kept is None else jnp.where(kept[:, None], state['m'], NOTHING)
    new['m'] = m = jax.lax.stop_gradient(jnp.maximum(keep + before, log_input))
    keep, put = jnp.exp(keep + before - m), jnp.exp(log_input - m)
    k = k * put[:, :, None]
  else:
    keep = jnp.exp(keep)
  keep = chunks.only(kept, jnp.broadcast_to(keep, v.shape[:2]))
  new['s'] = keep[:, :, None, None] * state['s'] + k[..., None] * v[:, :, None]
  y = jnp.sum(q[..., None] * new['s'], axis=2)
  n = None
  if 'n' in state:
    new['n'] = keep[:, :, None] * state['n'] + k
    n = jnp.sum(q * new['n'], axis=-1)
  return new, Sums(y, n, m)


def _chunk(state: State, now: Any) -> tuple[State, Sums]:
  """One chunk: q, k [b g c k], v [b h c v], logs [b h c], document numbers [b c]."""
  q, k, v, log_decay, log_input, number = now
  sight = chunks.sight(number, q.shape[2])
  pairs, keep, m = _weights(state.get('m'), log_decay, log_input, sight)
  scores = jnp.matmul(q, k.swapaxes(-1, -2), preferred_element_type=jnp.float32) * pairs
  past = jnp.matmul(q, state['s'].astype(q.dtype), preferred_element_type=jnp.float32)
  y = jnp.matmul(scores.astype(v.dtype), v, preferred_element_type=jnp.float32) + keep[..., None] * past
  # The state after the last token is what that token sees.
  put, end = pairs[..., -1, :], keep[..., -1]
  weighted = (put[..., None] * v).astype(v.dtype)
  update = jnp.matmul(k.swapaxes(-1, -2), weighted, preferred_element_type=jnp.float32)
  new, n = {'s': end[..., None, None] * state['s'] + update}, None
  if 'n' in state:
    n = scores.sum(-1) + keep * jnp.sum(q * state['n'][:, :, None], axis=-1)
    new['n'] = end[..., None] * state['n'] + jnp.sum(put[..., None] * k, axis=2)
  if m is not None:
    new['m'] = m[..., -1]
  return new, Sums(y, n, m)


def _weights(
  before: jax.Array | None, log_decay: jax.Array | None, log_input: jax.Array | None, sight: chunks.Sight
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
  """Weights of pairs [b h c c] and of the incoming state at each token [b h c], scaled by the stabiliser [b h c].

  before: the stabiliser so far. Axes of length 1 stand where nothing depends on them.
  """
  size = sight.keys.shape[-1]
  if log_decay is None and log_input is None:
    return sight.keys.astype(jnp.float32), chunks.only(sight.state, jnp.ones((1, 1, size), jnp.float32)), None
  if log_decay is None:
    pairs, keep = jnp.zeros((1, 1, size, size)), jnp.zeros((1, 1, size))
  else:
    pairs, keep = chunks.between(log_decay)
  if log_input is not None and before is not None:
    pairs, keep = pairs + log_input[..., None, :], keep + before[..., None]
  # What is not seen is left out before the exponential, where its log weight may be large.
  pairs = jnp.where(sight.keys, pairs, -jnp.inf)
  keep = keep if sight.state is None else jnp.where(sight.state, keep, -jnp.inf)
  if before is None:
    return jnp.exp(pairs), jnp.exp(keep), None
  m = jax.lax.stop_gradient(jnp.maximum(pairs.max(-1), keep))
  return jnp.exp(pairs - m[..., None]), jnp.exp(keep - m), m


def whole(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b t h k'],
  v: Float[Array, 'b t h v'],
  *,
  log_input: Float[Array, 'b t h'] | None = None,
  reset: Flags | None = None,
  mask: Flags | None = None,
  chunk: int = 0,
  implementation: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> Sums:
  """The sums without decay over all of each query's document: the bidirectional form, always with its normaliser.

  With documents they are the sums up to each token and those from it on, less its own share, which is in both.
  """
  k = chunks.only(mask, k)
  q, k, v = (a.astype(dtype) for a in (q, k, v))
  if log_input is not None:
    log_input = log_input.astype(jnp.float32)
    log_input = log_input if mask is None else jnp.where(mask[:, :, None], log_input, NOTHING)
  if reset is None:
    return _one_document(q, k, v, log_input)
  b, _, h, width = k.shape
  state = init_state(b, h, width, v.shape[-1], normalised=True, stabilised=log_input is not None)

  def run(q, k, v, log_input, reset):
    how: dict[str, Any] = {'reset': reset, 'chunk': chunk, 'implementation': implementation, 'dtype': dtype}
    return linear_attention(q, k, v, state, log_input=log_input, **how)[0]

  flip = lambda tree: jax.tree.map(lambda a: jnp.flip(a, 1), tree)
  ends = jnp.roll(reset, -1, axis=1).at[:, -1].set(False)
  before, after = run(q, k, v, log_input, reset), flip(run(*flip((q, k, v, log_input, ends))))
  own = jnp.sum(q.astype(jnp.float32) * k.astype(jnp.float32), axis=-1)
  m, shares = None, (jnp.ones((1, 1, 1)), jnp.ones((1, 1, 1)))
  if log_input is not None:
    m = jnp.maximum(before.m, after.m)
    shares, own = (jnp.exp(before.m - m), jnp.exp(after.m - m)), own * jnp.exp(log_input - m)
  y = shares[0][..., None] * before.y + shares[1][..., None] * after.y - own[..., None] * v
  return Sums(y, shares[0] * before.n + shares[1] * after.n - own, m)


def _one_document(q: jax.Array, k: jax.Array, v: jax.Array, log_input: jax.Array | None) -> Sums:
  m, weighted, keys = None, v, k.astype(jnp.float32)
  if log_input is not None:
    m = jax.lax.stop_gradient(log_input.max(1, keepdims=True))
    put = jnp.exp(log_input - m)[..., None]
    weighted, keys, m = (put * v).astype(v.dtype), put * keys, jnp.broadcast_to(m, log_input.shape)
  s = jnp.einsum('bthk,bthv->bhkv', k, weighted, preferred_element_type=jnp.float32)
  y = jnp.einsum('bthk,bhkv->bthv', q, s.astype(q.dtype), preferred_element_type=jnp.float32)
  return Sums(y, jnp.sum(q * keys.sum(1)[:, None], axis=-1), m)
