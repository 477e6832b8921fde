"""Translate sentences: sub-words of the source are read, then those of the target are written.

With `e` for the token that begins what is written and ends both sides:

  source   Ein ▁Hund . e
  input    e A ▁dog .
  target   A ▁dog . e
"""

import dataclasses
import functools
import math
import pathlib
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from seqmodels.errors import InputError
from seqmodels.models import Model
from seqmodels.notation import Params
from seqmodels.spec import Spec, Tokens
from tasks import bleu, parallel
from tasks.answers import answers
from tasks.base import Batch, Decoding, Evaluation, HostSums, Shard, Sums
from tasks.buckets import BucketOrder, bounds, bucket_of
from tasks.datasets import files, naming, pairs
from tasks.ngrams import Ngrams
from tasks.parallel import Corpus, fitting_pairs, load, longest_pair
from tasks.pipeline import check_request, to_grain
from tasks.sentences import END, SentenceTokenizer
from tasks.shown import Shown, Text
from tasks.subwords import check_same
from tasks.token_task import TokenTask
from tasks.tokenizers import names

SHARED, SOURCE, TARGET = 'tokenizer.model', 'tokenizer.source.model', 'tokenizer.target.model'  # in a workdir
SIDES = ('source', 'target')
BUCKETS = 32  # at most
VOCABULARY = {'phrases': 500}


