"""Read letters and write them backwards: the smallest sequence-to-sequence task.

With 5 letters at most, `.` for padding and `|` for the token that begins the inputs and ends the targets:

  source   d a c . .
  input    | c a d . .
  target   c a d | . .
"""

from dataclasses import dataclass

import numpy as np

from seqmodels.errors import InputError, check_positive
from seqmodels.models import Model
from seqmodels.notation import Params
from seqmodels.spec import Spec, Tokens
from tasks import draws
from tasks.answers import answers, before_end
from tasks.base import Batch, Decoding, HostSums
from tasks.procedural import Procedural
from tasks.token_task import TokenTask
from tasks.tokenizers import Characters

LETTERS = 'abcdefghijklmnopqrstuvwxyz'
START = 0


@dataclass(frozen=True)
class Reversal(TokenTask, Procedural):
  """Reverse 1 to `length` letters of an alphabet of `symbols`; all lengths are equally likely."""

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

  def free_running(
    self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()
  ) -> dict[str, HostSums]:
    """Return `exact_match`: whether all letters that the model writes, and where it ends, are right."""
    written = answers(model, params, batch, decoding)
    right = [np.array_equal(row, before_end(target, START)) for row, target in zip(written, batch.targets, strict=True)]
    return {'exact_match': (np.array(right, np.float64), np.ones(len(right)))}

  @property
  def tokenizer(self) -> Characters:
    return Characters(('', *LETTERS[: self.symbols]))
