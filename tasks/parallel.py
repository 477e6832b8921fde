"""Hold parallel text: the pairs of sentences of each split, their sub-words and their tokenizers."""

import functools
import logging
import pathlib
from dataclasses import dataclass

import numpy as np

from seqmodels.errors import InputError
from tasks import subwords
from tasks.datasets import files, pairs
from tasks.sentences import Sentences, SentenceTokenizer
from tasks.subwords import Subwords

log = logging.getLogger('seqmodels')


@dataclass(frozen=True, eq=False)
class Corpus:
  """Hold the tokenized pairs of each split, their texts and their tokenizers."""

  texts: pairs.Pairs
  source_tokenizer: SentenceTokenizer
  target_tokenizer: SentenceTokenizer

  @functools.cached_property
  def sources(self) -> dict[str, Sentences]:
    return {split: self.source_tokenizer.encode_all(lines) for split, lines in self.texts.sources.items()}

  @functools.cached_property
  def targets(self) -> dict[str, Sentences]:
    return {split: self.target_tokenizer.encode_all(lines) for split, lines in self.texts.targets.items()}

  @functools.cached_property
  def first(self) -> dict[str, int]:
    """Return the place of each split's first pair among the pairs of all splits."""
    counts = [len(lines) for lines in self.texts.targets.values()]
    return dict(zip(self.texts.targets, np.cumsum([0, *counts[:-1]]).tolist(), strict=True))

  @functools.cached_property
  def references(self) -> list[str]:
    """Return the targets of all splits, as they are in the data: a tokenizer may not give them back."""
    return [line for lines in self.texts.targets.values() for line in lines]

  @functools.cached_property
  def words(self) -> dict[str, np.ndarray]:
    """Return the words of each target, between spaces, and one more for its end."""
    return {
      split: np.array([len(line.split()) + 1 for line in lines], np.float32)
      for split, lines in self.texts.targets.items()
    }

  @functools.cached_property
  def lengths(self) -> dict[str, np.ndarray]:
    """Return the tokens of the longer side of each pair."""
    return {split: np.maximum(self.sources[split].lengths, self.targets[split].lengths) for split in self.sources}


@functools.lru_cache(maxsize=4)
def load(
  dataset: str,
  pair: str,
  split: str,
  lowercase: bool,
  vocabulary: int,
  shared: bool,
  tokenizer_files: tuple[str, str] = ('', ''),
  stamp: tuple = (),
) -> Corpus:
  """Return the tokenized corpus; see Translation. stamp: of the files, so that a changed file is read anew."""
  texts = pairs.load(dataset, pair, split, lowercase, stamp)
  if tokenizer_files[0]:
    return Corpus(texts, *read_tokenizers(tokenizer_files))
  sides = [texts.sources['train'], texts.targets['train']]
  made = [_trained(lines, vocabulary) for lines in ([[*sides[0], *sides[1]]] if shared else sides)]
  return Corpus(texts, SentenceTokenizer(made[0]), SentenceTokenizer(made[-1]))


def read_tokenizers(paths: tuple[str, str]) -> tuple[SentenceTokenizer, SentenceTokenizer]:
  """Return the tokenizers of source and target that files hold; without a second file both sides share one."""
  read = [Subwords(files.read_bytes(pathlib.Path(path)), path) for path in paths if path]
  return SentenceTokenizer(read[0]), SentenceTokenizer(read[-1])


def _trained(sentences: list[str], size: int) -> Subwords:
  return subwords.train(''.join(f' {sentence}\n' for sentence in sentences), size)


@functools.lru_cache(maxsize=8)
def fitting_pairs(corpus: Corpus, length: int) -> np.ndarray:
  """Return the numbers of the training pairs that are not too long; says how many are."""
  lengths = corpus.lengths['train']
  fitting = np.flatnonzero(lengths <= length)
  if not len(fitting):
    raise InputError(f'task.length={length} must be at least {lengths.min()}, the shortest training pair')
  if len(fitting) < len(lengths):
    longer = len(lengths) - len(fitting)
    log.info(
      '%s of %s training pairs are longer than task.length=%d and left out', f'{longer:,}', f'{len(lengths):,}', length
    )
  return fitting


@functools.lru_cache(maxsize=8)
def longest_pair(corpus: Corpus, length: int) -> int:
  """Return the tokens of the longest pair of any split that has no more than `length`."""
  lengths = np.concatenate(list(corpus.lengths.values()))
  return int(lengths[lengths <= length].max(initial=2))
