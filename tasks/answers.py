"""Have a sequence-to-sequence model write its answers by itself, by beam search; score the outputs of other models."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from seqmodels.context import Context
from seqmodels.decoding.beam import beam_search
from seqmodels.models import Model
from seqmodels.notation import Params
from tasks.base import Batch, Decoding


def answers(
  model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding(), length: int = 0
) -> list[np.ndarray]:
  """Return the best answer of each row of a batch: its tokens before the end token, or all where there is none.

  length: tokens that an answer may have, its end among them; 0: as many as the longest target in training has. A table
  of learned positions allows one fewer than that.
  """
  spec = model.spec
  length = length or spec.length
  if model.config.position == 'learned':
    length = min(length, spec.length - 1)
  start = jnp.full((len(batch.source), 1), spec.start, jnp.int32)
  found, _ = beam_search(
    model,
    params,
    start,
    length,
    beams=decoding.beams,
    stop=spec.start,
    length_penalty=decoding.length_penalty,
    source=jnp.asarray(batch.source),
    source_mask=None if batch.source_mask is None else jnp.asarray(batch.source_mask),
  )
  return [before_end(row, spec.start) for row in np.asarray(found[:, 0])]


def before_end(tokens: np.ndarray, end: int) -> np.ndarray:
  """Return the tokens before the first `end`."""
  ends = np.flatnonzero(tokens == end)
  return tokens[: ends[0]] if len(ends) else tokens


@functools.partial(jax.jit, static_argnums=0)
def outputs_of(model: Model, params: Params, batch: Batch) -> Float[Array, 'b *t n']:
  """Return what a model says of whole sequences, given the truth."""
  context = Context(batch.reset, batch.mask)
  return model.apply(params, batch.inputs, None, context, source=batch.source, source_mask=batch.source_mask)[0]


@functools.partial(jax.jit, static_argnums=0)
def log_probabilities(model: Model, params: Params, batch: Batch) -> Float[Array, 'b *t n']:
  """Return the logarithms of the probabilities that a model gives, given the truth."""
  return jax.nn.log_softmax(outputs_of(model, params, batch), axis=-1)