@dataclass(frozen=True)
class Translation(TokenTask):
  """Translate pairs of sentences of at most `length` sub-words a side, the end among them.

  `dataset` is phrases (made up), multi30k, or the user's own UTF-8 files: a table `pairs.tsv`, or files that end in the
  names of two languages (train.de, train.en), or `tfds:NAME[/CONFIG]` (see tfds_prepared). `pair` says from which
  language into which, as de-en (a table: its columns, as 2-1 or as its header names them). `split` cuts what has no
  splits of its own, in percentages. `lowercase` reads everything in lower case.

  Sub-words are pieces of a byte-pair encoding that is made of the training split: `vocabulary` of both languages
  together (0: 500 of phrases, else 8,000), or as many of each with `shared=False`. `tokenizer`, and `target_tokenizer`
  unless it is shared, take those of files instead. A workdir keeps them, and an export writes them.

  Training leaves out pairs that are longer than `length` and says how many; evaluation never does. A batch has pairs of
  similar length, padded to one of `buckets` lengths. `train_examples` takes the first pairs that are not too long.

  Teacher-forced: loss in nats a token, accuracy, nats and perplexity per word of the target. Free-running: `bleu`.
  """

  fixed_options = ('vocabulary', 'shared', 'lowercase', 'tokenizer', 'target_tokenizer')
  corpus_name: str = field(default='phrases', metadata={'option': 'dataset'})
  pair: str = 'auto'
  split: str = pairs.SPLIT
  vocabulary: int = 0
  shared: bool = True
  lowercase: bool = False
  length: int = 64
  buckets: int = 4
  tokenizer_file: str = field(default='', metadata={'option': 'tokenizer'})
  target_tokenizer: str = ''

  def __post_init__(self) -> None:
    super().__post_init__()
    pairs.check_options(self.corpus_name, self.pair, self.split)
    if not 1 <= self.buckets <= BUCKETS:
      raise InputError(f'task.buckets={self.buckets} must be from 1 to {BUCKETS}: the step is compiled for each')
    if self.vocabulary < 0:
      raise InputError(f'task.vocabulary={self.vocabulary} must be a number of sub-words, or 0: the usual one')
    if self.length < 2:
      raise InputError(f'task.length={self.length} must be at least 2: a sub-word and the end')
    if self.shared and self.target_tokenizer:
      raise InputError(f'task.target_tokenizer={self.target_tokenizer} has no meaning with task.shared=True')
    if not self.shared and bool(self.tokenizer_file) != bool(self.target_tokenizer):
      raise InputError('task.tokenizer and task.target_tokenizer must both be given with task.shared=False, or neither')

  @property
  def corpus(self) -> Corpus:
    return load(
      self.corpus_name,
      self.pair,
      self.split,
      self.lowercase,
      self.vocabulary or VOCABULARY.get(self.corpus_name, 8000),
      self.shared,
      (self.tokenizer_file, self.target_tokenizer),
      self._stamp,
    )

  @functools.cached_property
  def _stamp(self) -> tuple:
    """Return size and time of change of the user's files as they were first found."""
    own = naming.stamp(self.corpus_name, pairs.READ)
    given = {'tokenizer': self.tokenizer_file, 'target_tokenizer': self.target_tokenizer}
    return (*own, *(part for option, path in given.items() if path for part in files.stamp(path, option)))

  @property
  def splits(self) -> tuple[str, ...]:  # type: ignore[override]
    return tuple(self.corpus.texts.sources)

  @property
  def tokenizer(self) -> SentenceTokenizer:
    return self._tokenizers[1]

  @functools.cached_property
  def _tokenizers(self) -> tuple[SentenceTokenizer, SentenceTokenizer]:
    """Return those of source and target; where they have files, the data are not read."""
    files_of = self.tokenizer_file, self.target_tokenizer
    read = parallel.read_tokenizers(files_of) if self.tokenizer_file else None
    return read or (self.corpus.source_tokenizer, self.corpus.target_tokenizer)

  @property
  def target_language(self) -> str:
    pair = pairs.USUAL if self.pair == 'auto' and self.corpus_name in pairs.READ else self.pair
    return pair.rpartition('-')[2]

  @property
  def spec(self) -> Spec:
    source, target = Tokens(self.corpus.source_tokenizer.size), Tokens(self.corpus.target_tokenizer.size)
    longest = longest_pair(self.corpus, self.length)
    return Spec('seq2seq', target, target, longest, source=source, source_length=longest, start=END)

  def count(self, split: str) -> int:
    return len(self._members(split))

  def _members(self, split: str) -> np.ndarray:
    """Return the numbers of the pairs of a split that are read."""
    if split != 'train':
      return np.arange(len(self.corpus.texts.sources[split]))
    fitting = fitting_pairs(self.corpus, self.length)
    if self.train_examples > len(fitting):
      raise InputError(f'task.train_examples={self.train_examples} must be at most {len(fitting)}, the training pairs')
    return fitting[: self.train_examples] if self.train_examples else fitting

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    numbers = self._members(split)[indices]
    return self._padded(split, numbers, self._bound(split, self.corpus.lengths[split][numbers]))

  def _bound(self, split: str, lengths: np.ndarray) -> int:
    """Return the padded length of a batch: the smallest bucket that its longest pair fits, else the split's longest."""
    longest, limits = lengths.max(), self.lengths()
    return limits[int(bucket_of(longest, limits))] if longest <= self.length else int(self.corpus.lengths[split].max())

  def _padded(self, split: str, numbers: np.ndarray, length: int) -> Batch:
    source, source_mask = self.corpus.sources[split].padded(numbers, length)
    targets, mask = self.corpus.targets[split].padded(numbers, length)
    inputs = np.concatenate([np.full((len(numbers), 1), END, np.int32), targets[:, :-1]], axis=1)
    places = (self.corpus.first[split] + numbers).astype(np.int32)
    extras = {'words': self.corpus.words[split][numbers], 'place': places}
    return Batch(inputs, targets, mask.astype(np.float32), source=source, source_mask=source_mask, extras=extras)

  def dataset(
    self, split: str, batch_size: int, *, seed: int = 0, shard: Shard = Shard(), segment: int | None = None
  ) -> Any:
    check_request(self, split, batch_size, segment)
    rows = shard.index * batch_size + np.arange(batch_size)
    whole, members = batch_size * shard.count, self._members(split)
    lengths = self.corpus.lengths[split][members]
    if split == 'train':
      limits = self.lengths()
      which = bucket_of(lengths, limits)
      buckets = [members[which == bucket] for bucket in range(len(limits))]
      order = BucketOrder(tuple(map(len, buckets)), whole, seed)

      def drawn(number: int) -> Batch:
        bucket, places = order.members(int(number), rows)
        return self._padded(split, buckets[bucket][places], limits[bucket])

      return to_grain(drawn, sys.maxsize)

    def in_order(number: int) -> Batch:
      everyone = np.arange(int(number) * whole, (int(number) + 1) * whole)
      length = self._bound(split, lengths[np.minimum(everyone, len(members) - 1)])
      own = everyone[rows]
      batch = self._padded(split, members[np.minimum(own, len(members) - 1)], length)
      return batch._replace(weights=batch.weights * (own < len(members)).astype(np.float32)[:, None])

    return to_grain(in_order, -(-len(members) // whole))

  def lengths(self) -> tuple[int, ...]:
    return bounds(longest_pair(self.corpus, self.length), self.buckets)

  def largest_row(self, seed: int = 0, segment: int | None = None) -> Batch:
    check_request(self, 'train', 1, segment)
    return self._padded('train', self._members('train')[:1], self.lengths()[-1])

  def evaluations(self) -> dict[str, Evaluation]:
    """Return one evaluation a split, long enough for all of its pairs."""
    found = {}
    for split in self.splits:
      longest = int(self.corpus.lengths[split].max())
      if split != 'train':
        found[split] = Evaluation(split, {'length': longest} if longest > self.length else {})
    return found

  def metrics(self, outputs: Float[Array, 'b t n'], batch: Batch) -> dict[str, Sums]:
    """Return loss (nats a token), accuracy, and nats_per_word of the target, its end being one more word."""
    metrics = super().metrics(outputs, batch)
    loss, weight = metrics['loss']
    return metrics | {'nats_per_word': (loss, batch.extras['words'] * (weight > 0))}

  def derived(self, values: dict[str, float]) -> dict[str, float]:
    """Return the perplexity per word, whatever the vocabulary."""
    return {'perplexity': math.exp(min(values['nats_per_word'], 700.0))}

  def free_running(
    self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()
  ) -> dict[str, HostSums]:
    """Return the statistics of BLEU of what the model writes, as many tokens as the longest pair has at most."""
    written, references = self._written(model, params, batch, decoding)
    return bleu.sentence_sums(written, references, self.target_language, self.lowercase)

  def _written(self, model: Model, params: Params, batch: Batch, decoding: Decoding) -> tuple[list[str], list[str]]:
    """Return the translations of a model and the true ones."""
    written = [self.decode(ids) for ids in answers(model, params, batch, decoding, self.spec.length)]
    return written, [self.corpus.references[int(place)] for place in np.asarray(batch.extras['place'])]

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return each sentence with its true translation and that of a model."""
    sources = [self.decode_source(ids) for ids in batch.source]
    return list(map(Text, sources, *reversed(self._written(model, params, batch, decoding))))

  def free_running_scores(self, totals: dict[str, tuple[float, float]]) -> dict[str, float]:
    return bleu.corpus_score(totals)

  def signatures(self) -> dict[str, str]:
    return {'bleu': bleu.signature(self.target_language, self.lowercase)}

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the loss of the training targets' unigram, and BLEU of the source itself, on the last split."""
    split, corpus = self.splits[-1], self.corpus
    targets = corpus.targets[split].ids
    seen = corpus.targets['train'].joined(self._members('train'))
    unigram = Ngrams(seen, corpus.target_tokenizer.size).unigram(targets)
    words = float(corpus.words[split].sum(dtype=np.float64))
    values = {'loss': float(unigram.mean()), 'nats_per_word': float(unigram.sum()) / words}
    sums = bleu.sentence_sums(
      corpus.texts.sources[split], corpus.texts.targets[split], self.target_language, self.lowercase
    )
    totals = {name: (float(total.sum()), float(weight.sum())) for name, (total, weight) in sums.items()}
    return {'unigram': values | self.derived(values), 'copied source': bleu.corpus_score(totals)}

  def identity(self) -> dict[str, Any]:
    corpus = self.corpus
    checksums = {
      side: tokenizer.subwords.checksum
      for side, tokenizer in zip(SIDES, (corpus.source_tokenizer, corpus.target_tokenizer), strict=True)
    }
    name = naming.recorded(self.corpus_name, pairs.READ)
    return {'dataset': name, 'lowercase': self.lowercase, 'content': corpus.texts.content, 'vocabulary': checksums}

  def kept_files(self) -> dict[str, bytes]:
    source, target = self.corpus.source_tokenizer.subwords, self.corpus.target_tokenizer.subwords
    return {SHARED: source.model} if self.shared else {SOURCE: source.model, TARGET: target.model}

  def with_files(self, folder: pathlib.Path) -> 'Translation':
    source, target = folder / (SHARED if self.shared else SOURCE), folder / TARGET
    if not source.is_file() or not (self.shared or target.is_file()):
      return self
    check_same('tokenizer', self.tokenizer_file, source)
    if self.shared:
      return dataclasses.replace(self, tokenizer_file=str(source))
    check_same('target_tokenizer', self.target_tokenizer, target)
    return dataclasses.replace(self, tokenizer_file=str(source), target_tokenizer=str(target))

  def encode(self, text: str) -> np.ndarray:
    """Return the ids of a source."""
    return self._tokenizers[0].encode(text.lower() if self.lowercase else text)

  def source_names(self, ids: np.ndarray) -> list[str]:
    return names(self._tokenizers[0], ids)

  def decode_source(self, ids: np.ndarray) -> str:
    return self._tokenizers[0].decode(ids)
