"""Prepare what a recogniser learns from: labels of every recording, the scale of the features, who speaks."""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from seqmodels.errors import InputError
from tasks import ctc, fitted
from tasks.datasets import speech
from tasks.speech_task import Reading, read_steps
from tasks.transcripts import Labels

Speakers = tuple[Int[np.ndarray, ' m'], Int[np.ndarray, ' s'], Int[np.ndarray, ' s']]


@dataclass(frozen=True)
class Prepared:
  """Hold the data of a recogniser.

  texts: the labels of each recording, by split; longest: how many the longest has. between: the labels between two
  joined recordings. mean, deviation: of each log-mel band over the training recordings. by_speaker: the recordings of a
  split in the order of their speakers, and where each speaker's begin and how many there are.
  """

  labels: Labels
  texts: dict[str, list[Int[np.ndarray, ' l']]]
  longest: int
  between: Int[np.ndarray, ' k']
  mean: Float[np.ndarray, ' d']
  deviation: Float[np.ndarray, ' d']
  by_speaker: dict[str, Speakers]

  def joined(self, split: str, chosen: Int[np.ndarray, ' n']) -> Int[np.ndarray, ' l']:
    """Return the labels of joined recordings; −1 stands for none."""
    parts: list[np.ndarray] = []
    for number in chosen[chosen >= 0]:
      parts += [self.between, self.texts[split][number]]
    return np.concatenate(parts[1:])


@functools.lru_cache(maxsize=4)
def prepare(
  options: speech.Options,
  stamp: tuple,
  reading: Reading,
  unit: str,
  objective: str,
  is_joined: bool,
  restored: str = '',
) -> Prepared:
  """Return the data for a loss. Raises InputError for texts that the loss cannot learn.

  is_joined: recordings are joined to strings; a space stands between their texts.
  restored: labels and scale of a model that was trained on other recordings; see `Fitted.restored`.

  With the loss `label` a label is a whole text, and there is no label that stands for none.
  """
  data, kept = speech.load(options, stamp), fitted.parse(restored)
  train = data.splits['train'].texts
  if objective == 'label':
    classes = tuple(kept['vocabulary']) if kept else tuple(sorted(set(train)))
    labels = Labels('text', classes)
    numbers = {text: np.array([i]) for i, text in enumerate(classes)}
    for split, recordings in data.splits.items():
      if strange := sorted(set(recordings.texts) - numbers.keys()):
        raise InputError(
          f'task.loss=label: the text {strange[0][:60]!r} of the {split} split is that of no training recording; '
          'task.loss=ctc writes words or characters'
        )
    texts = {split: [numbers[text] for text in part.texts] for split, part in data.splits.items()}
  else:
    made = Labels.of([*train, *([' '] if is_joined else [])], unit)
    labels = Labels(unit, tuple(kept['vocabulary'])) if kept else made
    texts = {split: [labels.encode(text) for text in part.texts] for split, part in data.splits.items()}
  between = labels.encode(' ') if is_joined else np.array([], np.int64)
  if objective == 'ctc':
    _check_room(options, stamp, reading, data, texts, int(is_joined))
  mean, deviation = np.zeros(reading.mels), np.ones(reading.mels)
  if kept:
    mean, deviation = np.array(kept['mean']), np.array(kept['deviation'])
  elif reading.features == 'log_mel':
    values = read_steps(options, stamp, 'train', reading).values
    mean, spread = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    deviation = np.where(spread > 0, spread, 1.0)
  by_speaker = {split: _by_speaker(part.speakers) for split, part in data.splits.items()}
  longest = max(len(own) for part in texts.values() for own in part)
  return Prepared(labels, texts, longest, between, mean.astype(np.float32), deviation.astype(np.float32), by_speaker)


def _check_room(
  options: speech.Options,
  stamp: tuple,
  reading: Reading,
  data: speech.Speech,
  texts: dict[str, list[np.ndarray]],
  between: int,
) -> None:
  """Raise InputError for a recording with fewer steps than its labels and `between` more need."""
  for split, labels in texts.items():
    lengths = read_steps(options, stamp, split, reading).lengths
    for number, (steps, own) in enumerate(zip(lengths, labels, strict=True)):
      if steps < ctc.needed_steps(own) + between:
        text = data.splits[split].texts[number][:60]
        raise InputError(
          f'task.loss=ctc: recording {number + 1} of {split}, {steps} steps, is too short for its text {text!r} of '
          f'{len(own)} labels; a smaller task.hop, which is {reading.hop} samples, or a larger task.seconds gives more '
          'steps'
        )


def _by_speaker(speakers: tuple[str, ...]) -> Speakers:
  names, numbers = np.unique(np.array(speakers), return_inverse=True)
  counts = np.bincount(numbers, minlength=len(names))
  return np.argsort(numbers, kind='stable'), np.cumsum(counts) - counts, counts
