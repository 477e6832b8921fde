"""Reversal: read letters, then write them backwards. The smallest sequence-to-sequence task.

With 5 letters at most, `.` for padding and `|` for what begins the inputs and ends the targets:

  source   d a c . .
  input    | c a d . .
  target   c a d | . .
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float

from seqmodels.errors import InputError, check_positive
from seqmodels.spec import Spec, Tokens
from tasks import draws, losses
from tasks.base import Batch, Evaluation, Sums
from tasks.procedural import Procedural

LETTERS = 'abcdefghijklmnopqrstuvwxyz'
START = 0


@dataclass(frozen=True)
class Reversal(Procedural):
  """`symbols` different letters; sources of 1 to `length` of them, all lengths alike."""

  symbols: int = 26
  length: int = 12

  def __post_init__(self) -> None:
    super().__post_init__()
    check_positive(**{'task.symbols': self.symbols, 'task.length': self.length})
    if self.symbols > len(LETTERS):
      raise InputError(f'task.symbols={self.symbols} must be at most {len(LETTERS)}')

  @property
  def spec(self) -> Spec:
    tokens = Tokens(self.symbols + 1)
    return Spec('seq2seq', tokens, tokens, self.length + 1, source=tokens, source_length=self.length, start=START)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    words = draws.words(self.key(split, seed), indices, self.length + 1)
    count = 1 + draws.integers(words[:, :1], self.length)
    place = np.arange(self.length)[None, :]
    source = np.where(place < count, 1 + draws.integers(words[:, 1:], self.symbols), START).astype(np.int32)
    backwards = np.take_along_axis(source, np.maximum(count - 1 - place, 0), axis=1)
    ends = np.full((len(indices), 1), START, np.int32)
    answer = np.where(place < count, backwards, START).astype(np.int32)
    inputs, targets = np.concatenate([ends, answer], axis=1), np.concatenate([answer, ends], axis=1)
    weights = (np.arange(self.length + 1)[None, :] <= count).astype(np.float32)
    return Batch(inputs, targets, weights, source=source, source_mask=place < count)

  def loss(self, outputs: Float[Array, 'b t n'], batch: Batch) -> Sums:
    return losses.summed(losses.cross_entropy(outputs, batch.targets), batch.weights)

  def metrics(self, outputs: Float[Array, 'b t n'], batch: Batch) -> dict[str, Sums]:
    """loss (nats a token) and accuracy, of each token when those before it are given."""
    return {
      'loss': self.loss(outputs, batch),
      'accuracy': losses.summed(losses.correct(outputs, batch.targets), batch.weights),
    }

  def evaluations(self) -> dict[str, Evaluation]:
    return {'validation': Evaluation('validation'), 'test': Evaluation('test')}

  def encode(self, text: str) -> np.ndarray:
    for letter in text:
      if letter not in LETTERS[: self.symbols]:
        raise InputError(f'{letter!r} is not one of the letters {LETTERS[: self.symbols]}')
    return np.array([1 + LETTERS.index(letter) for letter in text], np.int32)

  def decode(self, ids: np.ndarray) -> str:
    return ''.join(LETTERS[i - 1] for i in ids.tolist() if i != START)
