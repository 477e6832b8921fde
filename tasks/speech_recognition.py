"""Recognise speech: log-mel frames or µ-law samples in, words or characters out."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int16

from seqmodels.errors import InputError, check_positive
from seqmodels.models import Model
from seqmodels.notation import Params
from seqmodels.spec import Spec, Tokens, Vectors
from tasks import audio, ctc, draws, losses, speech_baselines
from tasks.answers import answers, log_probabilities
from tasks.base import Batch, Decoding, Evaluation, HostSums, Shard, Sums
from tasks.edit_distance import edit_distances
from tasks.label_task import KINDS
from tasks.pipeline import ENDLESS, check_request
from tasks.recognition_data import Prepared, prepare
from tasks.shown import Shown, Spectrograms, Text
from tasks.speech_task import FEATURES, NORMALISE, Reading, SpeechTask, Steps, check_choice, gathered, read_sound
from tasks.tokenizers import named
from tasks.transcripts import OTHER, UNITS, error_sums

LOSSES = ('ctc', 'attention', 'label')
STRING_SHARE = 0.7  # a string has room for so large a share of the longest digit, times its number of digits
START = 0  # begins and ends what an attention model writes


@dataclass(frozen=True)
class SpeechRecognition(SpeechTask):
  """Write what is said; see SpeechTask for the recordings.

  `loss=ctc` puts a label or none at each step (Graves et al. 2006): `kind=encode` reads both ways, `causal` forwards.
  `attention` writes the labels by a decoder that attends to the encoded sound (Chan et al. 2016). `label` gives the
  whole recording one label, its text. `unit` of the labels is word | character; auto: word for digits.

  With `digits` above 1 the recordings are strings of 1 to `digits` digits of one speaker, joined without a pause;
  `train_examples=0` draws new ones endlessly, and other splits have `evaluation_examples`. `longer` has twice as many
  digits as were trained on.

  `features=log_mel` reads frames of 2.5 hops in `mels` bands, scaled by the training recordings; a `hop` of 0 is 10 ms.
  `mu_law` reads the samples themselves, as tokens of 8 bits, or as vectors of `hop` samples.
  """

  fixed_options = ('loss', 'kind', 'unit', 'features', 'hop', 'mels', 'normalise', 'rate')
  objective: str = field(default='ctc', metadata={'option': 'loss'})
  kind: str = 'encode'
  unit: str = 'auto'
  digits: int = 1
  features: str = 'log_mel'
  hop: int = 0
  mels: int = 40
  normalise: str = 'loudness'
  evaluation_examples: int = 300

  def __post_init__(self) -> None:
    super().__post_init__()
    check_choice('task.loss', self.objective, LOSSES)
    check_choice('task.kind', self.kind, tuple(KINDS))
    check_choice('task.unit', self.unit, ('auto', *UNITS))
    check_choice('task.features', self.features, FEATURES)
    check_choice('task.normalise', self.normalise, NORMALISE)
    check_positive(
      **{
        'task.digits': self.digits,
        'task.mels': self.mels,
        'task.evaluation_examples': self.evaluation_examples,
      }
    )
    if self.hop < 0 or self.hop > self.rate:
      raise InputError(f'task.hop={self.hop} must be 0 (10 ms, or one sample of mu_law) or up to {self.rate} samples')
    if self.digits > 1 and (not self.is_digits or self.objective == 'label'):
      raise InputError(
        f'task.digits={self.digits} has no meaning with task.dataset={self.collection} and task.loss={self.objective}; '
        'strings are joined of dial_tones or spoken_digits, with task.loss=ctc or attention'
      )
    if self.objective == 'attention' and self.kind != 'encode':
      raise InputError(f'task.kind={self.kind} has no meaning with task.loss=attention; it is for ctc and label')
    if self.features == 'log_mel':
      audio.mel_filters(self.rate, audio.transform_size(round(audio.OVERLAP * self.step)), self.mels)

  @property
  def step(self) -> int:
    """Return the samples from one step to the next."""
    return self.hop or (max(1, self.rate // 100) if self.features == 'log_mel' else 1)

  @property
  def reading_of_sound(self) -> Reading:
    if self.features == 'mu_law':
      return self.reading(self.features, self.step)
    return self.reading(self.features, self.step, self.mels, self.normalise)

  @property
  def prepared(self) -> Prepared:
    unit = self.unit if self.unit != 'auto' else 'word' if self.is_digits else 'character'
    is_joined = self.digits > 1
    return prepare(self.options, self._stamp, self.reading_of_sound, unit, self.objective, is_joined, self.restored)

  @property
  def longest_text(self) -> int:
    """Return the labels of the longest text."""
    return self.digits * self.prepared.longest + (self.digits - 1) * len(self.prepared.between)

  @property
  def steps_read(self) -> int:
    """Return the steps of the longest sound."""
    one = self.longest(self.reading_of_sound)
    return one if self.digits == 1 else max(one, math.ceil(self.digits * STRING_SHARE * one))

  @property
  def spec(self) -> Spec:
    sound: Tokens | Vectors = Vectors(self.mels if self.features == 'log_mel' else self.step)
    if self.features == 'mu_law' and self.step == 1:
      sound = Tokens(audio.LEVELS)
    labels, length = Tokens(self.prepared.labels.size), self.steps_read
    if self.objective == 'ctc':
      return Spec(self.kind, sound, labels, length)  # type: ignore[arg-type]
    if self.objective == 'label':
      return Spec(self.kind, sound, labels, length, readout=KINDS[self.kind])  # type: ignore[arg-type]
    return Spec('seq2seq', labels, labels, self.longest_text + 1, source=sound, source_length=length, start=START)

  def count(self, split: str) -> int:
    if self.digits == 1:
      return self.recordings(split)
    return (self.train_examples or ENDLESS) if split == 'train' else self.evaluation_examples

  def evaluations(self) -> dict[str, Evaluation]:
    longer = {'longer': Evaluation(self.splits[-1], {'digits': 2 * self.digits})} if self.digits > 1 else {}
    return super().evaluations() | longer

  def dataset(
    self, split: str, batch_size: int, *, seed: int = 0, shard: Shard = Shard(), segment: int | None = None
  ) -> Any:
    if segment is not None:
      check_request(self, split, batch_size, segment)
      section = 'train' if split == 'train' else 'eval'
      raise InputError(f'{section}.segment={segment} must be 0: a recording is read whole')
    return super().dataset(split, batch_size, seed=seed, shard=shard)

  def chosen(self, split: str, indices: np.ndarray, seed: int = 0) -> Int[np.ndarray, 'b n']:
    """Return the numbers of the recordings that each example joins; −1 behind its last one."""
    if self.digits == 1:
      return indices[:, None]
    by_speaker, starts, counts = self.prepared.by_speaker[split]
    key = draws.key('strings of digits', split, seed if split == 'train' else 0)
    words = draws.words(key, indices, 2 + self.digits)
    number = 1 + draws.integers(words[:, :1], self.digits)
    speaker = np.searchsorted(starts, draws.integers(words[:, 1:2], len(by_speaker)), side='right') - 1
    place = (words[:, 2:] % counts[speaker].astype(np.uint64)).astype(np.int64)
    found = by_speaker[starts[speaker] + place]
    ends = np.cumsum(self.steps(split, self.reading_of_sound).lengths[found], axis=1)
    fits = (ends <= self.steps_read) & (np.arange(self.digits)[None, :] < number)
    return np.where(fits, found, -1)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    prepared, chosen = self.prepared, self.chosen(split, indices, seed)
    sound, mask = self._inputs(self.steps(split, self.reading_of_sound), chosen)
    texts = [prepared.joined(split, row) for row in chosen]
    if self.objective == 'label':
      targets = np.array([text[0] for text in texts], np.int32)
      return Batch(sound, targets, np.ones(len(texts), np.float32), mask=mask)
    room = self.steps_read if self.objective == 'ctc' else self.longest_text + 1
    targets, weights = np.zeros((len(texts), room), np.int32), np.zeros((len(texts), room), np.float32)
    for row, text in enumerate(texts):
      targets[row, : len(text)] = text
      weights[row, : len(text) + (self.objective == 'attention')] = 1
    if self.objective == 'ctc':
      return Batch(sound, targets, weights, mask=mask)
    inputs = np.pad(targets[:, :-1], [(0, 0), (1, 0)], constant_values=START)
    return Batch(inputs, targets, weights, source=sound, source_mask=mask)

  def _inputs(self, steps: Steps, chosen: Int[np.ndarray, 'b n']) -> tuple[np.ndarray, np.ndarray]:
    """Return what a model reads of the chosen recordings, and the mask."""
    sound, mask = gathered(steps, chosen, self.steps_read)
    if self.features == 'log_mel':
      sound = np.where(mask[:, :, None], (sound - self.prepared.mean) / self.prepared.deviation, 0)
    return sound.astype(np.int32 if sound.ndim == 2 else np.float32), mask

  def loss(self, outputs: Float[Array, 'b *t n'], batch: Batch) -> Sums:
    """Return the loss in nats: a label's with `ctc`, a token's with `attention`, a recording's with `label`."""
    if self.objective != 'ctc':
      return losses.summed(losses.cross_entropy(outputs, batch.targets), batch.weights)
    labels, has_label = self._ctc_labels(batch)
    weight = jnp.sum(has_label, axis=1).astype(jnp.float32)
    outputs = jnp.where((weight > 0)[:, None, None], outputs, 0.0)
    return jnp.where(weight > 0, ctc.nats(outputs, batch.mask, labels, has_label), 0.0), weight

  def metrics(self, outputs: Float[Array, 'b *t n'], batch: Batch) -> dict[str, Sums]:
    """Return the loss and, with `ctc`, the errors a label of greedy decoding; otherwise the accuracy.

    The decoder of `attention` is given the labels so far: free_running scores what it writes by itself.
    """
    if self.objective != 'ctc':
      accuracy = losses.summed(losses.correct(outputs, batch.targets), batch.weights)
      return {'loss': self.loss(outputs, batch), 'accuracy': accuracy}
    labels, has_label = self._ctc_labels(batch)
    lengths = jnp.sum(has_label, axis=1)
    errors = edit_distances(*ctc.greedy(outputs, batch.mask), labels, lengths)
    counts = jnp.where(lengths > 0, errors, 0.0), lengths.astype(jnp.float32)
    return {'loss': self.loss(outputs, batch), 'label_error_rate': counts}

  def _ctc_labels(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Return labels and which of them are there, without the columns that no text fills."""
    most = self.longest_text
    return jnp.asarray(batch.targets)[:, :most], jnp.asarray(batch.weights)[:, :most] > 0

  def free_running(
    self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()
  ) -> dict[str, HostSums]:
    """Return wer, cer and exact_match: with `attention` of beam search, with `ctc` of a search over prefixes.

    A beam of 1 is greedy decoding.
    """
    return error_sums(self.transcribe(model, params, batch, decoding), self._references(batch))

  def _references(self, batch: Batch) -> list[str]:
    """Return the true texts of the sounds of a batch."""
    labels = self.prepared.labels
    if self.objective == 'label':
      return [labels.vocabulary[int(label)] for label in batch.targets]
    rows = zip(batch.targets, batch.targets != ctc.BLANK, strict=True)
    return [labels.decode(row[has_label], OTHER) for row, has_label in rows]

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return the spectrogram of each sound with what is said and what a model writes; of µ-law samples the texts."""
    texts = self._references(batch), self.transcribe(model, params, batch, decoding)
    if self.features != 'log_mel':
      return [Text('', *pair) for pair in zip(*texts, strict=True)]
    sounds, masks = (batch.source, batch.source_mask) if self.objective == 'attention' else (batch.inputs, batch.mask)
    rows = zip(sounds, masks, *texts, strict=True)
    return [Spectrograms(((f'said: {said}; written: {written}', sound[mask]),)) for sound, mask, said, written in rows]

  def token_names(self, ids: np.ndarray) -> list[str]:
    """Return the text of each label."""
    return named(self.prepared.labels.vocabulary, ids)

  def transcribe(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[str]:
    """Return the texts that a model writes for the sounds of a batch."""
    labels = self.prepared.labels
    if self.objective == 'attention':
      written = answers(model, params, batch, decoding, self.spec.length)
      return [labels.decode(row) for row in written]
    scores = log_probabilities(model, params, batch)
    if self.objective == 'label':
      return [labels.vocabulary[int(row.argmax())] for row in np.asarray(scores)]
    if decoding.beams == 1:
      rows = zip(*(np.asarray(part) for part in ctc.greedy(scores, batch.mask)), strict=True)
      return [labels.decode(best[is_written]) for best, is_written in rows]
    rows = zip(np.asarray(scores), batch.mask, strict=True)
    return [labels.decode(ctc.prefix_search(row[mask], decoding.beams)) for row, mask in rows]

  def sounds(self, samples: Sequence[Int16[np.ndarray, ' n']]) -> Batch:
    """Return a batch of sounds at `rate` to transcribe; what is longer than `steps_read` is an InputError."""
    features = [read_sound(sound, self.rate, self.reading_of_sound) for sound in samples]
    most = max(map(len, features))
    if most > self.steps_read:
      raise InputError(f'a sound of {most} steps of {self.step} samples is too long: the model reads {self.steps_read}')
    ends = np.cumsum([0, *map(len, features)])
    sound, mask = self._inputs(Steps(np.concatenate(features), ends, 0), np.arange(len(features))[:, None])
    empty = np.zeros((len(features), 1), np.int32)
    if self.objective == 'attention':
      return Batch(empty, empty, empty.astype(np.float32), source=sound, source_mask=mask)
    return Batch(sound, empty, empty.astype(np.float32), mask=mask)

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the rates of the most frequent word and, for whole recordings of log-mel, of the nearest mean spectrum."""
    split = self.splits[-1]
    tests = np.arange(self.count(split))
    references = [self._text(split, row) for row in self.chosen(split, tests)]
    train = np.arange(self.count('train') or self.evaluation_examples)
    texts = [self._text('train', row) for row in self.chosen('train', train)]
    found = {'most frequent word': speech_baselines.most_frequent(texts, references)}
    if self.features == 'log_mel' and self.digits == 1 and len(set(texts)) < len(texts):
      spectra, others = (self._spectra(*part) for part in (('train', train), (split, tests)))
      found['nearest mean spectrum'] = speech_baselines.nearest(spectra, texts, others)
    rates = {name: speech_baselines.error_rates(written, references) for name, written in found.items()}
    if self.objective == 'label':
      rates = {name: values | {'accuracy': values['exact_match']} for name, values in rates.items()}
    return rates

  def _text(self, split: str, chosen: np.ndarray) -> str:
    return ' '.join(self.data.splits[split].texts[number] for number in chosen if number >= 0)

  def _spectra(self, split: str, indices: np.ndarray) -> np.ndarray:
    sound, mask = gathered(self.steps(split, self.reading_of_sound), self.chosen(split, indices), self.steps_read)
    return speech_baselines.mean_over_time(sound, mask)

  def identity(self) -> dict[str, Any]:
    prepared = self.prepared
    return super().identity() | {
      'labels': hashlib.sha256('\0'.join((prepared.labels.unit, *prepared.labels.vocabulary)).encode()).hexdigest()
    }

  def fitted(self) -> dict[str, Any]:
    prepared = self.prepared
    unit = {} if self.objective == 'label' else {'unit': prepared.labels.unit}
    scale = {'mean': prepared.mean.tolist(), 'deviation': prepared.deviation.tolist()}
    return {**unit, 'vocabulary': list(prepared.labels.vocabulary), **scale}

  def units(self) -> dict[str, Any]:
    """Return the vocabulary, and how sound becomes inputs: (log-mel − mean) / deviation, or µ-law codes."""
    prepared = self.prepared
    scale = {'mean': prepared.mean.tolist(), 'deviation': prepared.deviation.tolist()}
    return {
      'vocabulary': prepared.labels.vocabulary,
      'features': self.features,
      'rate': self.rate,
      'hop': self.step,
      **(scale if self.features == 'log_mel' else {}),
    }
