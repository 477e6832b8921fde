"""Read texts as arrays of ids, one array a split, kept in memory: units, vocabularies, splits."""

import functools
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from seqmodels.errors import InputError, unknown
from tasks import fitted, subwords
from tasks.datasets import embedded, enwik8, files, own_text, ptb, tfds_prepared, tiny_shakespeare
from tasks.datasets.words import PLAIN, PREPARED, Words
from tasks.datasets.words import vocabulary as vocabulary_of
from tasks.subwords import Subwords
from tasks.tokenizers import Bytes, Characters, Tokenizer, WordTokenizer, outside, word_ids
from tasks.word_counts import WordCounts, word_counts

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
SPLIT = '90/5/5'
LOST = 1e-3  # share of a text's characters that a given tokenizer may lose or add
HAVE_SPLITS = ('enwik8', 'ptb')
SPACES = ' \t\n\r\v\f'

Text = TypeVar('Text', str, np.ndarray)


class Texts(NamedTuple):
  """Hold the text of each split, or "full"; `content` is the sha256 of each as it was read."""

  texts: dict[str, bytes]
  content: dict[str, str]


@dataclass(frozen=True)
class Corpus:
  """Hold the ids of each split.

  before: the id in front of a split's first token.
  content: the sha256 of each raw text, by name.
  spaces: the characters that stand between words.
  """

  unit: str
  tokenizer: Tokenizer
  ids: dict[str, np.ndarray]
  before: dict[str, int]
  content: dict[str, str]
  spaces: str = SPACES

  @property
  def size(self) -> int:
    return self.tokenizer.size

  @functools.cached_property
  def word_counts(self) -> WordCounts:
    return word_counts(self.tokenizer, self.spaces)

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
    """Return checksums of the texts and of the vocabulary made of them (bytes need none)."""
    if self.tokenizer.vocabulary is None:
      return {'content': self.content}
    if isinstance(self.tokenizer, Subwords):
      return {'content': self.content, 'vocabulary': self.tokenizer.checksum}
    listed = '\0'.join(self.tokenizer.vocabulary).encode(errors='surrogatepass')
    return {'content': self.content, 'vocabulary': hashlib.sha256(listed).hexdigest()}


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


def parse_split(split: str) -> tuple[float, float]:
  """Return where training and validation end, as shares of the text: `80/10/10` is (0.8, 0.9).

  Raises InputError unless it is two or three percentages above 0 that add up to 100.
  """
  parts = files.percentages(split)
  if not parts:
    raise InputError(
      f'task.split={split!r} must be percentages of training/validation/test that add up to 100, as 90/5/5 or 90/10'
    )
  return parts[0] / 100, 1.0 if len(parts) == 2 else (parts[0] + parts[1]) / 100


