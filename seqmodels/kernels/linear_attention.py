"""Linear attention with no decay or one decay a head: S_t = a_t S_{t-1} + i_t k_t v_tᵀ, y_t = q_t S_t.

The state is a dict of float32 arrays, and its entries say what is computed:

  s  [b h k v]  the sum of outer products
  n  [b h k]    the normaliser: the sum of keys, weighted alike
  m  [b h]      the stabiliser (Beck et al., 2024): the largest log weight so far. `s` and `n` are scaled by exp(-m), as
                are the outputs, so that weights exp(log_input) of any size neither overflow nor vanish

A reset forgets what was before a position. Padding changes no other output and no state, whatever stands there; matmuls
read `dtype` and accumulate in float32; log weights are float32. Nothing depends on m but the scale, so m takes no
gradient.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels import chunks, dispatch
from seqmodels.kernels.casts import rounded
from seqmodels.kernels.cpu import linear_attention as cpu
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.reference import linear_attention as reference
from seqmodels.kernels.reference.linear_attention import NOTHING
from seqmodels.kernels.xla import linear_attention as xla

LINEAR_ATTENTION = Op(
  'linear_attention',
  (
    ('reference', Form(reference.linear_attention)),
    ('xla', Form(xla.linear_attention)),
    ('cpu', Form(cpu.linear_attention, ('cpu',), cpu.covers, cpu.why_not)),
  ),
)

State = dict[str, jax.Array]


class Sums(NamedTuple):
  """Weighted sums over what each query sees: q·S, q·n where the state has a normaliser, m where it has a stabiliser."""

  y: Float[Array, 'b t h v']
  n: Any  # [b t h] or None
  m: Any  # [b t h] or None


def init_state(batch: int, heads: int, k: int, v: int, *, normalised: bool = False, stabilised: bool = False) -> State:
  """Return the state before the first token."""
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
  documents: Documents = ONE_DOCUMENT,
  chunk: int = 0,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Sums, State]:
  """Return the sums at every position, in float32, and the last state.

  q, k       one a head, or one that all heads share (g = 1)
  log_decay  log a ≤ 0; None: nothing is forgotten (Katharopoulos et al., 2020)
  log_input  log i, of any size; wanted exactly where the state has a stabiliser
  chunk      tokens at a time, a power of two; 0: chosen

  Raises InputError on a chunk that is no power of two, and as `dispatch.run`.
  """
  q, k, v, log_decay, log_input = _prepared(q, k, v, log_decay, log_input, documents, dtype)
  end = None
  if documents.part is not None:
    summary = _summary(k, v, state, log_decay, log_input, documents)
    state, end = documents.part.scan(_compose, state, summary, 'heads')
  arrays = q, k, v, state, log_decay, log_input, documents.without_padding().alone()
  y, n, m, state = dispatch.run(
    LINEAR_ATTENTION, _one_token(kernels, q), arrays, chunk=chunks.by_platform(chunk, q.shape[1])
  )
  return Sums(y, n, m), state if end is None else end


class Summary(NamedTuple):
  """Describe what a part of the tokens does to a state: it decays, and the sums of the part are added."""

  log_decay: Float[Array, 'b h']
  sums: State


def _summary(k: jax.Array, v: jax.Array, state: State, log_decay: Any, log_input: Any, documents: Documents) -> Summary:
  batch, length, heads = v.shape[:3]
  nothing = jnp.zeros((batch, length, heads), jnp.float32)
  log_decay, log_input = (nothing if a is None else a for a in (log_decay, log_input))
  # Padding has been cleared: it neither decays nor adds.
  seen = documents.without_padding().in_last(batch, length)[:, :, None]
  log_weight = jnp.where(seen, chunks.decay_after(log_decay) + log_input, NOTHING)
  decay = chunks.decay_of_all(log_decay, documents)
  sums, m = {}, jnp.zeros_like(decay)
  if 'm' in state:
    sums['m'] = m = jax.lax.stop_gradient(jnp.maximum(log_weight.max(axis=1), NOTHING))
  put = jnp.where(seen, jnp.exp(log_weight - m[:, None]), 0.0)[..., None]
  by_head = lambda a: a.swapaxes(1, 2)
  keys, values = by_head(k).swapaxes(-1, -2), by_head((put * v).astype(v.dtype))
  sums['s'] = jnp.matmul(keys, values, preferred_element_type=jnp.float32)
  if 'n' in state:
    sums['n'] = jnp.sum(put * k, axis=1)
  return Summary(decay, sums)


def _compose(state: State, summary: Summary) -> State:
  keep, sums = summary
  new, add = {}, jnp.zeros_like(keep)
  if 'm' in state:
    keep = keep + state['m']
    new['m'] = m = jax.lax.stop_gradient(jnp.maximum(keep, sums['m']))
    keep, add = keep - m, sums['m'] - m
  for name, rank in (('s', 4), ('n', 3)):
    if name in state:
      old, more = (jnp.expand_dims(jnp.exp(a), range(2, rank)) for a in (keep, add))
      new[name] = old * state[name] + more * sums[name]
  return new


def _prepared(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  log_decay: jax.Array | None,
  log_input: jax.Array | None,
  documents: Documents,
  dtype: DTypeLike,
) -> tuple[Any, ...]:
  """Return the arrays with padding cleared: numbers of any kind may stand there."""
  q, k, v = (documents.keep(a).astype(dtype) for a in (q, k, v))
  log_decay = None if log_decay is None else documents.keep(log_decay.astype(jnp.float32))
  log_input = None if log_input is None else documents.keep(log_input.astype(jnp.float32), NOTHING)
  return q, k, v, log_decay, log_input


def _one_token(kernels: str, q: jax.Array) -> str:
  """Return the backend; for one token the recurrence."""
  dispatch.check(kernels)
  return 'reference' if q.shape[1] == 1 else kernels


def is_chunked(kernels: str, length: int) -> bool:
  """Return whether so many tokens are read in chunks."""
  return kernels != 'reference' and length > 1


def flops(k: int, v: int, heads: int, length: int, *, chunk: int, kernels: str, key_heads: int | None = None) -> float:
  """Return the FLOPs a token of the sums over `length` tokens: see `Mixer.mixing_flops`. k, v: widths of a head."""
  recurrent = 4.0 * heads * k * v
  if not is_chunked(kernels, length):
    return recurrent
  pairs = (heads if key_heads is None else key_heads) * k + heads * v  # scores, and what they weigh
  return recurrent + 2.0 * chunks.choose(chunk, length) * pairs


def whole(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b t h k'],
  v: Float[Array, 'b t h v'],
  *,
  log_input: Float[Array, 'b t h'] | None = None,
  documents: Documents = ONE_DOCUMENT,
  chunk: int = 0,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> Sums:
  """Return the sums without decay over all of each query's document (bidirectional), always with their normaliser.

  With documents, or of a part, they are the sums up to each token and those from it on, less its own share, which is
  in both.
  """
  q, k, v, _, log_input = _prepared(q, k, v, None, log_input, documents, dtype)
  if documents.reset is None and documents.part is None:
    return _one_document(q, k, v, log_input)
  b, _, h, width = k.shape
  state = init_state(b, h, width, v.shape[-1], normalised=True, stabilised=log_input is not None)

  def run(documents, q, k, v, log_input):
    return linear_attention(
      q, k, v, state, log_input=log_input, documents=documents, chunk=chunk, kernels=kernels, dtype=dtype
    )[0]

  flip = lambda tree: jax.tree.map(lambda a: jnp.flip(a, 1), tree)
  documents, arrays = documents.without_padding(), (q, k, v, log_input)
  before, after = run(documents, *arrays), flip(run(documents.reversed(), *flip(arrays)))
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
  # With `bthv` as the result XLA on CPU (JAX 0.10.2) cannot run the bfloat16 product; see `casts.rounded`.
  y = jnp.einsum('bthk,bhkv->bhtv', q, rounded(s, q.dtype), preferred_element_type=jnp.float32).swapaxes(1, 2)
  return Sums(y, jnp.sum(q * keys.sum(1)[:, None], axis=-1), m)
