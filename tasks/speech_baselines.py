"""Recognise speech without a model: the most frequent word, and the nearest mean spectrum. NumPy only."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from tasks.transcripts import error_sums


def most_frequent(train: Sequence[str], references: Sequence[str]) -> list[str]:
  """Return for every reference the most frequent word of training, as often as a training text has words on average."""
  words = [text.split() for text in train]
  ((word, _),) = Counter(word for text in words for word in text).most_common(1)
  return [' '.join([word] * max(1, round(np.mean([len(text) for text in words]))))] * len(references)


def nearest(spectra: Float[np.ndarray, 'm d'], texts: Sequence[str], others: Float[np.ndarray, 'k d']) -> list[str]:
  """Return for each of the others the text whose mean spectrum is nearest to its own."""
  names = sorted(set(texts))
  numbers = np.array([names.index(text) for text in texts])
  centroids = np.stack([spectra[numbers == i].mean(axis=0) for i in range(len(names))])
  distances = np.square(others[:, None, :] - centroids[None]).sum(axis=2)
  return [names[i] for i in distances.argmin(axis=1)]


def mean_over_time(steps: Float[np.ndarray, 'b t d'], mask: Bool[np.ndarray, 'b t']) -> Float[np.ndarray, 'b d']:
  """Return the mean of the steps that are there."""
  return (steps * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1)[:, None]


def error_rates(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
  """Return wer, cer and exact_match of a corpus."""
  return {name: float(total.sum() / weight.sum()) for name, (total, weight) in error_sums(written, references).items()}
