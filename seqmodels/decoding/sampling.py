"""Sampling with a decoder: prefill the prompt in parallel, then one compiled loop on the device."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from seqmodels.errors import InputError
from seqmodels.models import Decoder, Model
from seqmodels.models.network import Source, SourceMask
from seqmodels.notation import Key, Params, State

# Tokens that a state has room for from the start. Each growth compiles the loop anew, which takes as long as thousands
# of tokens of a small model.
SMALLEST_ROOM = 1024


@dataclass(frozen=True)
class Sampling:
  """How the next token is drawn. temperature 0 is greedy; top_k 0 and top_p 1 keep every token.

  top_p: nucleus sampling (Holtzman et al. 2020). stop: a row that has drawn this id repeats it; generation ends when
  all rows have (-1: never).
  """

  temperature: float = 1.0
  top_k: int = 0
  top_p: float = 1.0
  stop: int = -1

  def __post_init__(self) -> None:
    if not self.temperature >= 0:
      raise InputError(f'temperature={self.temperature} must be 0 (greedy) or greater')
    if self.top_k < 0:
      raise InputError(f'top_k={self.top_k} must be 0 (off) or greater')
    if not 0 < self.top_p <= 1:
      raise InputError(f'top_p={self.top_p} must be in (0, 1]')


def sample(logits: Float[Array, 'b n'], key: Key, sampling: Sampling) -> Int[Array, ' b']:
  """Draw one token a row from the tempered, truncated distribution.

  top_k keeps exactly k tokens and top_p the shortest prefix of the ordered tokens whose mass reaches it, at least one;
  of equal logits the lower id comes first in the order.
  """
  if sampling.temperature == 0:
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)
  # Less the largest first: a quotient by a tiny temperature would overflow to infinity and equal logits out of it.
  logits = (logits - jnp.max(logits, axis=-1, keepdims=True)) / sampling.temperature
  if 0 < sampling.top_k < logits.shape[-1]:
    logits = jnp.where(_rank(logits) < sampling.top_k, logits, -jnp.inf)
  if sampling.top_p < 1:
    rank = _rank(logits)
    ordered = -jnp.sort(-logits, axis=-1)
    probability = jax.nn.softmax(ordered, axis=-1)
    inside = jnp.cumsum(probability, axis=-1) - probability < sampling.top_p
    count = jnp.maximum(jnp.sum(inside, axis=-1, keepdims=True), 1)
    logits = jnp.where(rank < count, logits, -jnp.inf)
  return jax.random.categorical(key, logits, axis=-1).astype(jnp.int32)


def _rank(logits: Float[Array, 'b n']) -> Int[Array, 'b n']:
  """Return the place of each token among those of its row, the likeliest first, of equal ones the lower id."""
  order = jnp.argsort(-logits, axis=-1, stable=True)
  return jnp.argsort(order, axis=-1)


def check_request(model: Model, prompt: int, length: int, source: Source | None) -> None:
  """Raise InputError unless `length` tokens can follow a prompt of `prompt` tokens (and a source)."""
  if model.spec.kind == 'encode':
    raise InputError('an encoder sees its whole input at once; it cannot go on from a prompt')
  if (model.spec.kind == 'seq2seq') != (source is not None):
    raise InputError(f'a source belongs to seq2seq models, and to no others; this one is {model.spec.kind}')
  if length <= 0:
    raise InputError(f'length={length} must be at least 1')
  if prompt == 0:
    raise InputError('the prompt is empty; give at least one token')
  if model.config.position == 'learned' and prompt + length > model.spec.length:
    raise InputError(
      f'prompt and length are {prompt + length} tokens, but model.position=learned has a table of {model.spec.length}'
    )


prefill = jax.jit(Decoder.prefill, static_argnames='max_length')
grow = jax.jit(Decoder.grow, static_argnames='max_length')


@partial(jax.jit, static_argnames=('sampling', 'steps'), donate_argnames=('state',))
def decode(
  decoder: Decoder,
  logits: Float[Array, 'b n'],
  state: State,
  done: Bool[Array, ' b'],
  key: Key,
  first: Int[Array, ''],
  *,
  sampling: Sampling,
  steps: int,
) -> tuple[Int[Array, 'b {steps}'], Float[Array, 'b n'], State, Bool[Array, ' b']]:
  """Draw up to `steps` tokens in one compiled loop.

  Token i of the whole generation uses fold_in(key, i), so that generating in chunks gives the same text as generating
  at once.
  """
  tokens = jnp.full((logits.shape[0], steps), max(sampling.stop, 0), jnp.int32)

  def go_on(carry: tuple) -> jax.Array:
    i, _, _, _, done = carry
    return (i < steps) & ~jnp.all(done)

  def step(carry: tuple) -> tuple:
    i, tokens, logits, state, done = carry
    token = sample(logits, jax.random.fold_in(key, first + i), sampling)
    if sampling.stop >= 0:
      token = jnp.where(done, sampling.stop, token)
      done = done | (token == sampling.stop)
    tokens = jax.lax.dynamic_update_slice_in_dim(tokens, token[:, None], i, axis=1)
    logits, state = decoder.step(token, state)
    return i + 1, tokens, logits, state, done

  _, tokens, logits, state, done = jax.lax.while_loop(go_on, step, (jnp.int32(0), tokens, logits, state, done))
  return tokens, logits, state, done


def generate(
  model: Model,
  params: Params,
  prompt: Int[Array, 'b t'],
  length: int,
  *,
  key: Key,
  sampling: Sampling = Sampling(),
  mask: Bool[Array, 'b t'] | None = None,
  source: Source | None = None,
  source_mask: SourceMask | None = None,
  chunk: int = 0,
) -> Iterator[Int[Array, 'b c']]:
  """Yield the continuation of each prompt in chunks of `chunk` tokens (0: all at once), `length` tokens in all.

  Prompts of different lengths are padded on the right, with `mask` false on the padding. A seq2seq model reads `source`
  first (its padding may stand anywhere), and its prompts begin with `spec.start`. In chunks, the state grows with the
  text, which changes nothing that is drawn.
  """
  before = prompt.shape[1]
  check_request(model, before, length, source)
  room = _room(before + min(chunk or length, length), before + length)
  decoder = model.decoder(params, length)
  logits, state = prefill(decoder, prompt, max_length=room, mask=mask, source=source, source_mask=source_mask)
  done = jnp.zeros((prompt.shape[0],), bool)
  made = 0
  while made < length and not (sampling.stop >= 0 and bool(done.all())):
    steps = min(chunk or length, length - made)
    if before + made + steps > room:
      room = _room(before + made + steps, before + length)
      state = grow(decoder, state, max_length=room)
    tokens, logits, state, done = decode(
      decoder, logits, state, done, key, jnp.int32(made), sampling=sampling, steps=steps
    )
    made += steps
    yield tokens


def _room(tokens: int, most: int) -> int:
  """Return `tokens` rounded up to a power of two, between SMALLEST_ROOM and `most`."""
  return min(most, max(SMALLEST_ROOM, 1 << (tokens - 1).bit_length()))
