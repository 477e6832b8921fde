"""Turn the documents of each split into ids, by a vocabulary that is made of a text or kept from a training."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seqmodels.errors import InputError
from tasks import subwords
from tasks.datasets import files
from tasks.datasets.words import Words
from tasks.datasets.words import vocabulary as vocabulary_of
from tasks.subwords import Subwords
from tasks.tokenizers import Bytes, Characters, Tokenizer, WordTokenizer, outside, word_ids

LOST = 1e-3  # share of a text's characters that a given tokenizer may lose or add

Texts = Mapping[str, Sequence[str]]  # the documents of each split


class Encoded(NamedTuple):
  """Hold the ids of each document of each split, and their tokenizer."""

  tokenizer: Tokenizer
  ids: dict[str, list[np.ndarray]]


def of_bytes(documents: Mapping[str, Sequence[bytes]]) -> Encoded:
  return Encoded(Bytes(), {name: [np.frombuffer(text, np.uint8) for text in own] for name, own in documents.items()})


def of_characters(documents: Texts, dataset: str, kept: Sequence[str] | None = None) -> Encoded:
  """Use the distinct characters of all splits, in the order of their code points.

  kept: those of another text in their place. Raises InputError for characters that it does not have.
  """
  points = {
    name: [np.frombuffer(text.encode('utf-32-le'), np.uint32) for text in own] for name, own in documents.items()
  }
  distinct = np.unique(np.concatenate([np.unique(np.concatenate(own)) for own in points.values()]))
  if kept is not None:
    known = np.array([*map(ord, kept)], np.uint32)
    if len(strange := np.setdiff1d(distinct, known)):
      found = outside(map(chr, strange))
      raise InputError(f'task.dataset={dataset!r} has {found}; the model was trained with {len(known)} characters')
    distinct = known
  kind = np.uint8 if len(distinct) <= 256 else np.int32
  ids = {name: [np.searchsorted(distinct, text).astype(kind) for text in own] for name, own in points.items()}
  return Encoded(Characters(tuple(map(chr, distinct))), ids)


def of_words(documents: Texts, words: Words, size: int, kept: Sequence[str] | None = None) -> Encoded:
  """Use the `size` most frequent words of the training split, or those that are kept from a training."""
  training = itertools.chain.from_iterable(map(words.split, documents['train']))
  tokenizer = WordTokenizer(tuple(kept) if kept else vocabulary_of(training, words.unknown, size), words)
  ids = {
    name: [np.fromiter(word_ids(words.split(text), tokenizer.index), np.int32) for text in own]
    for name, own in documents.items()
  }
  for name, found in ids.items():
    if not any(map(len, found)):
      length = sum(map(len, documents[name]))
      raise InputError(f'the {name} split has no words: {length} characters, all of them spaces')
  return Encoded(tokenizer, ids)


def of_subwords(documents: Texts, size: int, tokenizer_file: str) -> Encoded:
  """Use the pieces of a tokenizer's file, or `size` pieces that are made of the training split."""
  if tokenizer_file:
    path = pathlib.Path(tokenizer_file)
    tokenizer = Subwords(files.read_bytes(path), str(path))
  else:
    tokenizer = subwords.train('\n'.join(documents['train']), size)
  kind = np.uint16 if tokenizer.size <= 1 << 16 else np.int32
  ids = {name: [tokenizer.encode(text).astype(kind) for text in own] for name, own in documents.items()}
  if tokenizer_file:
    _check_kept(tokenizer, documents, ids)
  return Encoded(tokenizer, ids)


def _check_kept(tokenizer: Subwords, documents: Texts, ids: Mapping[str, Sequence[np.ndarray]]) -> None:
  """Raise InputError for pieces that do not keep a text: its bits would be those of fewer or more characters."""
  for name, texts in documents.items():
    counted = int(sum(tokenizer.lengths[0][own].sum(dtype=np.float64) for own in ids[name]))
    length = sum(map(len, texts))
    if abs(counted - length) > LOST * length + len(texts):  # one each: a space put before a text
      raise InputError(
        f'task.tokenizer={tokenizer.shown} makes {counted:,} characters of the {length:,} of the {name} split; make '
        'it with byte_fallback=True and normalization_rule_name=identity'
      )
