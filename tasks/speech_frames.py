"""Synthesise speech in two stages: a model reads letters and writes log-mel frames, and Griffin-Lim makes them audible.

With 2 frames a step and `|` for the last step, "one" of theo in 5 frames f:

  source   theo o n e
  input    0 0   f1 f2  f3 f4
  target   f1 f2 f3 f4  f5 f5 |
"""

import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.models import Decoder, Model
from seqmodels.notation import Params
from seqmodels.spec import Spec, Tokens, Vectors
from tasks import audio, draws, fitted, frame_scores, losses
from tasks.base import Batch, Decoding, HostSums, Sums
from tasks.datasets import speech
from tasks.shown import Shown, Spectrograms
from tasks.speech_task import Reading, SpeechTask, gathered, read_steps
from tasks.transcripts import Labels


@dataclass(frozen=True)
class SpeechFrames(SpeechTask):
  """Write the log-mel frames of a text by a speaker (Wang et al. 2017); see SpeechTask for the recordings.

  The source is the speaker and the characters of the text. A step writes `frames` frames of `mels` bands, scaled by the
  training recordings, and whether it is the last. In training the frames that are read have noise of `noise`
  deviations, so that a model does not go by them alone: when it writes by itself, it reads its own, with their errors.
  """

  fixed_options = ('frames', 'hop', 'mels', 'rate')
  frames: int = 3
  noise: float = 0.5
  hop: int = 0
  mels: int = 40

  def __post_init__(self) -> None:
    super().__post_init__()
    check_positive(**{'task.frames': self.frames, 'task.mels': self.mels})
    if not 0 <= self.noise <= 10:
      raise InputError(f'task.noise={self.noise} must be from 0 to 10')
    if not 0 <= self.hop <= self.rate:
      raise InputError(f'task.hop={self.hop} must be 0 (10 ms) or up to {self.rate} samples')
    audio.mel_filters(self.rate, audio.transform_size(self.window), self.mels)

  @property
  def step(self) -> int:
    """Return the samples from one frame to the next."""
    return self.hop or max(1, self.rate // 100)

  @property
  def window(self) -> int:
    return round(audio.OVERLAP * self.step)

  @property
  def sound(self) -> Reading:
    return self.reading('log_mel', self.step, self.mels, 'loudness')

  @property
  def prepared(self) -> 'Prepared':
    return prepare(self.options, self._stamp, self.sound, self.restored)

  @property
  def values(self) -> int:
    """Return the numbers of a step, its end apart."""
    return self.frames * self.mels

  @property
  def spec(self) -> Spec:
    prepared = self.prepared
    return Spec(
      'seq2seq',
      Vectors(self.values),
      Vectors(self.values + 1),
      -(-self.longest(self.sound) // self.frames),
      source=Tokens(prepared.labels.size + len(prepared.speakers)),
      source_length=1 + prepared.longest,
    )

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    prepared, recordings, length = self.prepared, self.data.splits[split], self.spec.length
    found, mask = gathered(self.steps(split, self.sound), indices[:, None], length * self.frames)
    counts, samples = mask.sum(axis=1), recordings.lengths[indices]
    last = np.maximum(counts - 1, 0)
    places = np.minimum(np.arange(length * self.frames)[None, :], last[:, None])  # the last frame again fills its step
    scaled = np.take_along_axis((found - prepared.mean) / prepared.deviation, places[:, :, None], axis=1)
    steps = scaled.reshape(len(indices), length, self.values).astype(np.float32)
    number = -(-counts // self.frames)
    counted = np.arange(length)[None, :] < number[:, None]
    is_cut = np.array([counts[i] < audio.frame_count(n, self.window, self.step) for i, n in enumerate(samples)])
    ends = ((np.arange(length)[None, :] == number[:, None] - 1) & ~is_cut[:, None]).astype(np.float32)
    steps = np.where(counted[:, :, None], steps, 0)
    inputs = np.pad(steps[:, :-1], [(0, 0), (1, 0), (0, 0)])
    if split == 'train' and self.noise:
      inputs[:, 1:] += self.noise * self._drawn(indices, seed, inputs[:, 1:].shape)
    source = np.zeros((len(indices), self.spec.source_length), np.int32)
    texts = [prepared.source(recordings.texts[i], recordings.speakers[i]) for i in indices]
    for row, text in enumerate(texts):
      source[row, : len(text)] = text
    has_source = np.arange(source.shape[1])[None, :] < np.array([len(text) for text in texts])[:, None]
    targets = np.concatenate([steps, ends[:, :, None]], axis=2)
    return Batch(inputs.astype(np.float32), targets, counted.astype(np.float32), source=source, source_mask=has_source)

  def _drawn(self, indices: np.ndarray, seed: int, shape: tuple[int, ...]) -> Float32[np.ndarray, 'b t n']:
    """Return noise of mean 0 and variance 1 for each example: sums of four uniform numbers, which are near normal."""
    words = draws.words(draws.key('frames', seed), indices, shape[1] * shape[2])
    # Four numbers of 16 bits in each word: shifts take a fifth of the time of a sum over a last axis of 4.
    parts = (((words >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float32) for shift in (0, 16, 32, 48))
    return ((sum(parts) - 2 * 65_535) * np.float32(math.sqrt(3) / 65_536)).reshape(shape)

  def _parts(self, outputs: Float[Array, 'b t n'], batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Return the squared error a value, and the cross-entropy of the end in nats, of each step."""
    targets = jnp.asarray(batch.targets)
    squared = jnp.mean(jnp.square(outputs[..., :-1] - targets[..., :-1]), axis=-1)
    logits, ends = outputs[..., -1].astype(jnp.float32), targets[..., -1]
    return squared, jax.nn.softplus(logits) - ends * logits

  def loss(self, outputs: Float[Array, 'b t n'], batch: Batch) -> Sums:
    """Return the squared error a value and the cross-entropy of the end, added, of each step."""
    squared, nats = self._parts(outputs, batch)
    return losses.summed(squared + nats, batch.weights)

  def metrics(self, outputs: Float[Array, 'b t n'], batch: Batch) -> dict[str, Sums]:
    """Return the loss and its parts, `mse` in scaled values and `end_nats`; each step is given the true ones before."""
    squared, nats = self._parts(outputs, batch)
    mse, end = losses.summed(squared, batch.weights), losses.summed(nats, batch.weights)
    return {'loss': self.loss(outputs, batch), 'mse': mse, 'end_nats': end}

  def free_running(
    self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()
  ) -> dict[str, HostSums]:
    """Return, of the frames that a model writes by itself, `dtw_mse` and `length_error`; see frame_scores."""
    del decoding  # frames are written in one way
    written = self.write(model, params, batch.source, batch.source_mask)
    return frame_scores.sums(written, self._references(batch))

  def _references(self, batch: Batch) -> list[Float[np.ndarray, 'f m']]:
    """Return the scaled frames of the recordings of a batch."""
    rows = zip(batch.targets, batch.weights > 0, strict=True)
    return [self._unfolded(row[counted, :-1]) for row, counted in rows]

  def shown(self, model: Model, params: Params, batch: Batch, decoding: Decoding = Decoding()) -> list[Shown]:
    """Return the spectrograms of each recording and of what a model writes for its text."""
    del decoding
    written = self.write(model, params, batch.source, batch.source_mask)
    texts = [self.text_of(source[mask]) for source, mask in zip(batch.source, batch.source_mask, strict=True)]
    rows = zip(texts, self._references(batch), written, strict=True)
    return [Spectrograms(((f'recorded: {text}', true), ('written', own))) for text, true, own in rows]

  def write(
    self, model: Model, params: Params, source: np.ndarray, source_mask: np.ndarray
  ) -> list[Float[np.ndarray, 'f m']]:
    """Return the scaled frames that a model writes for each source, up to the step it says is the last."""
    outputs = np.asarray(_write(model.decoder(params), jnp.asarray(source), jnp.asarray(source_mask), self.spec.length))
    stops = outputs[:, :, -1] > 0
    lengths = np.where(stops.any(axis=1), stops.argmax(axis=1) + 1, outputs.shape[1])
    return [self._unfolded(row[:length, :-1]) for row, length in zip(outputs, lengths, strict=True)]

  def _unfolded(self, steps: Float[np.ndarray, 't n']) -> Float[np.ndarray, 'f m']:
    return steps.reshape(-1, self.mels)

  def audible(self, frames: Float[np.ndarray, 'f m']) -> Float32[np.ndarray, ' n']:
    """Return the sound of scaled frames; its loudness, which frames do not have, is made up."""
    bands = frames * self.prepared.deviation + self.prepared.mean
    return audio.griffin_lim(bands, self.rate, self.window, self.step)

  def encode(self, text: str) -> Int[np.ndarray, ' t']:
    """Return the source of a prompt such as "seven theo": a text, then a speaker."""
    return self.prepared.encode(text)

  def text_of(self, source: Int[np.ndarray, ' t']) -> str:
    """Return the text of a source."""
    return self.prepared.labels.decode(source[1:])

  def prompts(self) -> list[str]:
    """Return the prompts of all texts of training and all speakers."""
    texts = sorted(set(self.data.splits['train'].texts))
    return [f'{text} {speaker}'.strip() for text in texts for speaker in self.prepared.speakers]

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the squared errors of the mean frame, and of the frame before each step."""
    split = self.splits[-1]
    batch = self.arrays(split, np.arange(self.count(split)))
    steps, counted = batch.targets[..., :-1], batch.weights > 0
    before = np.tile(batch.inputs[..., -self.mels :], self.frames)
    found = {'mean frame': np.zeros(1), 'frame before': before}
    return {name: {'mse': float(np.square(steps - guess)[counted].mean())} for name, guess in found.items()}

  def identity(self) -> dict[str, Any]:
    return super().identity() | {'speakers': list(self.prepared.speakers)}

  def fitted(self) -> dict[str, Any]:
    prepared = self.prepared
    scale = {'mean': prepared.mean.tolist(), 'deviation': prepared.deviation.tolist()}
    return {'vocabulary': list(prepared.labels.vocabulary), 'speakers': list(prepared.speakers), **scale}

  def units(self) -> dict[str, Any]:
    """Return the vocabulary of sources, and how frames become log-mel bands: frame · deviation + mean."""
    prepared = self.prepared
    scale = {'mean': prepared.mean.tolist(), 'deviation': prepared.deviation.tolist()}
    vocabulary = [*prepared.labels.vocabulary, *prepared.speakers]
    return {'vocabulary': vocabulary, 'rate': self.rate, 'hop': self.step, **scale}


@functools.partial(jax.jit, static_argnames='length')
def _write(
  decoder: Decoder, source: Int[Array, 'b s'], source_mask: Array, length: int
) -> Float[Array, 'b {length} n']:
  """Return `length` steps, each written after the one before."""
  spec = decoder.model.spec
  state = decoder.start(source, length, source_mask=source_mask)

  def step(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
    frames, state = carry
    outputs, state = decoder.read(frames, state)
    return (outputs[:, :, : spec.input.size], state), outputs[:, 0]

  first = jnp.zeros((source.shape[0], 1, spec.input.size))
  _, outputs = jax.lax.scan(step, (first, state), None, length=length)
  return outputs.swapaxes(0, 1)


class Prepared(NamedTuple):
  """Hold the labels of characters, the speakers, the longest text, and mean and deviation of each band."""

  labels: Labels
  speakers: tuple[str, ...]
  longest: int
  mean: Float32[np.ndarray, ' m']
  deviation: Float32[np.ndarray, ' m']

  def source(self, text: str, speaker: str) -> Int[np.ndarray, ' s']:
    return np.array([self.labels.size + self.speakers.index(speaker), *self.labels.encode(text)], np.int64)

  def encode(self, prompt: str) -> Int[np.ndarray, ' s']:
    """Return the source of "text speaker"; the speaker may be left out where there is one. Raises InputError."""
    text, _, speaker = ' '.join(prompt.split()).rpartition(' ')
    if len(self.speakers) == 1 and speaker not in self.speakers:
      text, speaker = f'{text} {speaker}'.strip(), self.speakers[0]
    if speaker not in self.speakers:
      raise unknown('speaker', speaker, self.speakers)
    if not text:
      raise InputError('a text must stand before the speaker')
    strange = sorted(set(text) - set(self.labels.vocabulary))
    if strange or len(text) > self.longest:
      reason = f'characters outside the vocabulary: {" ".join(map(repr, strange[:10]))}' if strange else 'too long'
      raise InputError(
        f'the text is {reason}; allowed: up to {self.longest} of {"".join(self.labels.vocabulary[2:])!r}'
      )
    return self.source(text, speaker)


@functools.lru_cache(maxsize=4)
def prepare(options: speech.Options, stamp: tuple, sound: Reading, restored: str = '') -> Prepared:
  """Return what is known of the training recordings. Raises InputError where another split has other speakers.

  restored: of a model that was trained on other recordings; see `Fitted.restored`.
  """
  splits, kept = speech.load(options, stamp).splits, fitted.parse(restored)
  train = splits['train']
  speakers = tuple(kept['speakers']) if kept else tuple(sorted(set(train.speakers)))
  for split, part in splits.items():
    if strange := sorted(set(part.speakers) - set(speakers)):
      raise InputError(f'the speaker {strange[0][:60]!r} of the {split} split is in no training recording')
  longest = max(len(text) for part in splits.values() for text in part.texts)
  if kept:
    mean, deviation = (np.array(kept[name], np.float32) for name in ('mean', 'deviation'))
    return Prepared(Labels('character', tuple(kept['vocabulary'])), speakers, longest, mean, deviation)
  values = read_steps(options, stamp, 'train', sound).values
  mean, spread = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
  labels = Labels.of(train.texts, 'character')
  return Prepared(
    labels, speakers, longest, mean.astype(np.float32), np.where(spread > 0, spread, 1.0).astype(np.float32)
  )