@functools.lru_cache(maxsize=4)
def load(
  dataset: str,
  unit: str,
  split: str,
  vocabulary: int = VOCABULARY,
  stamp: tuple = (),
  tokenizer_file: str = '',
  restored: str = '',
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
  """
  del stamp
  kept = fitted.parse(restored)
  texts, content = _texts(dataset, unit)
  if unit in ('word', 'whitespace', 'subword'):
    # Cuts by bytes, as those of enwik8, may split a character.
    decoded = {name: text.decode(errors='replace') for name, text in texts.items()}
    if unit == 'subword':
      return _of_subwords(_cut(decoded, split, dataset), content, vocabulary, tokenizer_file)
    words = PREPARED if kept.get('prepared', dataset == 'ptb' or unit == 'whitespace') else PLAIN
    return _of_words(unit, _cut(decoded, split, dataset), content, words, vocabulary, kept.get('vocabulary'))
  tokenizer: Tokenizer = Bytes()
  if unit == 'byte':
    ids = {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}
  else:
    characters = {name: _characters(dataset, text) for name, text in texts.items()}
    ids, tokenizer = _character_ids(characters, dataset, kept.get('vocabulary'))
  ids = _cut(ids, split, dataset)
  return Corpus(unit, tokenizer, ids, _before(ids), content, '_\n' if dataset == 'ptb' else SPACES)


def _cut(texts: dict[str, Text], split: str, dataset: str) -> dict[str, Text]:
  """Return the splits of a text; those that it has must be left alone, and each must hold something.

  A text is cut by characters or bytes, also for words, so that all units have the same text to predict.
  """
  if 'full' not in texts:
    if split != SPLIT:
      raise InputError(f'task.split={split!r} has no meaning: {dataset} has files for each split; leave it {SPLIT}')
    return texts
  text = texts['full']
  train, validation = (int(share * len(text)) for share in parse_split(split))
  parts = {'train': text[:train], 'validation': text[train:validation], 'test': text[validation:]}
  if split.count('/') == 1:
    del parts['test']
  for name, part in parts.items():
    if not len(part):
      raise InputError(f'task.split={split!r} leaves nothing for {name}: {dataset} has a length of {len(text)} only')
  return parts


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


def _of_words(
  unit: str, texts: dict[str, str], content: dict[str, str], words: Words, size: int, kept: Sequence[str] | None = None
) -> Corpus:
  vocabulary = tuple(kept) if kept else vocabulary_of(words.split(texts['train']), words.unknown, size)
  tokenizer = WordTokenizer(vocabulary, words)
  ids = {name: np.fromiter(word_ids(words.split(text), tokenizer.index), np.int32) for name, text in texts.items()}
  for name, found in ids.items():
    if not len(found):
      raise InputError(f'the {name} split has no words: {len(texts[name])} characters, all of them spaces')
  return Corpus(unit, tokenizer, ids, _before(ids), content)


def _of_subwords(texts: dict[str, str], content: dict[str, str], size: int, tokenizer_file: str) -> Corpus:
  if tokenizer_file:
    path = pathlib.Path(tokenizer_file)
    tokenizer = Subwords(files.read_bytes(path), str(path))
  else:
    tokenizer = subwords.train(texts['train'], size)
  kind = np.uint16 if tokenizer.size <= 1 << 16 else np.int32
  ids = {name: tokenizer.encode(text).astype(kind) for name, text in texts.items()}
  if tokenizer_file:
    _check_kept(tokenizer, texts, ids)
  return Corpus('subword', tokenizer, ids, _before(ids), content)


def _check_kept(tokenizer: Subwords, texts: Mapping[str, str], ids: Mapping[str, np.ndarray]) -> None:
  """Raise InputError for pieces that do not keep a text: its bits would be those of fewer or more characters."""
  for name, text in texts.items():
    counted = int(tokenizer.lengths[0][ids[name]].sum(dtype=np.float64))
    if abs(counted - len(text)) > LOST * len(text) + 1:  # one: a space put before the text
      raise InputError(
        f'task.tokenizer={tokenizer.shown} makes {counted:,} characters of the {len(text):,} of the {name} split; make '
        'it with byte_fallback=True and normalization_rule_name=identity'
      )


def _texts(dataset: str, unit: str) -> Texts:
  if tfds_prepared.is_name(dataset):
    texts = tfds_prepared.texts(dataset)
  elif dataset in UNITS:
    texts = READ[dataset]()
  else:
    return Texts(*own_text.load(dataset, unit == 'byte'))
  return Texts(texts, {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()})


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


def _character_ids(
  texts: dict[str, str], dataset: str, kept: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], Characters]:
  """Return ids and tokenizer: the distinct characters of the whole text, in the order of their code points.

  kept: those of another text in their place. Raises InputError for characters that it does not have.
  """
  points = {name: np.frombuffer(text.encode('utf-32-le'), np.uint32) for name, text in texts.items()}
  distinct = np.unique(np.concatenate(list(points.values())))
  if kept is not None:
    known = np.array([*map(ord, kept)], np.uint32)
    if len(strange := np.setdiff1d(distinct, known)):
      found = outside(map(chr, strange))
      raise InputError(f'task.dataset={dataset!r} has {found}; the model was trained with {len(known)} characters')
    distinct = known
  kind = np.uint8 if len(distinct) <= 256 else np.int32
  ids = {name: np.searchsorted(distinct, text).astype(kind) for name, text in points.items()}
  return ids, Characters(tuple(map(chr, distinct)))
