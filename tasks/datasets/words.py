"""Cut texts into words in two ways, join them again, and choose the vocabulary of a training text."""

import collections
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

END_OF_SENTENCE, UNKNOWN = '<eos>', '<unk>'


class Words(NamedTuple):
  """Hold a pair of functions: `join` undoes `split`. `unknown`: the tokens for words outside a vocabulary."""

  split: Callable[[str], Iterable[str]]
  join: Callable[[Iterable[str]], str]
  unknown: tuple[str, ...]


def _sentences(text: str) -> list[str]:
  """Return the words between spaces, with an end of sentence for each line (Mikolov et al. 2010)."""
  return text.replace('\n', f' {END_OF_SENTENCE} ').split()


def _lines(words: Iterable[str]) -> str:
  return ''.join('\n' if word == END_OF_SENTENCE else f'{word} ' for word in words)


# A word or a run of one punctuation mark, each with the space before it (as in GPT-2, Radford et al. 2019), so that
# joining words gives the text again; further spaces in one piece, so that the last belongs to what it stands before.
WORD = re.compile(r" ?\w+(?:['’]\w+)*| ?([^\w\s])\1*| +(?= )|\s")


def _pieces(text: str) -> Iterable[str]:
  return (match.group() for match in WORD.finditer(text))


PREPARED = Words(_sentences, _lines, (UNKNOWN,))  # a text that is cut into words already
PLAIN = Words(_pieces, ''.join, (UNKNOWN, f' {UNKNOWN}'))


def unknown(word: str) -> str:
  """Return the token for a word outside the vocabulary; the space before it is kept."""
  return f' {UNKNOWN}' if word.startswith(' ') else UNKNOWN


def vocabulary(words: Iterable[str], unknown: tuple[str, ...], size: int) -> tuple[str, ...]:
  """Return at most `size` words by frequency, ties by spelling (as Zaremba et al. 2014), `unknown` among them."""
  counts = collections.Counter(words)
  for word in unknown:
    counts.setdefault(word, 0)
  ranked = sorted(counts, key=lambda word: (-counts[word], word))
  if len(ranked) <= size:
    return tuple(ranked)
  others = [word for word in ranked if word not in unknown][: size - len(unknown)]
  kept = {*unknown, *others}
  return tuple(word for word in ranked if word in kept)
