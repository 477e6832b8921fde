"""Have a sequence-to-sequence model write its answers by itself, by beam search."""

import jax.numpy as jnp
import numpy as np

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
