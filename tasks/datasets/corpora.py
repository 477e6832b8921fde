"""Texts as arrays of ids: which units a text has, its vocabulary, its splits. Kept in memory, one array a split."""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from seqmodels.errors import InputError, unknown

END_OF_SENTENCE, UNKNOWN = '<eos>', '<unk>'
UNITS = {
  'embedded': ('character', 'byte'),
  'tinyshakespeare': ('character', 'byte'),
  'enwik8': ('byte',),
  'ptb': ('word', 'character'),
}  # the first is the usual one
SPLITS = {'90/5/5': (0.9, 0.95), '90/10': (0.9, 1.0)}  # ends of training and validation, for texts without own splits


@dataclass(frozen=True)
class Corpus:
  """`vocabulary` None: ids are bytes. `before` is the id that stands in front of a split's first token."""

  unit: str
  vocabulary: tuple[str, ...] | None
  ids: dict[str, np.ndarray]
  before: dict[str, int]

  @property
  def size(self) -> int:
    return 256 if self.vocabulary is None else len(self.vocabulary)

  @functools.cached_property
  def _index(self) -> dict[str, int]:
    return {token: i for i, token in enumerate(self.vocabulary or ())}

  def encode(self, text: str) -> Int64[np.ndarray, 't']:
    """Ids of a text. Words outside the vocabulary are `<unk>`; characters outside it raise InputError."""
    if self.unit == 'byte':
      return np.frombuffer(text.encode(errors='surrogateescape'), np.uint8).astype(np.int64)
    if self.unit == 'word':
      return np.array([self._index.get(word, self._index[UNKNOWN]) for word in _words(text)], np.int64)
    strange = sorted(set(text) - set(self._index))
    if strange:
      listed = ' '.join(map(repr, strange[:10]))
      more = f' and {len(strange) - 10} more' if len(strange) > 10 else ''
      raise InputError(f'characters outside the vocabulary: {listed}{more}')
    return np.array([self._index[character] for character in text], np.int64)

  def decode(self, ids: np.ndarray) -> str:
    """The text of ids; decoding piece by piece gives the same text as decoding at once (whole bytes apart)."""
    if self.vocabulary is None:
      return np.asarray(ids, np.uint8).tobytes().decode(errors='replace')
    tokens = [self.vocabulary[int(i)] for i in ids]
    if self.unit == 'word':
      return ''.join('\n' if token == END_OF_SENTENCE else f'{token} ' for token in tokens)
    return ''.join(tokens)


def check_options(dataset: str, unit: str, split: str) -> str:
  """The unit meant (`auto`: the usual one of the data set). Raises InputError for what the data set does not have."""
  if unit not in ('auto', *UNITS[dataset]):
    raise unknown(f'task.unit of {dataset}', unit, ('auto', *UNITS[dataset]))
  if split != '90/5/5' and dataset in ('enwik8', 'ptb'):
    raise InputError(f'task.split={split!r} is not offered for {dataset}, which has its own splits; leave it 90/5/5')
  return UNITS[dataset][0] if unit == 'auto' else unit


@functools.lru_cache(maxsize=4)
def load(dataset: str, unit: str, split: str) -> Corpus:
  """A corpus, by the names of UNITS and SPLITS; prepares its data the first time (errors: see source.read)."""
  texts = _texts(dataset)
  if unit == 'byte':
    ids, vocabulary = {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}, None
  elif unit == 'word':
    ids, vocabulary = _word_ids({name: _words(text.decode()) for name, text in texts.items()})
  else:
    ids, vocabulary = _character_ids({name: _characters(dataset, text) for name, text in texts.items()})
  if 'full' in ids:
    return _cut(unit, vocabulary, ids['full'], SPLITS[split])
  # What stands before a file's first sentence is the end of another.
  before = {'train': ids['train'][-1], 'validation': ids['train'][-1], 'test': ids['validation'][-1]}
  return Corpus(unit, vocabulary, ids, {name: int(i) for name, i in before.items()})


def _texts(dataset: str) -> dict[str, bytes]:
  if dataset == 'embedded':
    return {'full': embedded_text().encode()}
  # TFDS takes a second to import, and only real data needs it.
  from tasks.datasets.builder import TextBuilder, load_texts
  from tasks.datasets.enwik8 import Enwik8
  from tasks.datasets.ptb import Ptb
  from tasks.datasets.tiny_shakespeare import TinyShakespeare

  builders: dict[str, type[TextBuilder]] = {'tinyshakespeare': TinyShakespeare, 'enwik8': Enwik8, 'ptb': Ptb}
  return load_texts(builders[dataset])


def embedded_text() -> str:
  """The help topics of the running Python: about 465,000 characters of English, a little different in each version."""
  from pydoc_data.topics import topics

  return '\n\n'.join(topics[name] for name in sorted(topics))


def _words(text: str) -> list[str]:
  """Words, with the end of the sentence at the end of each line (Mikolov et al. 2010)."""
  return text.replace('\n', f' {END_OF_SENTENCE} ').split()


def _characters(dataset: str, text: bytes) -> str:
  if dataset != 'ptb':
    return text.decode()
  # The usual character version: words joined by `_`, a new line after each sentence (Mikolov et al. 2012).
  return ''.join('_'.join(line.split()) + '\n' for line in text.decode().splitlines())


def _word_ids(words: dict[str, list[str]]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
  """Words of the training split by frequency, ties by spelling (as Zaremba et al. 2014 number them)."""
  counts: dict[str, int] = {}
  for word in words['train']:
    counts[word] = counts.get(word, 0) + 1
  vocabulary = tuple(sorted(counts, key=lambda word: (-counts[word], word)))
  index = {word: i for i, word in enumerate(vocabulary)}
  unknown = index.get(UNKNOWN, 0)
  return {
    name: np.array([index.get(word, unknown) for word in text], np.int32) for name, text in words.items()
  }, vocabulary


def _character_ids(texts: dict[str, str]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
  """The distinct characters of the whole text, in the order of their code points."""
  points = {name: np.frombuffer(text.encode('utf-32-le'), np.uint32) for name, text in texts.items()}
  distinct = np.unique(np.concatenate(list(points.values())))
  kind = np.uint8 if len(distinct) <= 256 else np.int32
  ids = {name: np.searchsorted(distinct, text).astype(kind) for name, text in points.items()}
  return ids, tuple(map(chr, distinct))


def _cut(unit: str, vocabulary: tuple[str, ...] | None, ids: np.ndarray, ends: tuple[float, float]) -> Corpus:
  train_end, validation_end = (int(end * len(ids)) for end in ends)
  parts = {'train': ids[:train_end], 'validation': ids[train_end:validation_end], 'test': ids[validation_end:]}
  # The training text is read in a circle: its last token stands before its first.
  starts = {'train': train_end, 'validation': train_end, 'test': validation_end}
  parts = {name: part for name, part in parts.items() if len(part)}
  return Corpus(unit, vocabulary, parts, {name: int(ids[starts[name] - 1]) for name in parts})
