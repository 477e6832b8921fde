"""Read texts as arrays of ids, one array a split, kept in memory: units, vocabularies, splits."""

import functools
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from seqmodels.errors import InputError, unknown
from tasks import fitted
from tasks.datasets import embedded, encoding, enwik8, files, own_text, packing, ptb, tfds_prepared, tiny_shakespeare
from tasks.datasets.packing import SPLIT, parse_split
from tasks.datasets.words import PLAIN, PREPARED
from tasks.subwords import Subwords
from tasks.tokenizers import Bytes, Characters, Tokenizer, WordTokenizer
from tasks.word_counts import WordCounts, word_counts

log = logging.getLogger('seqmodels')

VOCABULARY = 10_000  # words or sub-words; as many as the Penn Treebank was prepared with
UNITS = {
  'embedded': ('character', 'byte', 'word', 'whitespace', 'subword'),
  'tinyshakespeare': ('character', 'byte', 'word', 'whitespace', 'subword'),
  'enwik8': ('byte', 'word', 'subword'),
  'ptb': ('word', 'character', 'subword'),
}  # the first is the usual one
READ: dict[str, Callable[[], dict[str, bytes]]] = {
  'embedded': lambda: {'full': embedded.read()},
  'tinyshakespeare': tiny_shakespeare.load,
  'enwik8': enwik8.load,
  'ptb': ptb.load,
}
OWN_UNITS = ('character', 'byte', 'word', 'whitespace', 'subword')  # of the user's files
HAVE_SPLITS = ('enwik8', 'ptb')
SPACES = ' \t\n\r\v\f'


class Texts(NamedTuple):
  """Hold the texts of each split, or "full"; `content` is the sha256 of each split as it was read.

  One text a split, or where documents are packed, one a file or example.
  """

  texts: dict[str, list[bytes]]
  content: dict[str, str]


@dataclass(frozen=True)
class Corpus:
  """Hold the ids of each split.

  before: the id in front of a split's first token.
  content: the sha256 of each raw text, by name.
  spaces: the characters that stand between words.
  end: the token behind each document, beyond those of the tokenizer; -1: a split is one text. The training split begins
    with it, too, so that the first token of each document is predicted from it.
  """

  unit: str
  tokenizer: Tokenizer
  ids: dict[str, np.ndarray]
  before: dict[str, int]
  content: dict[str, str]
  spaces: str = SPACES
  end: int = -1

  @property
  def size(self) -> int:
    return self.tokenizer.size + (self.end >= 0)

  @functools.cached_property
  def word_counts(self) -> WordCounts:
    counts = word_counts(self.tokenizer, self.spaces)
    return counts if self.end < 0 else counts.with_end()

  @functools.cached_property
  def lengths(self) -> tuple[Float[np.ndarray, ' n'], ...]:
    """Return the number of characters that begin in each sub-word, and of bytes; see `Subwords.lengths`."""
    assert isinstance(self.tokenizer, Subwords)
    more = self.size - self.tokenizer.size  # the end of a document has neither
    return tuple(np.pad(lengths, (0, more)) for lengths in self.tokenizer.lengths)

  def fitted(self) -> dict[str, Any]:
    """Return unit and vocabulary as JSON; the vocabulary is null for bytes, and for sub-words, which have a file.

    prepared: whether words are those of a text that is cut into words already.
    """
    is_listed = not isinstance(self.tokenizer, Subwords) and self.tokenizer.vocabulary is not None
    is_prepared = isinstance(self.tokenizer, WordTokenizer) and self.tokenizer.words is PREPARED
    vocabulary = list(self.tokenizer.vocabulary or ()) if is_listed else None
    return {'unit': self.unit, 'vocabulary': vocabulary, 'prepared': is_prepared}

  @functools.cached_property
  def identity(self) -> dict[str, Any]:
    """Return checksums of the texts, of packed documents' borders, and of the vocabulary (bytes need none)."""
    found: dict[str, Any] = {'content': self.content}
    if self.end >= 0:
      ends = (np.flatnonzero(ids == self.end).astype('<i8').tobytes() for ids in self.ids.values())
      found['documents'] = hashlib.sha256(b''.join(ends)).hexdigest()
    if self.tokenizer.vocabulary is None:
      return found
    if isinstance(self.tokenizer, Subwords):
      return found | {'vocabulary': self.tokenizer.checksum}
    listed = '\0'.join(self.tokenizer.vocabulary).encode(errors='surrogatepass')
    return found | {'vocabulary': hashlib.sha256(listed).hexdigest()}


def check_options(dataset: str, unit: str, split: str) -> str:
  """Return the unit meant (`auto`: the usual one of the data set).

  Raises InputError for a unit that the data set does not have, and for a split that is none or not to be chosen.
  """
  if dataset not in UNITS:
    check_own(dataset, UNITS, 'a path, a folder or a pattern such as texts/*.txt')
  allowed = UNITS.get(dataset, OWN_UNITS)
  if unit not in ('auto', *allowed):
    raise unknown(f'task.unit of {dataset}', unit, ('auto', *allowed))
  parse_split(split)
  if split != SPLIT and dataset in HAVE_SPLITS:
    raise InputError(f'task.split={split!r} is not offered for {dataset}, which has its own splits; leave it {SPLIT}')
  return allowed[0] if unit == 'auto' else unit


