"""Hold tokenized sentences in one array, and turn text into sub-words with an end and back."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64

from tasks.subwords import Subwords

END = 0  # begins what is written and ends it; also the padding, which masks and weights leave out


@dataclass(frozen=True)
class SentenceTokenizer:
  """Use sub-words as tokens from 1 on; token 0 ends a sentence and decodes to nothing.

  Sentences get a space in front, so that the first word has the pieces that it has elsewhere.
  """

  subwords: Subwords

  @property
  def size(self) -> int:
    return self.subwords.size + 1

  @functools.cached_property
  def vocabulary(self) -> tuple[str, ...]:
    return ('', *self.subwords.vocabulary)

  def encode(self, text: str) -> Int64[np.ndarray, ' t']:
    """Return the ids of a sentence, its end among them."""
    return np.append(self.subwords.encode(f' {text.strip()}') + 1, END)

  def decode(self, ids: np.ndarray) -> str:
    ids = np.asarray(ids)
    return self.subwords.decode(ids[ids != END] - 1).strip()

  def encode_all(self, sentences: Sequence[str]) -> 'Sentences':
    """Return the ids of many sentences, each with its end."""
    pieces = self.subwords.encode_lines([f' {sentence}' for sentence in sentences])
    lengths = np.array([len(piece) + 1 for piece in pieces], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.full(starts[-1], END, np.int32)
    kept = np.ones(starts[-1], bool)
    kept[starts[1:] - 1] = False
    ids[kept] = np.fromiter((i + 1 for piece in pieces for i in piece), np.int32, starts[-1] - len(pieces))
    return Sentences(ids, starts)


@dataclass(frozen=True, eq=False)
class Sentences:
  """Hold the ids of all sentences; sentence i is ids[starts[i] : starts[i + 1]], its end the last of them."""

  ids: Int32[np.ndarray, ' t']
  starts: Int64[np.ndarray, ' n1']

  @functools.cached_property
  def lengths(self) -> Int64[np.ndarray, ' n']:
    return np.diff(self.starts)

  def padded(
    self, indices: Int64[np.ndarray, ' b'], length: int
  ) -> tuple[Int32[np.ndarray, 'b t'], Bool[np.ndarray, 'b t']]:
    """Return sentences with END as padding up to `length`, and which tokens are theirs."""
    places = np.arange(length)[None, :]
    mask = places < self.lengths[indices][:, None]
    positions = np.minimum(self.starts[indices][:, None] + places, len(self.ids) - 1)
    return np.where(mask, self.ids[positions], np.int32(END)), mask

  def sentence(self, index: int) -> Int32[np.ndarray, ' t']:
    return self.ids[self.starts[index] : self.starts[index + 1]]

  def joined(self, indices: Int64[np.ndarray, ' b']) -> Int32[np.ndarray, ' t']:
    """Return the ids of some sentences, one after the other."""
    return np.concatenate([self.sentence(index) for index in indices])
