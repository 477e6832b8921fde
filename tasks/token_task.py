"""Define the base of tasks that predict a token at each position: masked cross-entropy, accuracy, text."""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from seqmodels.models import Model
from seqmodels.notation import Params
from tasks import losses
from tasks.answers import outputs_of
from tasks.base import Batch, Decoding, Sums
from tasks.pipeline import IndexedTask
from tasks.shown import Shown, Text
from tasks.tokenizers import Tokenizer, names


class TokenTask(IndexedTask):
  """Score tokens. Subclasses give targets and weights [b t]; with a `tokenizer` they read and write text."""

  @property
  def tokenizer(self) -> Tokenizer | None:
    """Return the map between text and tokens; None where tokens are not text."""
    return None

  def loss_by_position(self, outputs: Float[Array, 'b t n'], batch: Batch) -> Float[Array, 'b t']:
    """Return the loss of each token in nats times its weight; divide sums over it by those of `batch.weights`."""
    return losses.weighted(losses.cross_entropy(outputs, batch.targets), batch.weights)

  def loss(self, outputs: Float[Array, 'b t n'], batch: Batch) -> Sums:
    """Return the cross-entropy in nats, over the tokens that count."""
    return losses.summed(losses.cross_entropy(outputs, batch.targets), batch.weights)

  def scored(self, batch: Batch) -> Float[Array, 'b t']:
    """Return the weights that the accuracy is taken over."""
    return batch.weights

  def metrics(self, outputs: Float[Array, 'b t n'], batch: Batch) -> dict[str, Sums]:
    """Return loss (nats a token) and accuracy, each token predicted from those that are given before it."""
    accuracy = losses.summed(losses.correct(outputs, batch.targets), self.scored(batch))
    return {'loss': self.loss(outputs, batch), 'accuracy': accuracy}

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return the numbers of the tokens that a model reads, and of those that count: the true and the likeliest ones."""
    del decoding
    likeliest = np.asarray(outputs_of(model, params, batch)).argmax(axis=-1)
    given, has_token = (batch.inputs, batch.mask) if batch.source is None else (batch.source, batch.source_mask)
    has_token = np.ones(given.shape, bool) if has_token is None else has_token
    rows = zip(given, has_token, batch.targets, likeliest, batch.weights > 0, strict=True)
    return [Text(*map(_numbers, (x[there], y[counted], z[counted]))) for x, there, y, z, counted in rows]

  def token_names(self, ids: np.ndarray) -> list[str]:
    """Return the text of each token."""
    return super().token_names(ids) if self.tokenizer is None else names(self.tokenizer, ids)

  def units(self) -> dict[str, Any]:
    """Return the vocabulary, the token of each id; null where ids are the bytes of UTF-8, nothing without text."""
    return {} if self.tokenizer is None else {'vocabulary': self.tokenizer.vocabulary}

  def encode(self, text: str) -> np.ndarray:
    return super().encode(text) if self.tokenizer is None else self.tokenizer.encode(text)

  def decode(self, ids: np.ndarray) -> str:
    return super().decode(ids) if self.tokenizer is None else self.tokenizer.decode(ids)


def _numbers(tokens: np.ndarray) -> str:
  return ' '.join(map(str, tokens.tolist()))