def check_own(dataset: str, names: Iterable[str], kinds: str) -> None:
  """Raise InputError unless `dataset` names files or a data set of TFDS. names, kinds: what else is allowed."""
  if tfds_prepared.is_name(dataset):
    tfds_prepared.parse(dataset)
  elif not files.is_path(dataset):
    known = unknown('task.dataset', dataset, names)
    raise InputError(f'{known}, or files: {kinds}; or tfds:NAME')


@functools.lru_cache(maxsize=4)
def load(
  dataset: str,
  unit: str,
  split: str,
  vocabulary: int = VOCABULARY,
  stamp: tuple = (),
  tokenizer_file: str = '',
  restored: str = '',
  documents: str = packing.JOINED,
  separator: str = '',
) -> Corpus:
  """Return the corpus of a data set or of the user's files; prepares its data the first time (errors: source.read).

  Args:
    dataset: a name of UNITS, or files (see files.find).
    unit: character | byte | word (cut at spaces and punctuation) | whitespace (words as they stand between spaces) |
      subword (see subwords).
    split: percentages, for texts without splits of their own.
    vocabulary: number of words at most, the most frequent of the training split; number of sub-words.
    stamp: of the files, so that a changed file is read anew.
    tokenizer_file: of sub-words; '' trains one on the training split.
    restored: the vocabulary of characters or words in place of the training split's; see `Corpus.fitted`.
    documents: joined | packed; see packing.
    separator: the line between packed documents; see packing.separated.
  """
  del stamp
  kept, is_packed = fitted.parse(restored), documents == packing.PACKED
  texts, content = _texts(dataset, unit, is_packed)
  if is_packed:
    texts = {name: packing.separated(own, separator) for name, own in texts.items()}
  if unit == 'byte':
    tokenizer, ids = encoding.of_bytes(packing.cut(texts, split, dataset, is_packed=is_packed))
  else:
    read = {name: [_decoded(dataset, unit, text) for text in own] for name, own in texts.items()}
    parts = packing.cut(read, split, dataset, is_packed=is_packed)
    if unit == 'character':
      tokenizer, ids = encoding.of_characters(parts, dataset, kept.get('vocabulary'))
    elif unit == 'subword':
      tokenizer, ids = encoding.of_subwords(parts, vocabulary, tokenizer_file)
    else:
      words = PREPARED if kept.get('prepared', dataset == 'ptb' or unit == 'whitespace') else PLAIN
      tokenizer, ids = encoding.of_words(parts, words, vocabulary, kept.get('vocabulary'))
  spaces = '_\n' if dataset == 'ptb' and unit == 'character' else SPACES
  if not is_packed:
    whole = {name: own[0] for name, own in ids.items()}
    return Corpus(unit, tokenizer, whole, _before(whole), content, spaces)
  log.info('%s: documents: %s', dataset, ', '.join(f'{len(own):,} {name}' for name, own in ids.items()))
  end = tokenizer.size
  whole = {name: packing.pack(own, end) for name, own in ids.items()}
  whole['train'] = np.insert(whole['train'], 0, end)
  return Corpus(unit, tokenizer, whole, dict.fromkeys(whole, end), content, spaces, end)


def _before(ids: dict[str, np.ndarray]) -> dict[str, int]:
  """Return the token before each split: the last one of another.

  The training text is read in a circle: its last token stands before its first.
  """
  return {name: int(ids['validation' if name == 'test' else 'train'][-1]) for name in ids}


def tokenizer_of(kept: Mapping[str, Any]) -> Tokenizer:
  """Return the tokenizer of bytes, characters or words that `Corpus.fitted` describes."""
  if kept['vocabulary'] is None:
    return Bytes()
  vocabulary = tuple(kept['vocabulary'])
  if kept['unit'] == 'character':
    return Characters(vocabulary)
  return WordTokenizer(vocabulary, PREPARED if kept['prepared'] else PLAIN)


def _texts(dataset: str, unit: str, is_packed: bool) -> Texts:
  if dataset not in UNITS and not tfds_prepared.is_name(dataset):
    return Texts(*own_text.load(dataset, unit == 'byte', is_packed))
  if dataset in UNITS:
    texts = {name: [text] for name, text in READ[dataset]().items()}
    whole = {name: own[0] for name, own in texts.items()}
  else:
    texts = tfds_prepared.texts(dataset)
    whole = {name: tfds_prepared.lines(own) for name, own in texts.items()}
  content = {name: hashlib.sha256(text).hexdigest() for name, text in whole.items()}
  return Texts(texts if is_packed else {name: [text] for name, text in whole.items()}, content)


def _decoded(dataset: str, unit: str, text: bytes) -> str:
  if unit == 'character':
    return _characters(dataset, text)
  return text.decode(errors='replace')  # cuts by bytes, as those of enwik8, may split a character


def _characters(dataset: str, text: bytes) -> str:
  if dataset != 'ptb':
    try:
      return text.decode()
    except UnicodeDecodeError as error:
      byte, place = text[error.start], error.start
      raise InputError(
        f'the text of {dataset} is not UTF-8: byte 0x{byte:02x} at {place:,}; task.unit=byte reads it all the same'
      ) from error
  # The usual character version: words joined by `_`, a new line after each sentence (Mikolov et al. 2012).
  return ''.join('_'.join(line.split()) + '\n' for line in text.decode().splitlines())
