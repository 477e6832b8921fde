"""Beam search over the state contract, in one compiled loop: beams are rows of the batch, states move with them."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from seqmodels.errors import check_positive
from seqmodels.generate import check_request, prefill
from seqmodels.models import Model, batch_axes
from seqmodels.network import Source, SourceMask
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
  """The `beams` likeliest continuations found of each prompt, best first, and their scores.

  A continuation ends at `stop` (-1: never) and repeats it from there. Its score is its log probability in nats over
  ((5 + tokens) / 6)^length_penalty (Wu et al. 2016, equation 14). With one beam this is greedy decoding. `source` is
  for seq2seq models, as in `generate`.
  """
  check_request(model, prompt.shape[1], length, source)
  check_positive(beams=beams)
  logits, state = prefill(model, params, prompt, mask, prompt.shape[1] + length, source, source_mask)
  tokens, scores, counts = _search(model, params, logits, state, length=length, beams=beams, stop=stop)
  scores = scores / ((5.0 + counts) / 6.0) ** length_penalty
  order = jnp.argsort(-scores, axis=1)
  return jnp.take_along_axis(tokens, order[:, :, None], axis=1), jnp.take_along_axis(scores, order, axis=1)


@partial(jax.jit, static_argnames=('model', 'length', 'beams', 'stop'))
def _search(
  model: Model, params: Params, logits: Float[Array, 'b n'], state: State, *, length: int, beams: int, stop: int
) -> tuple[Int[Array, 'b w {length}'], Float[Array, 'b w'], Float[Array, 'b w']]:
  """Tokens, log probabilities and numbers of tokens of the beams."""
  b, n = logits.shape
  axes = batch_axes(model.init_state)

  def rows(state: State, index: Int[Array, 'r']) -> State:
    return jax.tree.map(lambda leaf, axis: leaf if axis < 0 else jnp.take(leaf, index, axis=axis), state, axes)

  def go_on(carry: tuple) -> jax.Array:
    i, _, _, _, ended, _, _ = carry
    return (i < length) & ~jnp.all(ended)

  def step(carry: tuple) -> tuple:
    i, tokens, scores, counts, ended, logits, state = carry
    steps = jax.nn.log_softmax(logits.reshape(b, beams, n), axis=-1)
    if stop >= 0:  # an ended beam has one way to go on, at no cost
      frozen = jnp.where(jnp.arange(n) == stop, 0.0, -jnp.inf)
      steps = jnp.where(ended[:, :, None], frozen[None, None, :], steps)
    scores, chosen = jax.lax.top_k((scores[:, :, None] + steps).reshape(b, beams * n), beams)
    parent, token = chosen // n, (chosen % n).astype(jnp.int32)
    tokens = jnp.take_along_axis(tokens, parent[:, :, None], axis=1).at[:, :, i].set(token)
    ended, counts = (jnp.take_along_axis(old, parent, axis=1) for old in (ended, counts))
    counts = counts + ~ended
    ended = ended | (token == stop)
    state = rows(state, (jnp.arange(b)[:, None] * beams + parent).reshape(-1))
    outputs, state = model.apply(params, token.reshape(-1, 1), state)
    return i + 1, tokens, scores, counts, ended, outputs[:, 0], state

  # All beams of a row begin alike: only the first may be extended in the first step.
  scores = jnp.tile(jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf)[None], (b, 1))
  every = jnp.repeat(jnp.arange(b), beams)
  carry = (
    jnp.int32(0),
    jnp.full((b, beams, length), max(stop, 0), jnp.int32),
    scores,
    jnp.zeros((b, beams)),
    jnp.zeros((b, beams), bool),
    logits[every],
    rows(state, every),
  )
  _, tokens, scores, counts, _, _, _ = jax.lax.while_loop(go_on, step, carry)
  return tokens, scores, counts
