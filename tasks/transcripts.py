"""Turn transcripts into labels and back, and count the errors of what a recogniser writes."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from tasks.base import HostSums
from tasks.edit_distance import edit_distance

UNITS = ('word', 'character')
NOTHING, UNKNOWN = '', '<unk>'  # labels 0, which separates or ends, and 1
WRITTEN = {'word': UNKNOWN, 'character': '\ufffd'}  # for label 1
OTHER = '\0'  # for label 1 in a reference, so that what is unknown is always wrong


@dataclass(frozen=True)
class Labels:
  """Number words (between spaces) or characters; label 0 is none of them, 1 those outside the vocabulary."""

  unit: str
  vocabulary: tuple[str, ...]

  @classmethod
  def of(cls, texts: Iterable[str], unit: str) -> 'Labels':
    """Return the labels that stand in the texts."""
    return cls(unit, (NOTHING, UNKNOWN, *sorted({part for text in texts for part in split(text, unit)})))

  @property
  def size(self) -> int:
    return len(self.vocabulary)

  def encode(self, text: str) -> Int64[np.ndarray, ' l']:
    return np.array([self._index.get(part, 1) for part in split(text, self.unit)], np.int64)

  @functools.cached_property
  def _index(self) -> dict[str, int]:
    return {part: i for i, part in enumerate(self.vocabulary)}

  def decode(self, labels: Sequence[int] | np.ndarray, unknown: str = '') -> str:
    """Return the text of labels, with single spaces; `unknown` stands for label 1, by default a sign of its own."""
    unknown = unknown or WRITTEN[self.unit]
    parts = [unknown if label == 1 else self.vocabulary[int(label)] for label in labels]
    return ' '.join((' ' if self.unit == 'word' else '').join(parts).split())


def split(text: str, unit: str) -> list[str]:
  return text.split() if unit == 'word' else list(text)


def error_sums(written: Sequence[str], references: Sequence[str]) -> dict[str, HostSums]:
  """Return errors and length of each reference: wer in words, cer in characters, and exact_match.

  The rates of a corpus are the sums of errors over the sums of lengths (as in jiwer).
  """
  sums: dict[str, HostSums] = {}
  for name, unit in (('wer', 'word'), ('cer', 'character')):
    pairs = [(split(a, unit), split(b, unit)) for a, b in zip(written, references, strict=True)]
    errors = np.array([edit_distance(a, b) for a, b in pairs], np.float64)
    sums[name] = errors, np.array([len(b) for _, b in pairs], np.float64)
  right = np.array([a == b for a, b in zip(written, references, strict=True)], np.float64)
  return sums | {'exact_match': (right, np.ones(len(right)))}
