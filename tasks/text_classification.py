"""Classify texts: passages of help topics, the user's own tables of labels and texts, data sets of TFDS."""

import dataclasses
import functools
import hashlib
import logging
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int64

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.spec import Spec, Tokens
from tasks import subwords
from tasks.base import Batch
from tasks.datasets import LABELLED, files, labelled_texts, naming
from tasks.datasets.words import PLAIN
from tasks.datasets.words import vocabulary as vocabulary_of
from tasks.fitted import Fitted
from tasks.label_task import LabelTask
from tasks.subwords import Subwords
from tasks.tokenizers import Bytes, Tokenizer, WordTokenizer, names

log = logging.getLogger('seqmodels')

UNITS = ('byte', 'word', 'subword')
TOKENIZER = 'tokenizer.model'  # the file of sub-words in a workdir
VOCABULARY = 1000


class Encoded(NamedTuple):
  """Hold the tokens of texts, one after the other; text i ends at ends[i]."""

  ids: Int[np.ndarray, ' n']
  ends: Int64[np.ndarray, ' k']


@dataclass(frozen=True)
class TextClassification(Fitted, LabelTask):
  """Give each text one of the classes, reading its first `length` tokens.

  `dataset` is a name (topics), the user's own .tsv files, a label and a text in each line (`columns` names their
  places, as 1-2, or has their names), or `tfds:NAME[/CONFIG]` with a text and a label. Tables with train, valid and
  test in their names are these splits; others are cut by `split`, at random. Rows without a label or a text are left
  out and counted.

  `unit` is byte (as in Long Range Arena, Tay et al. 2021) | word | subword: the `vocabulary` most frequent words of the
  training texts, or a byte-pair encoding trained on them, which a workdir keeps; `tokenizer` names another.
  """

  fixed_options = ('kind', 'unit', 'vocabulary', 'tokenizer')
  collection: str = field(default='topics', metadata={'option': 'dataset'})
  unit: str = 'byte'
  vocabulary: int = VOCABULARY
  length: int = 128
  split: str = '90/5/5'
  columns: str = 'auto'
  tokenizer_file: str = field(default='', metadata={'option': 'tokenizer'})

  def __post_init__(self) -> None:
    super().__post_init__()
    labelled_texts.check_options(self.collection, self.split, self.columns)
    if self.unit not in UNITS:
      raise unknown('task.unit', self.unit, UNITS)
    if self.unit == 'byte' and self.vocabulary != VOCABULARY:
      raise InputError(f'task.vocabulary={self.vocabulary} has no meaning with task.unit=byte')
    if self.tokenizer_file and self.unit != 'subword':
      raise InputError(f'task.tokenizer={self.tokenizer_file} has no meaning with task.unit={self.unit}')
    if self.vocabulary < 3:
      raise InputError(f'task.vocabulary={self.vocabulary} must be at least 3')
    check_positive(**{'task.length': self.length})

  @functools.cached_property
  def _stamp(self) -> tuple:
    own = naming.stamp(self.collection, LABELLED)
    return (*own, *files.stamp(self.tokenizer_file, 'tokenizer')) if self.tokenizer_file else own

  @property
  def data(self) -> labelled_texts.Labelled:
    classes = tuple(self.kept.get('classes', ()))
    return labelled_texts.load(self.collection, self.split, self.columns, self._stamp, classes)

  @functools.cached_property
  def tokenizer(self) -> Tokenizer:
    """The map between texts and tokens, made of the training texts."""
    if self.unit == 'byte':
      return Bytes()
    if self.unit == 'word' and self.restored:
      return WordTokenizer(tuple(self.kept['vocabulary']), PLAIN)
    texts = self.data.texts['train']
    if self.unit == 'word':
      return WordTokenizer(vocabulary_of(PLAIN.split('\n'.join(texts)), PLAIN.unknown, self.vocabulary), PLAIN)
    if self.tokenizer_file:
      return Subwords(files.read_bytes(pathlib.Path(self.tokenizer_file)), self.tokenizer_file)
    return subwords.train('\n'.join(texts), self.vocabulary)

  @functools.cached_property
  def encoded(self) -> Mapping[str, Encoded]:
    """The first `length` tokens of every text of each split; says how many texts are cut."""
    found = {}
    for split, texts in self.data.texts.items():
      rows = [self.tokenizer.encode(text) for text in texts]
      if cut := sum(len(row) > self.length for row in rows):
        log.info('%s: %d of %d texts are cut to %d tokens (task.length)', split, cut, len(rows), self.length)
      rows = [row[: self.length] for row in rows]
      found[split] = Encoded(np.concatenate(rows).astype(np.int32), np.cumsum([len(row) for row in rows]))
    return found

  @property
  def splits(self) -> tuple[str, ...]:  # type: ignore[override]
    return tuple(self.data.texts)

  @property
  def spec(self) -> Spec:
    return self.spec_of(Tokens(self.tokenizer.size), len(self.data.classes), self.length)

  def count(self, split: str) -> int:
    return self.limited(split, len(self.data.labels[split]))

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    ids, ends = self.encoded[split]
    starts = np.concatenate([[0], ends[:-1]])[indices]
    lengths = ends[indices] - starts
    place = np.arange(self.length)[None, :]
    mask = place < lengths[:, None]
    tokens = np.where(mask, ids[np.minimum(starts[:, None] + place, len(ids) - 1)], 0).astype(np.int32)
    return Batch(tokens, self.data.labels[split][indices], np.ones(len(indices), np.float32), mask=mask)

  def class_names(self) -> tuple[str, ...]:
    return self.data.classes

  def read_as(self, inputs: np.ndarray) -> str:
    return self.tokenizer.decode(inputs)

  def token_names(self, ids: np.ndarray) -> list[str]:
    """Return the text of each token."""
    return names(self.tokenizer, ids)

  def identity(self) -> dict[str, Any]:
    tokenizer, vocabulary = self.tokenizer, {}
    if isinstance(tokenizer, Subwords):
      vocabulary = {'vocabulary': tokenizer.checksum}
    elif tokenizer.vocabulary is not None:
      listed = '\0'.join(tokenizer.vocabulary).encode(errors='surrogatepass')
      vocabulary = {'vocabulary': hashlib.sha256(listed).hexdigest()}
    name, classes = naming.recorded(self.collection, LABELLED), list(self.data.classes)
    return {'dataset': name, 'unit': self.unit, 'classes': classes, 'content': self.data.content, **vocabulary}

  def units(self) -> dict[str, Any]:
    return {'classes': list(self.data.classes), 'vocabulary': self.tokenizer.vocabulary}

  def fitted(self) -> dict[str, Any]:
    vocabulary = None if isinstance(self.tokenizer, Subwords) else self.tokenizer.vocabulary
    return {'classes': list(self.data.classes), 'vocabulary': vocabulary and list(vocabulary)}

  def kept_files(self) -> dict[str, bytes]:
    return {TOKENIZER: self.tokenizer.model} if isinstance(self.tokenizer, Subwords) else {}

  def with_files(self, folder: pathlib.Path) -> 'TextClassification':
    path = folder / TOKENIZER
    if self.unit != 'subword' or not path.is_file():
      return self
    subwords.check_same('tokenizer', self.tokenizer_file, path)
    return dataclasses.replace(self, tokenizer_file=str(path))
