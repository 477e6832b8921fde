"""Beam search with a decoder, in one compiled loop: beams are rows of the batch, states move with them."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from seqmodels.decoding.sampling import check_request, prefill
from seqmodels.errors import InputError, check_positive
from seqmodels.models import Decoder, Model
from seqmodels.models.network import Source, SourceMask
from seqmodels.notation import Params, State


def beam_search(
  model: Model,
  params: Params,
  prompt: Int[Array, 'b t'],
  length: int,
  *,
  beams: int,
  stop: int = -1,
  length_penalty: float = 0.0,
  mask: Bool[Array, 'b t'] | None = None,
  source: Source | None = None,
  source_mask: SourceMask | None = None,
) -> tuple[Int[Array, 'b w {length}'], Float[Array, 'b w']]:
  """Return the `beams` best continuations found of each prompt, best first, and their scores.

  A continuation ends at `stop` (-1: never) and repeats it from there. Its score is its log probability in nats over
  ((5 + tokens) / 6)^length_penalty (Wu et al. 2016, equation 14), so that a penalty above 0 favours longer ones; where
  nothing ends, all are of one length and it changes nothing. Continuations that have ended compete by their scores,
  those that go on by their log probabilities, and neither displaces the other. With one beam and no penalty this is
  greedy decoding. `source` is for seq2seq models, as in `generate`.
  """
  check_request(model, prompt.shape[1], length, source)
  check_positive(beams=beams)
  if not 0 <= length_penalty < math.inf:
    raise InputError(f'length_penalty={length_penalty} must be a finite number, 0 or greater')
  room = prompt.shape[1] + length
  decoder = model.decoder(params, length)
  logits, state = prefill(decoder, prompt, max_length=room, mask=mask, source=source, source_mask=source_mask)
  return _search(decoder, logits, state, length_penalty, length=length, beams=beams, stop=stop)


class Search(NamedTuple):
  """Going on: tokens, log probabilities, and what comes next. Ended: tokens and scores."""

  step: Int[Array, '']
  tokens: Int[Array, 'b w l']
  scores: Float[Array, 'b w']
  logits: Float[Array, 'r n']
  state: State
  ended: Int[Array, 'b w l']
  ended_scores: Float[Array, 'b w']


@partial(jax.jit, static_argnames=('length', 'beams', 'stop'))
def _search(
  decoder: Decoder,
  logits: Float[Array, 'b n'],
  state: State,
  penalty: float | Float[Array, ''],
  *,
  length: int,
  beams: int,
  stop: int,
) -> tuple[Int[Array, 'b w {length}'], Float[Array, 'b w']]:
  b, n = logits.shape
  wide = min(2, n) * beams  # each beam has one way to end, so that enough are left that go on

  def score(log_probability: jax.Array, tokens: int | jax.Array) -> jax.Array:
    return log_probability / ((5.0 + tokens) / 6.0) ** penalty

  def best(scores: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    scores, index = jax.lax.top_k(scores, beams)
    return scores, jnp.take_along_axis(tokens, index[:, :, None], axis=1)

  def go_on(now: Search) -> jax.Array:
    """While a beam may still do better than the worst that has ended: log probabilities only fall."""
    reachable = score(jnp.max(now.scores, axis=1), length)
    return (now.step < length) & jnp.any(reachable > jnp.min(now.ended_scores, axis=1))

  def step(now: Search) -> Search:
    steps = jax.nn.log_softmax(now.logits.reshape(b, beams, n), axis=-1)
    found, chosen = jax.lax.top_k((now.scores[:, :, None] + steps).reshape(b, beams * n), wide)
    parent, token = chosen // n, (chosen % n).astype(jnp.int32)
    tokens = jnp.take_along_axis(now.tokens, parent[:, :, None], axis=1).at[:, :, now.step].set(token)
    stops = token == stop
    ending = stops & (jnp.arange(wide) < beams)[None, :]  # only what is among the best so far
    pool = jnp.concatenate([now.ended_scores, jnp.where(ending, score(found, now.step + 1), -jnp.inf)], axis=1)
    ended_scores, ended = best(pool, jnp.concatenate([now.ended, tokens], axis=1))
    scores, alive = jax.lax.top_k(jnp.where(stops, -jnp.inf, found), beams)
    parent, token = (jnp.take_along_axis(x, alive, axis=1) for x in (parent, token))
    state = decoder.take(now.state, (jnp.arange(b)[:, None] * beams + parent).reshape(-1))
    logits, state = decoder.step(token.reshape(-1), state)
    tokens = jnp.take_along_axis(tokens, alive[:, :, None], axis=1)
    return Search(now.step + 1, tokens, scores, logits, state, ended, ended_scores)

  # All beams of a row begin alike: only the first may be extended in the first step.
  scores = jnp.tile(jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf)[None], (b, 1))
  tokens = jnp.full((b, beams, length), max(stop, 0), jnp.int32)
  none = jnp.full((b, beams), -jnp.inf)
  every = jnp.repeat(jnp.arange(b), beams)
  start = Search(jnp.int32(0), tokens, scores, logits[every], decoder.take(state, every), tokens, none)
  last = jax.lax.while_loop(go_on, step, start)
  scores = jnp.concatenate([last.ended_scores, score(last.scores, length)], axis=1)
  scores, tokens = best(scores, jnp.concatenate([last.ended, last.tokens], axis=1))
  return tokens, scores
