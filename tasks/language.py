"""Model language: predict the next character, byte, word or sub-word of a text, or masked ones."""

import dataclasses
import functools
import math
import pathlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from seqmodels.decoding.sampling import Sampling, generate
from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.models import Model
from seqmodels.notation import Params
from seqmodels.spec import Spec, Tokens
from tasks import draws, losses
from tasks.answers import before_end
from tasks.base import Batch, Decoding, Shard, Sums
from tasks.datasets import corpora, files, naming, packing
from tasks.fitted import Fitted
from tasks.ngrams import Ngrams
from tasks.pipeline import check_request, to_grain
from tasks.shown import Shown, Text
from tasks.streams import TextStream, newest_document
from tasks.subwords import Subwords, check_same
from tasks.token_task import TokenTask
from tasks.tokenizers import Tokenizer

TOKENIZER = 'tokenizer.model'  # the file of sub-words in a workdir
SAMPLING = Sampling(temperature=0.8)  # of what is shown of a model


@dataclass(frozen=True)
class Language(Fitted, TokenTask):
  """Read windows of `length` tokens; `unit` is auto | character | byte | word | whitespace | subword.

  `dataset` is a name (embedded | tinyshakespeare | enwik8 | ptb) or the user's own UTF-8 files: a file, a folder, or a
  pattern such as `texts/*.txt`. Files with train, valid and test in their names are these splits. `tfds:NAME[/CONFIG]`
  reads a data set that TensorFlow Datasets has prepared (see tfds_prepared).

  Words are those between spaces and punctuation, each with the space before it; with `unit=whitespace` what stands
  between spaces, and an end of sentence for each line. The `vocabulary` most frequent ones of the training split are
  told apart, and `<unk>` stands for the others.

  Sub-words are pieces of a byte-pair encoding that is trained on the training split, `vocabulary` of them, or those of
  `tokenizer`, the file of a SentencePiece model. A workdir keeps the tokenizer, and an export writes it, too.

  `split` cuts texts that have no splits of their own, in percentages: `90/5/5` (as TFDS does) or `90/10` (validation is
  the last tenth, as in nanoGPT; no test split). Training reads windows from anywhere in the text, each start once an
  epoch; with segments it reads `batch_size` contiguous streams instead (Zaremba, Sutskever & Vinyals 2014). Evaluation
  predicts every token of the split once, in windows of `length` that start without a past.

  `documents=packed` reads each file, or each example of a TFDS data set, as a document of its own; `separator` is the
  line between documents that one file holds, `blank_line` for blank lines. Documents stand one after another, and a
  token of its own, `<|endoftext|>`, behind each is a target like others, and the input that the first token of the
  next one is predicted from (Radford et al. 2019). `reset` is true there, so that nothing crosses a border. It is no
  character, no byte and no word. Texts without splits of their own are cut by the number of documents.

  `train_examples` trains on the first windows of the text alone, side by side; the vocabulary stays that of all of it.

  `objective=masked` trains an encoder instead (Devlin et al. 2019): about `mask_share` of a window's tokens are to be
  predicted, of which 80 % are shown as a token of their own, 10 % as a random one and 10 % as they are. Which ones
  depends on the seed and the window; in evaluation on the window alone.

  `by_index` adds the loss by the token's place in its window (or segment): `loss_1` of the first, `loss_2` of the
  second and third, `loss_4` of the next four, and so on. It falls as long as a model makes use of what it has read.
  """

  unbroken = True
  fixed_options = ('unit', 'vocabulary', 'tokenizer')
  corpus: str = field(default='embedded', metadata={'option': 'dataset'})
  unit: str = 'auto'
  vocabulary: int = corpora.VOCABULARY
  length: int = 128
  split: str = '90/5/5'
  objective: str = 'next'  # next | masked
  mask_share: float = 0.15
  by_index: bool = False
  tokenizer_file: str = field(default='', metadata={'option': 'tokenizer'})
  documents: str = 'joined'  # joined | packed
  separator: str = ''

  def __post_init__(self) -> None:
    super().__post_init__()
    unit = corpora.check_options(self.corpus, self.unit, self.split)
    packing.check_options(self.documents, self.separator)
    if unit not in ('word', 'whitespace', 'subword') and self.vocabulary != corpora.VOCABULARY:
      raise InputError(f'task.vocabulary={self.vocabulary} has no meaning with task.unit={unit}: it counts words')
    if self.tokenizer_file and unit != 'subword':
      raise InputError(f'task.tokenizer={self.tokenizer_file} has no meaning with task.unit={unit}; allowed: subword')
    if self.vocabulary < 3:
      raise InputError(f'task.vocabulary={self.vocabulary} must be at least 3: two entries stand for unknown words')
    check_positive(**{'task.length': self.length})
    if self.objective not in ('next', 'masked'):
      raise unknown('task.objective', self.objective, ('next', 'masked'))
    if not 0 < self.mask_share <= 1:
      raise InputError(f'task.mask_share={self.mask_share} must be above 0 and at most 1')

  @property
  def text(self) -> corpora.Corpus:
    unit = corpora.check_options(self.corpus, self.kept.get('unit', self.unit), self.split)
    options = self.split, self.vocabulary, self._stamp, self.tokenizer_file, self.restored
    return corpora.load(self.corpus, unit, *options, self.documents, self.separator)

  @functools.cached_property
  def _stamp(self) -> tuple:
    """Return size and time of change of the user's files as they were first found."""
    own = naming.stamp(self.corpus, corpora.UNITS)
    return (*own, *files.stamp(self.tokenizer_file, 'tokenizer')) if self.tokenizer_file else own

  @property
  def _has_bits(self) -> bool:
    """Tell whether losses are also given in bits: per character or byte, not per word."""
    return self.text.unit in ('character', 'byte')

  @property
  def tokenizer(self) -> Tokenizer:
    return self._restored_tokenizer if self.restored else self.text.tokenizer

  @functools.cached_property
  def _restored_tokenizer(self) -> Tokenizer:
    """Return the tokenizer of the training, which needs none of the data."""
    if self.kept['unit'] == 'subword':
      return Subwords(files.read_bytes(pathlib.Path(self.tokenizer_file)), self.tokenizer_file)
    return corpora.tokenizer_of(self.kept)

  def tokens(self, split: str) -> np.ndarray:
    """Return the ids of a split, or the first `train_examples` windows of training and one token."""
    ids = self.text.ids[split]
    if split != 'train' or not self.train_examples:
      return ids
    most = (len(ids) - 1) // self.length
    if self.train_examples > most:
      raise InputError(
        f'task.train_examples={self.train_examples} must be at most {most}: the training text has {len(ids)} tokens, '
        f'windows have {self.length}'
      )
    return ids[: self.train_examples * self.length + 1]

  def _stream(self, split: str) -> TextStream:
    ids = self.tokens(split)
    before = int(ids[-1]) if split == 'train' else self.text.before[split]  # training text is a circle
    return TextStream(ids, before, self.end_of_text)

  @property
  def end_of_text(self) -> int:
    return self.tokenizer.size if self.documents == packing.PACKED else -1

  @property
  def _size(self) -> int:
    """Return the number of tokens, without the one for what is masked."""
    return self.tokenizer.size + (self.documents == packing.PACKED)

  @property
  def ngrams(self) -> Ngrams:
    return Ngrams(self.tokens('train'), self.text.size)

  @property
  def spec(self) -> Spec:
    if self.objective == 'masked':
      tokens = Tokens(self._size + 1)  # the last stands for what is masked
      return Spec('encode', tokens, tokens, length=self.length)
    tokens = Tokens(self._size)
    return Spec('causal', tokens, tokens, length=self.length)

  @property
  def splits(self) -> tuple[str, ...]:  # type: ignore[override]
    return tuple(self.text.ids)

  def count(self, split: str) -> int:
    """Return the number of starts of a window in training, of windows that cover the split in evaluation."""
    tokens = len(self.tokens(split))
    if split != 'train':
      return -(-tokens // self.length)
    if tokens <= self.length:
      raise InputError(f'task.length={self.length} must be less than the {tokens} tokens of the training text')
    return tokens - self.length

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    stream = self._stream(split)
    batch = stream.windows(indices, self.length) if split == 'train' else stream.covering(indices, self.length)
    if self.objective == 'next':
      return batch
    key = draws.key('mask', split, seed if split == 'train' else 0)
    # Only the last window of a split has padding; a batch's structure is the same all through a split.
    mask = None if split == 'train' else batch.weights > 0
    return self._masked(batch, draws.words(key, indices, self.length))._replace(mask=mask)

  def _masked(self, batch: Batch, words: np.ndarray) -> Batch:
    """Return the batch's targets as inputs, some of them masked, which alone count. One draw a token decides."""
    draw = draws.uniforms(words) / self.mask_share  # below 1: predicted
    draw[batch.targets == self.end_of_text] = 1
    random = (np.clip((draw - 0.8) / 0.1, 0, 0.999_999) * self.tokenizer.size).astype(np.int32)
    inputs = np.where(draw < 0.8, np.int32(self._size), np.where(draw < 0.9, random, batch.targets))
    return batch._replace(inputs=inputs.astype(np.int32), weights=batch.weights * (draw < 1).astype(np.float32))

  def dataset(
    self, split: str, batch_size: int, *, seed: int = 0, shard: Shard = Shard(), segment: int | None = None
  ) -> Any:
    if segment is None:
      return super().dataset(split, batch_size, seed=seed, shard=shard)
    check_request(self, split, batch_size, segment)
    rows = shard.index * batch_size + np.arange(batch_size)
    text = self._stream(split)
    if split == 'train':
      return to_grain(text.circling(rows, batch_size * shard.count, segment, seed), sys.maxsize)
    stream = -(-len(text.ids) // (batch_size * shard.count))
    return to_grain(functools.partial(text.once, rows, stream, segment), -(-stream // segment))

  def metrics(self, outputs: Float[Array, 'b t n'], batch: Batch) -> dict[str, Sums]:
    """Return loss (nats a token), accuracy, bits (a character or byte) and nats_per_word (see word_counts).

    The ends of packed documents are tokens, and their nats count in all of these; they are no characters and no words.
    Words have no bits, those of sub-words are a character's and, as bits_per_byte, a byte's; masked tokens have no
    nats_per_word.
    """
    metrics = super().metrics(outputs, batch)
    loss, _ = metrics['loss']
    if self._has_bits:
      metrics['bits'] = (loss / math.log(2), losses.summed(batch.targets != self.end_of_text, batch.weights)[0])
    if isinstance(self.tokenizer, Subwords):
      for name, lengths in zip(('bits', 'bits_per_byte'), self.text.lengths, strict=True):
        metrics[name] = (loss / math.log(2), losses.summed(jnp.asarray(lengths)[batch.targets], batch.weights)[0])
    if self.objective == 'next':
      words = self.text.word_counts.words_in(batch.inputs, batch.targets)
      metrics['nats_per_word'] = (loss, losses.summed(words, batch.weights)[0])
    return metrics | self._losses_by_index(outputs, batch) if self.by_index else metrics

  def _losses_by_index(self, outputs: Float[Array, 'b t n'], batch: Batch) -> dict[str, Sums]:
    nats = self.loss_by_position(outputs, batch)
    starts = [1 << i for i in range(nats.shape[1].bit_length())]
    parts = {f'loss_{start}': slice(start - 1, 2 * start - 1) for start in starts}
    return {name: (nats[:, part].sum(axis=1), batch.weights[:, part].sum(axis=1)) for name, part in parts.items()}

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return the first half of each window, the true second half, and what a model writes in its place.

    It draws at a temperature of 0.8, with the same random numbers each time. Of masked tokens nothing is shown, and of
    packed documents the one in the middle of the window.
    """
    del decoding
    given = batch.inputs.shape[1] // 2
    if self.objective == 'masked' or not given:
      return []
    prompts, there = newest_document(batch, given)
    room, end, mask = batch.inputs.shape[1] - given, self.end_of_text, None if there is None else jnp.asarray(there)
    sampling, key = dataclasses.replace(SAMPLING, stop=end), jax.random.key(0)
    made = generate(model, params, jnp.asarray(prompts), room, key=key, sampling=sampling, mask=mask)
    written = np.asarray(jnp.concatenate(list(made), axis=1))
    following = slice(given - 1, -1)
    rows = zip(prompts, batch.targets[:, following], written, batch.weights[:, following] > 0, strict=True)
    there = np.ones(prompts.shape, bool) if there is None else there
    return [
      Text(self.decode(x[known]), self.decode(before_end(y[counted], end)), self.decode(z))
      for (x, y, z, counted), known in zip(rows, there, strict=True)
    ]

  def prompt(self, text: str) -> np.ndarray:
    """Return the ids of the beginning of a document; of a text that goes on where documents are joined."""
    ids = self.encode(text)
    return ids if self.end_of_text < 0 else np.insert(ids, 0, self.end_of_text)

  def decode(self, ids: np.ndarray) -> str:
    """Return the text of ids; ends of documents have none."""
    return super().decode(np.asarray(ids)[np.asarray(ids) != self.end_of_text])

  def token_names(self, ids: np.ndarray) -> list[str]:
    names = super().token_names(ids)
    return [packing.END if token == self.end_of_text else name for token, name in zip(ids, names, strict=True)]

  def units(self) -> dict[str, Any]:
    """Return the vocabulary (see TokenTask) and, of packed documents, the token that ends each."""
    return super().units() | ({} if self.end_of_text < 0 else {'end_of_text': self.end_of_text})

  def derived(self, values: dict[str, float]) -> dict[str, float]:
    """Return the perplexity per word, whatever the unit."""
    return {'perplexity': _perplexity(values['nats_per_word'])} if 'nats_per_word' in values else {}

  def identity(self) -> dict[str, Any]:
    name = naming.recorded(self.corpus, corpora.UNITS)
    return {'dataset': name, 'unit': self.text.unit, 'split': self.split, **self.text.identity}

  def fitted(self) -> dict[str, Any]:
    return self.text.fitted()

  def with_fitted(self, values: Mapping[str, Any]) -> 'Language':
    if values['unit'] == 'subword' and not self.tokenizer_file:
      raise InputError(f'{TOKENIZER} of the workdir is missing: it holds the sub-words that the model reads')
    return super().with_fitted(values)

  def kept_files(self) -> dict[str, bytes]:
    return {TOKENIZER: self.tokenizer.model} if isinstance(self.tokenizer, Subwords) else {}

  def with_files(self, folder: pathlib.Path) -> 'Language':
    path = folder / TOKENIZER
    if corpora.check_options(self.corpus, self.unit, self.split) != 'subword' or not path.is_file():
      return self
    check_same('tokenizer', self.tokenizer_file, path)
    return dataclasses.replace(self, tokenizer_file=str(path))

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the scores of the unigram and, where the next token is predicted, the bigram on the last split."""
    split = self.splits[-1]
    targets = self.text.ids[split]
    before = np.concatenate([[self.text.before[split]], targets[:-1]])
    found = self.ngrams.metrics(before, targets)
    if self.objective != 'next':
      del found['bigram']
    words = float(np.asarray(self.text.word_counts.words_in(before, targets), np.float64).sum())
    for values in found.values():
      if self._has_bits:
        values['bits'] = values['loss'] / math.log(2) * (len(targets) / int((targets != self.end_of_text).sum()))
      if isinstance(self.tokenizer, Subwords):
        for name, lengths in zip(('bits', 'bits_per_byte'), self.text.lengths, strict=True):
          values[name] = values['loss'] / math.log(2) * len(targets) / float(lengths[targets].sum(dtype=np.float64))
      if self.objective == 'next' and words:
        values['nats_per_word'] = values['loss'] * len(targets) / words
        values |= self.derived(values)
    return found


def _perplexity(nats: float) -> float:
  """Return e^nats; infinite where a float cannot hold it."""
  return math.inf if nats > 700 else math.exp(nats)
