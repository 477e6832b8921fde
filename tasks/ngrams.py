"""Fit unigram and bigram models to a training text, as baselines of language models. NumPy only."""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Ngrams:
  """Count tokens and pairs of `text`, the training ids, which are below `size`.

  Unigram: one count added to each token. Bigram: the counts after the token before, and the unigram distribution as one
  count more (MacKay & Peto 1995), so that an unseen pair costs a little more than its token alone.
  """

  text: Int[np.ndarray, ' t']
  size: int

  @functools.cached_property
  def counts(self) -> Int[np.ndarray, ' n']:
    return np.bincount(self.text, minlength=self.size) + 1

  @functools.cached_property
  def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct pairs (first · size + second), sorted, and their counts."""
    ids = self.text.astype(np.int64)
    return np.unique(ids[:-1] * self.size + ids[1:], return_counts=True)

  def unigram(self, targets: Int[np.ndarray, '*b']) -> Float[np.ndarray, '*b']:
    """Return −log P(target) in nats."""
    return -np.log(self.counts / self.counts.sum())[targets]

  def bigram(self, before: Int[np.ndarray, '*b'], targets: Int[np.ndarray, '*b']) -> Float[np.ndarray, '*b']:
    """Return −log P(target | the token before) in nats."""
    pairs, number = self._pairs
    asked = before.astype(np.int64) * self.size + targets
    place = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
    seen = np.where(pairs[place] == asked, number[place], 0)
    after = np.bincount(self.text[:-1], minlength=self.size)[before]
    return -np.log((seen + np.exp(-self.unigram(targets))) / (after + 1))

  @functools.cached_property
  def _followers(self) -> np.ndarray:
    """Return the likeliest token after each; the likeliest of all after tokens that nothing followed."""
    pairs, number = self._pairs
    order = np.argsort(number, kind='stable')
    likeliest = np.full(self.size, self.counts.argmax())
    likeliest[pairs[order] // self.size] = pairs[order] % self.size  # the last one written is the most frequent
    return likeliest

  def metrics(self, before: Int[np.ndarray, ' t'], targets: Int[np.ndarray, ' t']) -> dict[str, dict[str, float]]:
    """Return name → loss in nats and accuracy over the targets."""
    unigram, bigram = self.unigram(targets), self.bigram(before, targets)
    return {
      'unigram': {'loss': float(unigram.mean()), 'accuracy': float((targets == self.counts.argmax()).mean())},
      'bigram': {'loss': float(bigram.mean()), 'accuracy': float((targets == self._followers[before]).mean())},
    }
