"""Turn text into token ids and back: bytes, characters or words; sub-words are in subwords.py."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Int64

from seqmodels.errors import InputError
from tasks.datasets.words import Words
from tasks.datasets.words import unknown as unknown_word

LISTED = 10  # characters that a message shows
SMALL = 64  # a vocabulary that a message shows in full


class Tokenizer(Protocol):
  """Map text to ids below `size` and back. Decoding piece by piece gives the same text (bytes apart)."""

  @property
  def size(self) -> int: ...

  @property
  def vocabulary(self) -> tuple[str, ...] | None:
    """Return the token of each id; None where ids are bytes."""

  def encode(self, text: str) -> Int64[np.ndarray, ' t']:
    """Return the ids of a text. Raises InputError for text outside the vocabulary."""

  def decode(self, ids: np.ndarray) -> str: ...


@dataclass(frozen=True)
class Bytes:
  """Use the bytes of UTF-8 as tokens."""

  size: int = 256
  vocabulary: None = None

  def encode(self, text: str) -> Int64[np.ndarray, ' t']:
    return np.frombuffer(text.encode(errors='surrogateescape'), np.uint8).astype(np.int64)

  def decode(self, ids: np.ndarray) -> str:
    return np.asarray(ids, np.uint8).tobytes().decode(errors='replace')


@dataclass(frozen=True)
class _Listed:
  """Hold the tokens by id."""

  vocabulary: tuple[str, ...]

  @property
  def size(self) -> int:
    return len(self.vocabulary)

  @functools.cached_property
  def index(self) -> dict[str, int]:
    return {token: i for i, token in enumerate(self.vocabulary)}


@dataclass(frozen=True)
class Characters(_Listed):
  """Use characters as tokens. An empty string in the vocabulary is a token that decodes to nothing."""

  def encode(self, text: str) -> Int64[np.ndarray, ' t']:
    """Return the ids of a text. Raises InputError for characters outside the vocabulary."""
    if strange := set(text) - self.index.keys():
      allowed = f'; allowed: {"".join(self.vocabulary)}' if self.size <= SMALL and '\n' not in self.index else ''
      raise InputError(f'{outside(strange)}{allowed}')
    return np.array([self.index[character] for character in text], np.int64)

  def decode(self, ids: np.ndarray) -> str:
    return ''.join(self.vocabulary[int(i)] for i in ids)


def outside(characters: Iterable[str]) -> str:
  """Return what a message says of characters outside a vocabulary."""
  strange = sorted(characters)
  more = f' and {len(strange) - LISTED} more' if len(strange) > LISTED else ''
  return f'characters outside the vocabulary: {" ".join(map(repr, strange[:LISTED]))}{more}'


@dataclass(frozen=True)
class WordTokenizer(_Listed):
  """Use words as tokens, as `words` splits and joins them; words outside the vocabulary are `<unk>`."""

  words: Words

  def encode(self, text: str) -> Int64[np.ndarray, ' t']:
    found = list(self.words.split(text))
    if found and found[0] not in self.index and f' {found[0]}' in self.index:
      found[0] = f' {found[0]}'  # a prompt may begin in the middle of a sentence
    return np.array([*word_ids(found, self.index)], np.int64)

  def decode(self, ids: np.ndarray) -> str:
    return self.words.join(self.vocabulary[int(i)] for i in ids)


def word_ids(words: Iterable[str], index: Mapping[str, int]) -> Iterator[int]:
  """Yield the id of each word."""
  for word in words:
    found = index.get(word)
    yield index[unknown_word(word)] if found is None else found


def names(tokenizer: Tokenizer, ids: np.ndarray) -> list[str]:
  """Return what to call each token: its text as it stands in the vocabulary, see `named`."""
  if tokenizer.vocabulary is None:
    return [tokenizer.decode(ids[i : i + 1]) for i in range(len(ids))]
  return named(tokenizer.vocabulary, ids)


def named(vocabulary: Sequence[str], ids: np.ndarray) -> list[str]:
  """Return the text of each token; `#` and its number for an empty one, and for one beyond the vocabulary."""
  return [(vocabulary[token] if token < len(vocabulary) else '') or f'#{token}' for token in ids.tolist()]
