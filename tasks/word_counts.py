"""Count the words that begin in each token, so that losses of any unit can be given per word.

Words stand between spaces, and the end of each line is one more: the convention of published perplexities
(Mikolov et al. 2010), in which every line has an end of sentence.
"""

import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from tasks.datasets.words import PREPARED
from tasks.subwords import Subwords
from tasks.tokenizers import Tokenizer, WordTokenizer


class WordCounts(NamedTuple):
  """Hold a table over the tokens.

  inside: the number of words that begin after the first character, and of line ends.
  begins: whether the first character begins a word if a space stands before it.
  ends: whether the last character is a space.
  """

  inside: Float[np.ndarray, ' n']
  begins: Bool[np.ndarray, ' n']
  ends: Bool[np.ndarray, ' n']

  def words_in(
    self, before: Int[Array | np.ndarray, '*b'], tokens: Int[Array | np.ndarray, '*b']
  ) -> Float[Array, '*b']:
    """Return how many words begin in each token, given the token before it; works inside compiled functions."""
    inside, begins, ends = map(jnp.asarray, self)
    return inside[tokens] + (begins[tokens] & ends[before])

  def with_end(self) -> 'WordCounts':
    """Return the table with one more token: the end of a document, which is no word, and behind which one begins."""
    return WordCounts(np.append(self.inside, np.float32(0)), np.append(self.begins, False), np.append(self.ends, True))


def word_counts(tokenizer: Tokenizer, spaces: str) -> WordCounts:
  """Return the table of a tokenizer; `spaces` are the characters between words."""
  if isinstance(tokenizer, WordTokenizer) and tokenizer.words is PREPARED:
    every = np.ones(tokenizer.size, bool)
    return WordCounts(every.astype(np.float32), ~every, ~every)
  # A byte above 127 is a part of a character, and no space.
  tokens = (
    tokenizer.texts
    if isinstance(tokenizer, Subwords)
    else tokenizer.vocabulary or tuple(map(chr, range(tokenizer.size)))
  )
  inside = np.array([_inside(token, spaces) for token in tokens], np.float32)
  begins = np.array([token[:1] not in spaces for token in tokens])
  return WordCounts(inside, begins, np.array([token[-1:] in spaces for token in tokens]))


def _inside(token: str, spaces: str) -> int:
  starts = sum(a in spaces and b not in spaces for a, b in itertools.pairwise(token))
  return starts + token.count('\n')
