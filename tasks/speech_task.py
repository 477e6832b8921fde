"""Define the base of the tasks of speech: which recordings they read, cut to a length, as steps of features."""

import functools
import logging
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int16, Shaped

from seqmodels.errors import InputError, unknown
from tasks import audio
from tasks.datasets import SPEECH, naming, speech
from tasks.fitted import Fitted
from tasks.pipeline import IndexedTask

log = logging.getLogger('seqmodels')

FEATURES = ('log_mel', 'mu_law')
SHORTEST, LONGEST = 0.01, 3600  # seconds that may be read of a recording
NORMALISE = ('none', 'loudness', 'mean')  # of a recording: nothing; its mean over time and bands; the mean of each band
# Of each recording, where `seconds` says nothing: as long as the longest, but for a few spoken digits.
SECONDS = {'dial_tones': 0.12, 'spoken_digits': 1.0, 'espeak': 2.5}


class Reading(NamedTuple):
  """Say how recordings become steps: `hop` samples a step; at most `seconds` of each recording (0: all).

  normalise: what is taken from the log-mel bands of each recording, see NORMALISE.
  """

  features: str
  hop: int
  mels: int
  seconds: float
  normalise: str = 'none'


@dataclass(frozen=True)
class Steps:
  """Hold the steps of a split's recordings one after another: number i is values[starts[i] : starts[i + 1]].

  values: [n d] float32 for vectors, [n] uint8 for codes. cut: recordings that are longer than the steps that are kept.
  """

  values: Shaped[np.ndarray, ' n *d']
  starts: Int[np.ndarray, ' m']
  cut: int

  @property
  def lengths(self) -> Int[np.ndarray, ' m']:
    return np.diff(self.starts)


@functools.lru_cache(maxsize=6)
def read_steps(options: speech.Options, stamp: tuple, split: str, reading: Reading) -> Steps:
  """Return the steps of a split.

  log_mel: frames of 2.5 hops in `mels` bands, unscaled. mu_law: codes of 8 bits; with a hop above 1, vectors of `hop`
  codes as numbers in [-1, 1], silence behind the end.
  """
  recordings = speech.load(options, stamp).splits[split]
  most = round(reading.seconds * options.rate)
  parts, cut = [], 0
  for start, end in zip(recordings.starts[:-1], recordings.starts[1:], strict=True):
    samples = recordings.samples[start:end]
    if most and len(samples) > most:
      samples, cut = samples[:most], cut + 1
    parts.append(_steps(samples, reading))
  starts = np.cumsum([0, *map(len, parts)])
  values = np.concatenate(parts)
  if reading.features == 'log_mel':
    values = audio.log_mel_of(values, options.rate, reading.mels)
    parts = [_normalised(part, reading.normalise) for part in np.split(values, starts[1:-1])]
    values = np.concatenate(parts)
  if cut:
    log.info('%s: %d of %d recordings are cut to %g s (task.seconds)', split, cut, len(recordings), reading.seconds)
  return Steps(values, starts, cut)


