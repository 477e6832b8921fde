"""Read labelled recordings, of a name or of the user's own WAV files, as splits at one rate."""

import functools
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int16

from seqmodels.errors import InputError, unknown
from tasks import draws
from tasks.datasets import SPEECH as NAMES
from tasks.datasets import dial_tones, espeak, files, own_wavs, spoken_digits
from tasks.datasets.own_wavs import Recording

log = logging.getLogger('seqmodels')

DIGITS = ('dial_tones', 'spoken_digits')
SPLITS = ('train', 'validation', 'test')
RATE = 8000
LOWEST, HIGHEST = 1000, 96_000  # Hz
MADE = {'train': 2000, 'validation': 200, 'test': 500}  # utterances of espeak, where none are asked for
MOST_MADE = 200_000  # for training; they are held in memory


@dataclass(frozen=True)
class Options:
  """Say which recordings: `split` and `speaker` as in SpeechTask; `made` training utterances of espeak (0: MADE)."""

  dataset: str
  split: str
  speaker: str
  rate: int
  made: int = 0


@dataclass(frozen=True)
class Recordings:
  """Hold recordings one after another: number i is samples[starts[i] : starts[i + 1]]."""

  samples: Int16[np.ndarray, ' n']
  starts: Int[np.ndarray, ' m']
  texts: tuple[str, ...]
  speakers: tuple[str, ...]

  @property
  def lengths(self) -> Int[np.ndarray, ' m']:
    return np.diff(self.starts)

  def __len__(self) -> int:
    return len(self.texts)


@dataclass(frozen=True)
class Speech:
  """Hold the splits; `content`: what identifies the data."""

  splits: dict[str, Recordings]
  content: dict[str, str]


def check_options(options: Options) -> None:
  """Raise InputError for an unknown data set or an option that has no meaning with it."""
  dataset, split = options.dataset, options.split
  if dataset not in NAMES and not files.is_path(dataset):
    known = unknown('task.dataset', dataset, NAMES)
    raise InputError(f'{known}, or your own WAV files: a folder with a .tsv file of transcripts')
  if not LOWEST <= options.rate <= HIGHEST:
    raise InputError(f'task.rate={options.rate} must be from {LOWEST} to {HIGHEST} Hz')
  if dataset in DIGITS:
    if options.rate != RATE:
      raise InputError(f'task.rate={options.rate} must be {RATE} with task.dataset={dataset}')
    if split not in ('auto', 'official', 'speaker'):
      raise InputError(f'task.split={split!r} is not one of {dataset}; allowed: auto, official, speaker')
  elif split != 'auto' and (dataset == 'espeak' or not files.percentages(split)):
    allowed = 'auto' if dataset == 'espeak' else 'auto, or percentages such as 90/5/5 that add up to 100'
    raise InputError(f'task.split={split!r} has no meaning with task.dataset={dataset}; allowed: {allowed}')
  if options.made > MOST_MADE:
    raise InputError(f'task.train_examples={options.made} must be at most {MOST_MADE} with task.dataset={dataset}')
  if split == 'speaker':
    known_speakers = speakers(dataset)
    if options.speaker not in known_speakers:
      raise InputError(
        f'task.speaker={options.speaker!r} must be the speaker that task.split=speaker tests: '
        f'{", ".join(known_speakers)}'
      )
  elif options.speaker:
    raise InputError(f'task.speaker={options.speaker!r} needs task.split=speaker, which is {split!r}')


def speakers(dataset: str) -> tuple[str, ...]:
  """Return the speakers of a data set of digits."""
  return dial_tones.SPEAKERS if dataset == 'dial_tones' else spoken_digits.SPEAKERS


@functools.lru_cache(maxsize=3)
def load(options: Options, stamp: tuple = ()) -> Speech:
  """Return the recordings; fetches or makes them the first time (errors: source.read, own_wavs.load, espeak).

  stamp: of the user's files, so that a changed file is read anew.
  """
  del stamp
  if options.dataset in DIGITS:
    splits, content = _digits(options)
  elif options.dataset == 'espeak':
    espeak.check()
    counts = MADE | ({'train': options.made} if options.made else {})
    splits = {split: espeak.utterances(split, count, options.rate) for split, count in counts.items()}
    content = {}
  else:
    own = own_wavs.load(options.dataset, options.rate)
    splits, content = dict(own.recordings), own.content
    if 'full' in splits:
      splits = _cut(splits['full'], '90/5/5' if options.split == 'auto' else options.split)
    elif options.split != 'auto':
      raise InputError(f'task.split={options.split} has no meaning here: the names of the .tsv files say the splits')
  joined = {split: _joined(splits[split]) for split in SPLITS if split in splits}
  if options.dataset in ('dial_tones', 'espeak'):
    content = {split: hashlib.sha256(part.samples.tobytes()).hexdigest() for split, part in joined.items()}
  return Speech(joined, content)


def _digits(options: Options) -> tuple[dict[str, list[Recording]], dict[str, str]]:
  """Return the splits of isolated digits, whose texts are the names of the digits.

  official: of each digit and speaker the first tenth of the recordings tests (as the data set's authors say); of the
  others, the next sixteenth validates. speaker: one speaker tests, the first tenth of the others validates.
  """
  if options.dataset == 'spoken_digits':
    found = [(r.take, Recording(spoken_digits.WORDS[r.digit], r.speaker, r.samples)) for r in spoken_digits.load()]
    each, content = spoken_digits.EACH, {spoken_digits.ARCHIVE.name: spoken_digits.ARCHIVE.sha256}
  else:
    each, content = dial_tones.EACH, {}
    found = [
      (index, Recording(spoken_digits.WORDS[digit], speaker, dial_tones.recording(digit, line, index)))
      for digit in range(10)
      for line, speaker in enumerate(dial_tones.SPEAKERS)
      for index in range(each)
    ]
  tenth = each // 10
  splits: dict[str, list[Recording]] = {split: [] for split in SPLITS}
  for index, recording in found:
    if options.split == 'speaker':
      split = 'test' if recording.speaker == options.speaker else 'validation' if index < tenth else 'train'
    else:
      split = 'test' if index < tenth else 'validation' if index < tenth + -(-each // 16) else 'train'
    splits[split].append(recording)
  return {split: _shuffled(part, split) for split, part in splits.items()}, content


def _cut(recordings: Sequence[Recording], split: str) -> dict[str, list[Recording]]:
  """Return a random cut in percentages of training/validation/test, each rounded up but training's."""
  parts = files.percentages(split)
  counts = [-(-int(part * len(recordings)) // 100) for part in parts[1:]]
  train = len(recordings) - sum(counts)
  if train < 1 or min(counts) < 1:
    raise InputError(f'task.split={split} leaves a split of {len(recordings)} recordings empty')
  order = _shuffled(recordings, 'cut')
  ends = np.cumsum([train, *counts])
  return {name: order[end - size : end] for name, end, size in zip(SPLITS, ends, [train, *counts], strict=False)}


def _shuffled(recordings: Sequence[Recording], name: str) -> list[Recording]:
  """Return the recordings in an order that has nothing to do with their texts, so that the first N are a fair part."""
  number = len(recordings)
  return [recordings[i] for i in draws.permuted(np.arange(number), number, draws.key('recordings', name))]


def _joined(recordings: Sequence[Recording]) -> Recordings:
  starts = np.cumsum([0, *(len(r.samples) for r in recordings)])
  samples = np.concatenate([r.samples for r in recordings])
  return Recordings(samples, starts, tuple(r.text for r in recordings), tuple(r.speaker for r in recordings))
