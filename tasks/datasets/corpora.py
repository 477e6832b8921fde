"""Texts as arrays of ids: which units a text has, its vocabulary, its splits. Kept in memory, one array a split."""

import dataclasses
import functools
import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqmodels.errors import InputError, unknown
from tasks.datasets import embedded
from tasks.datasets.words import PLAIN, PREPARED, Words
from tasks.datasets.words import vocabulary as vocabulary_of
from tasks.tokenizers import Bytes, Characters, Tokenizer, WordTokenizer, word_ids

VOCABULARY = 10_000  # words; as many as the Penn Treebank was prepared with
UNITS = {
  'embedded': ('character', 'byte', 'word'),
  'tinyshakespeare': ('character', 'byte', 'word'),
  'enwik8': ('byte', 'word'),
  'ptb': ('word', 'character'),
}  # the first is the usual one
SPLITS = {'90/5/5': (0.9, 0.95), '90/10': (0.9, 1.0)}  # ends of training and validation, for texts without own splits


@dataclass(frozen=True)
class Corpus:
  """`before` is the id in front of a split's first token; `content` the sha256 of each raw text, by name."""

  unit: str
  tokenizer: Tokenizer
  ids: dict[str, np.ndarray]
  before: dict[str, int]
  content: dict[str, str] = field(default_factory=dict)

  @property
  def size(self) -> int:
    return self.tokenizer.size

  @functools.cached_property
  def identity(self) -> dict[str, Any]:
    """What tells these data from others: the texts, and the vocabulary made of them (bytes need none)."""
    if self.tokenizer.vocabulary is None:
      return {'content': self.content}
    listed = '\0'.join(self.tokenizer.vocabulary).encode(errors='surrogatepass')
    return {'content': self.content, 'vocabulary': hashlib.sha256(listed).hexdigest()}


def check_options(dataset: str, unit: str, split: str) -> str:
  """The unit meant (`auto`: the usual one of the data set). Raises InputError for what the data set does not have."""
  if unit not in ('auto', *UNITS[dataset]):
    raise unknown(f'task.unit of {dataset}', unit, ('auto', *UNITS[dataset]))
  if split != '90/5/5' and dataset in ('enwik8', 'ptb'):
    raise InputError(f'task.split={split!r} is not offered for {dataset}, which has its own splits; leave it 90/5/5')
  return UNITS[dataset][0] if unit == 'auto' else unit


@functools.lru_cache(maxsize=4)
def load(dataset: str, unit: str, split: str, vocabulary: int = VOCABULARY) -> Corpus:
  """A corpus, by the names of UNITS and SPLITS; prepares its data the first time (errors: see source.read).

  vocabulary: most words that are told apart, by their frequency in the training split.
  """
  texts = _texts(dataset)
  content = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
  return dataclasses.replace(_corpus(dataset, texts, unit, split, vocabulary), content=content)


def _corpus(dataset: str, texts: dict[str, bytes], unit: str, split: str, vocabulary: int) -> Corpus:
  if unit == 'word':
    decoded = {
      name: text.decode(errors='replace') for name, text in texts.items()
    }  # enwik8's cuts may split characters
    return _of_words(decoded, PREPARED if dataset == 'ptb' else PLAIN, split, vocabulary)
  tokenizer: Tokenizer = Bytes()
  if unit == 'byte':
    ids = {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}
  else:
    ids, tokenizer = _character_ids({name: _characters(dataset, text) for name, text in texts.items()})
  if 'full' in ids:
    return _cut(unit, tokenizer, ids['full'], SPLITS[split])
  return Corpus(unit, tokenizer, ids, _before(ids))


def _before(ids: dict[str, np.ndarray]) -> dict[str, int]:
  """What stands before a file's first sentence is the end of another."""
  return {name: int(ids['validation' if name == 'test' else 'train'][-1]) for name in ids}


def _of_words(texts: dict[str, str], words: Words, split: str, size: int) -> Corpus:
  """A text without splits of its own is cut as for characters, so that both units have the same text to predict."""
  if 'full' in texts:
    text, ends = texts['full'], [int(end * len(texts['full'])) for end in SPLITS[split]]
    parts = {'train': text[: ends[0]], 'validation': text[ends[0] : ends[1]], 'test': text[ends[1] :]}
    texts = {name: part for name, part in parts.items() if part}
  vocabulary = vocabulary_of(words.split(texts['train']), words.unknown, size)
  tokenizer = WordTokenizer(vocabulary, words)
  ids = {name: np.fromiter(word_ids(words.split(text), tokenizer.index), np.int32) for name, text in texts.items()}
  return Corpus('word', tokenizer, ids, _before(ids))


def _texts(dataset: str) -> dict[str, bytes]:
  if dataset == 'embedded':
    return {'full': embedded.read()}
  # TFDS takes a second to import, and only real data needs it.
  from tasks.datasets.builder import TextBuilder, load_texts
  from tasks.datasets.enwik8 import Enwik8
  from tasks.datasets.ptb import Ptb
  from tasks.datasets.tiny_shakespeare import TinyShakespeare

  builders: dict[str, type[TextBuilder]] = {'tinyshakespeare': TinyShakespeare, 'enwik8': Enwik8, 'ptb': Ptb}
  return load_texts(builders[dataset])


def _characters(dataset: str, text: bytes) -> str:
  if dataset != 'ptb':
    return text.decode()
  # The usual character version: words joined by `_`, a new line after each sentence (Mikolov et al. 2012).
  return ''.join('_'.join(line.split()) + '\n' for line in text.decode().splitlines())


def _character_ids(texts: dict[str, str]) -> tuple[dict[str, np.ndarray], Characters]:
  """The distinct characters of the whole text, in the order of their code points."""
  points = {name: np.frombuffer(text.encode('utf-32-le'), np.uint32) for name, text in texts.items()}
  distinct = np.unique(np.concatenate(list(points.values())))
  kind = np.uint8 if len(distinct) <= 256 else np.int32
  ids = {name: np.searchsorted(distinct, text).astype(kind) for name, text in points.items()}
  return ids, Characters(tuple(map(chr, distinct)))


def _cut(unit: str, tokenizer: Tokenizer, ids: np.ndarray, ends: tuple[float, float]) -> Corpus:
  train_end, validation_end = (int(end * len(ids)) for end in ends)
  parts = {'train': ids[:train_end], 'validation': ids[train_end:validation_end], 'test': ids[validation_end:]}
  # The training text is read in a circle: its last token stands before its first.
  starts = {'train': train_end, 'validation': train_end, 'test': validation_end}
  parts = {name: part for name, part in parts.items() if len(part)}
  return Corpus(unit, tokenizer, parts, {name: int(ids[starts[name] - 1]) for name in parts})