def _steps(samples: Int16[np.ndarray, ' n'], reading: Reading) -> Shaped[np.ndarray, ' t *d']:
  """Return the steps of a sound; frames, where log-mel features are to be computed of them."""
  if reading.features == 'log_mel':
    return audio.framed(samples, round(audio.OVERLAP * reading.hop), reading.hop)
  codes = audio.mu_law(samples / np.float32(32768))
  whole = np.pad(codes, (0, -len(codes) % reading.hop), constant_values=audio.LEVELS // 2)
  return whole if reading.hop == 1 else audio.companded(whole).reshape(-1, reading.hop)


def _normalised(bands: Float32[np.ndarray, 't d'], normalise: str) -> Float32[np.ndarray, 't d']:
  if normalise == 'none':
    return bands
  return bands - bands.mean(axis=0 if normalise == 'mean' else None)


def read_sound(samples: Int16[np.ndarray, ' n'], rate: int, reading: Reading) -> Shaped[np.ndarray, ' t *d']:
  """Return the steps of one sound at `rate`, as `read_steps` does."""
  steps = _steps(samples, reading)
  if reading.features == 'mu_law':
    return steps
  return _normalised(audio.log_mel_of(steps, rate, reading.mels), reading.normalise)


@dataclass(frozen=True)
class SpeechTask(Fitted, IndexedTask):
  """Read recordings.

  `dataset` is a name (dial_tones | spoken_digits | espeak) or the user's own WAV files: a folder with a .tsv file of
  lines `file<TAB>text[<TAB>speaker]`. Sounds of another rate than `rate` are resampled, several channels mixed down.

  `split` of the digits is official (of each digit and speaker the first tenth of the recordings tests) or speaker:
  the `speaker` named tests and the others train. The user's files are cut at random in percentages, 90/5/5, unless the
  names of the .tsv files say the splits. `train_examples` of espeak are made, 2,000 if it is 0.

  At most `seconds` of a recording are read, and it is logged where some are cut. 0: SECONDS, all of the user's.
  """

  collection: str = field(default='dial_tones', metadata={'option': 'dataset'})
  split: str = 'auto'
  speaker: str = ''
  rate: int = speech.RATE
  seconds: float = 0.0

  def __post_init__(self) -> None:
    super().__post_init__()
    speech.check_options(self.options)
    if self.seconds and not SHORTEST <= self.seconds <= LONGEST:
      raise InputError(f'task.seconds={self.seconds} must be 0 (as the data set needs) or from {SHORTEST} to {LONGEST}')

  @property
  def options(self) -> speech.Options:
    made = self.train_examples if self.collection == 'espeak' else 0
    return speech.Options(self.collection, self.split, self.speaker, self.rate, made)

  @property
  def is_digits(self) -> bool:
    return self.collection in speech.DIGITS

  @functools.cached_property
  def _stamp(self) -> tuple:
    return naming.stamp(self.collection, SPEECH)

  @property
  def data(self) -> speech.Speech:
    return speech.load(self.options, self._stamp)

  @property
  def splits(self) -> tuple[str, ...]:  # type: ignore[override]
    return tuple(self.data.splits)

  def reading(self, features: str, hop: int, mels: int = 0, normalise: str = 'none') -> Reading:
    return Reading(features, hop, mels, self.seconds or SECONDS.get(self.collection, 0.0), normalise)

  def steps(self, split: str, reading: Reading) -> Steps:
    return read_steps(self.options, self._stamp, split, reading)

  def longest(self, reading: Reading) -> int:
    """Return the steps of the longest recording, of all splits."""
    if self.collection in SECONDS:
      samples = round(reading.seconds * self.rate)
      window = round(audio.OVERLAP * reading.hop)
      is_mel = reading.features == 'log_mel'
      return audio.frame_count(samples, window, reading.hop) if is_mel else -(-samples // reading.hop)
    return int(max(self.steps(split, reading).lengths.max() for split in self.splits))

  def recordings(self, split: str) -> int:
    """Return how many recordings a split has; of training, `train_examples`."""
    return self.limited(split, len(self.data.splits[split]))

  def count(self, split: str) -> int:
    return self.recordings(split)

  def identity(self) -> dict[str, Any]:
    name = naming.recorded(self.collection, SPEECH)
    return {
      'dataset': f'{type(self).__name__.lower().removeprefix("speech")} of {name}',
      'split': self.split,
      'speaker': self.speaker,
      'rate': self.rate,
      'seconds': self.seconds,
      'content': self.data.content,
    }


def gathered(steps: Steps, chosen: Int[np.ndarray, 'b n'], length: int) -> tuple[np.ndarray, np.ndarray]:
  """Return the steps [b t …] of chosen recordings, joined row by row, and the mask of those that are there.

  chosen: numbers of recordings, −1 for none. A row holds as many of its recordings as fit into `length`.
  """
  starts = np.where(chosen < 0, 0, steps.starts[chosen])
  lengths = np.where(chosen < 0, 0, steps.lengths[chosen])
  ends = np.cumsum(lengths, axis=1)
  places = np.arange(length)
  part = (places[None, :, None] >= ends[:, None, :]).sum(axis=2)
  mask = places[None, :] < np.where(ends <= length, ends, 0).max(axis=1)[:, None]
  part = np.minimum(part, chosen.shape[1] - 1)
  first = np.take_along_axis(starts - (ends - lengths), part, axis=1)
  found = steps.values[np.where(mask, first + places[None, :], 0)]
  return np.where(mask.reshape(*mask.shape, *[1] * (found.ndim - 2)), found, 0), mask


def check_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
  """Raise InputError for a value that is not allowed."""
  if value not in allowed:
    raise unknown(option, value, allowed)
