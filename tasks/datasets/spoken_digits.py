"""Read the Free Spoken Digit Dataset 1.0.10 (Jackson et al. 2018): 3,000 recordings at 8 kHz, CC BY-SA 4.0."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

from seqmodels.errors import InputError
from tasks.datasets import source, wav

RATE = 8000
WORDS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
SPEAKERS = ('george', 'jackson', 'lucas', 'nicolas', 'theo', 'yweweler')
EACH = 50  # recordings of a digit and speaker
ARCHIVE = source.RawArchive(
  'fsdd/fsdd_recordings.tar',
  'https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz',
  21_128_848,
  '1801eae019c063377d98f831d3f93574f259475df7332bb0e3d1b080fb5e6959',
  r'\d_[a-z]+_\d+\.wav',
)


class Recording(NamedTuple):
  """Hold one digit by one speaker; `take` from 0 to 49: those below 5 are the official test set."""

  digit: int
  speaker: str
  take: int
  samples: Int16[np.ndarray, ' n']


def load() -> list[Recording]:
  """Return all recordings by digit, speaker and take; fetches the archive the first time (errors: source.read)."""
  return sorted(_recordings(source.read_members(ARCHIVE)), key=lambda found: found[:3])


def _recordings(files: dict[str, bytes]) -> Iterator[Recording]:
  for name, content in files.items():
    digit, speaker, take = name.removesuffix('.wav').split('_')
    sound = wav.decode(content)
    if sound.rate != RATE or sound.channels != 1:
      raise InputError(f'{name} has {sound.channels} channels at {sound.rate} Hz instead of 1 at {RATE}')
    yield Recording(int(digit), speaker, int(take), np.round(sound.samples * 32768).astype(np.int16))
