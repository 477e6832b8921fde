"""Synthesise speech: sample after sample of 8 bits, given a text and a speaker.

With 3 samples between two conditions (`block=3`), the digit seven of theo, `|` for the end and `.` for padding:

  input    seven theo 130 141 127 seven theo 119 |   .
  target   .     130  141 127 .   .     119  |   .   .
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from seqmodels.errors import InputError, unknown
from seqmodels.spec import Spec, Tokens
from tasks import audio, fitted, losses, sample_baselines
from tasks.base import Batch, Sums
from tasks.datasets import speech
from tasks.speech_task import Reading, SpeechTask, gathered

END = audio.LEVELS  # the token behind the last sample
FIRST = END + 1  # the first token of a condition
CONDITION = 2  # tokens: text and speaker


@dataclass(frozen=True)
class SpeechSynthesis(SpeechTask):
  """Write the µ-law samples of a recording; see SpeechTask for the recordings.

  Text and speaker are two tokens before the samples, and again after every `block` samples, so that they are not
  forgotten (0: only at the beginning). A text is one token: of one of the training texts. Recordings are padded to
  `seconds`; with `train.segment` they are read in parts, of `block` + 2 tokens for example, with the state carried on.
  """

  fixed_options = ('block', 'rate')
  block: int = 400

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.block < 0:
      raise InputError(f'task.block={self.block} must be 0 (a condition at the beginning only) or a number of samples')

  @property
  def sound(self) -> Reading:
    return self.reading('mu_law', 1)

  @property
  def conditions(self) -> 'Conditions':
    return conditions_of(self.options, self._stamp, self.restored)

  @property
  def samples_between(self) -> int:
    """Return the samples, the end among them, between two conditions."""
    whole = self.longest(self.sound) + 1
    return min(self.block, whole) if self.block else whole

  @property
  def spec(self) -> Spec:
    blocks = -(-(self.longest(self.sound) + 1) // self.samples_between)
    inputs = Tokens(FIRST + len(self.conditions.texts) + len(self.conditions.speakers))
    return Spec('causal', inputs, Tokens(FIRST), length=blocks * (CONDITION + self.samples_between))

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    rows, between = len(indices), self.samples_between
    blocks = self.spec.length // (CONDITION + between)
    steps, recordings = self.steps(split, self.sound), self.data.splits[split]
    samples, mask = gathered(steps, indices[:, None], blocks * between)
    samples = samples.astype(np.int32)
    lengths = steps.lengths[indices]
    is_whole = lengths == recordings.lengths[indices]  # what is cut does not end there
    ended = np.arange(blocks * between)[None, :] == lengths[:, None]
    samples[ended] = END
    counts = mask | (ended & is_whole[:, None])
    condition = np.array([self.conditions.ids(recordings.texts[i], recordings.speakers[i]) for i in indices], np.int32)
    sequence = np.empty((rows, blocks, CONDITION + between), np.int32)
    sequence[:, :, :CONDITION] = condition[:, None]
    sequence[:, :, CONDITION:] = samples.reshape(rows, blocks, between)
    counted = np.zeros(sequence.shape, bool)
    counted[:, :, CONDITION:] = counts.reshape(rows, blocks, between)
    inputs = sequence.reshape(rows, -1)
    weights = np.pad(counted.reshape(rows, -1)[:, 1:], [(0, 0), (0, 1)])
    targets = np.where(weights, np.pad(inputs[:, 1:], [(0, 0), (0, 1)]), 0).astype(np.int32)
    last = inputs.shape[1] - np.argmax(weights[:, ::-1], axis=1)  # one behind the last position that counts
    return Batch(inputs, targets, weights.astype(np.float32), mask=np.arange(inputs.shape[1])[None, :] < last[:, None])

  def loss(self, outputs: Float[Array, 'b t n'], batch: Batch) -> Sums:
    """Return the cross-entropy in nats a sample; the end counts as one."""
    return losses.summed(losses.cross_entropy(outputs, batch.targets), batch.weights)

  def metrics(self, outputs: Float[Array, 'b t n'], batch: Batch) -> dict[str, Sums]:
    """Return the loss in nats and, as `bits`, in bits a sample."""
    loss, weight = self.loss(outputs, batch)
    return {'loss': (loss, weight), 'bits': (loss / math.log(2), weight)}

  def encode(self, text: str) -> Int[np.ndarray, ' t']:
    """Return the condition of a prompt such as "seven theo": a text, then a speaker."""
    return self.conditions.encode(text)

  def text_of(self, condition: Int[np.ndarray, ' t']) -> str:
    """Return the text of a condition."""
    return self.conditions.texts[int(condition[0]) - FIRST]

  def prompts(self) -> list[str]:
    """Return the prompts of all texts and speakers."""
    return [f'{text} {speaker}'.strip() for text in self.conditions.texts for speaker in self.conditions.speakers]

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the bits a sample of counts of samples, and of linear prediction; see sample_baselines."""
    train, test = (self._waves(split) for split in ('train', self.splits[-1]))
    return sample_baselines.scores(train, test)

  def _waves(self, split: str) -> list[UInt8[np.ndarray, ' n']]:
    steps = self.steps(split, self.sound)
    return np.split(steps.values, steps.starts[1:-1])[: self.count(split)]

  def identity(self) -> dict[str, Any]:
    conditions = self.conditions
    return super().identity() | {'texts': list(conditions.texts), 'speakers': list(conditions.speakers)}

  def fitted(self) -> dict[str, Any]:
    return {'texts': list(self.conditions.texts), 'speakers': list(self.conditions.speakers)}

  def units(self) -> dict[str, Any]:
    """Return the rate, and the meaning of the tokens that are no samples."""
    texts, speakers = self.conditions.texts, self.conditions.speakers
    return {'rate': self.rate, 'end': END, 'first_text': FIRST, 'texts': list(texts), 'speakers': list(speakers)}


@dataclass(frozen=True)
class Conditions:
  """Number texts and speakers."""

  texts: tuple[str, ...]
  speakers: tuple[str, ...]

  def ids(self, text: str, speaker: str) -> tuple[int, int]:
    return FIRST + self._text_number[text], FIRST + len(self.texts) + self._speaker_number[speaker]

  @functools.cached_property
  def _text_number(self) -> dict[str, int]:
    return {text: i for i, text in enumerate(self.texts)}

  @functools.cached_property
  def _speaker_number(self) -> dict[str, int]:
    return {speaker: i for i, speaker in enumerate(self.speakers)}

  def encode(self, prompt: str) -> Int[np.ndarray, ' t']:
    """Return the tokens of "text speaker"; the speaker may be left out where there is one. Raises InputError."""
    prompt = ' '.join(prompt.split())
    for speaker in self.speakers:
      text = prompt.removesuffix(speaker).strip() if speaker else prompt
      if text in self._text_number and f'{text} {speaker}'.strip() == prompt:
        return np.array(self.ids(text, speaker), np.int64)
    if len(self.speakers) == 1 and prompt in self._text_number:
      return np.array(self.ids(prompt, self.speakers[0]), np.int64)
    text, _, speaker = prompt.rpartition(' ')
    if text in self._text_number:
      raise unknown('speaker', speaker, self.speakers)
    if prompt in self._text_number:
      raise InputError(f'a speaker must follow the text: {", ".join(self.speakers)}')
    raise unknown('text', text or prompt, self.texts)


@functools.lru_cache(maxsize=4)
def conditions_of(options: speech.Options, stamp: tuple, restored: str = '') -> Conditions:
  """Return texts and speakers of training. Raises InputError where another split has others.

  restored: of a model that was trained on other recordings; see `Fitted.restored`.
  """
  splits, kept = speech.load(options, stamp).splits, fitted.parse(restored)
  train = splits['train']
  texts = tuple(kept['texts'] if kept else sorted(set(train.texts)))
  speakers = tuple(kept['speakers'] if kept else sorted(set(train.speakers)))
  for split, part in splits.items():
    for name, known, found in (('text', texts, part.texts), ('speaker', speakers, part.speakers)):
      if strange := sorted(set(found) - set(known)):
        raise InputError(
          f'the {name} {strange[0][:60]!r} of the {split} split is in no training recording; a model is given the '
          f'{name}s that it was trained on'
        )
  return Conditions(texts, speakers)
