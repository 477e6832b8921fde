"""Checks of options that several mixers share."""

from dataclasses import dataclass
from typing import Any

from seqmodels.errors import InputError, unknown
from seqmodels.positions import ADDITIVE

POSITIONS = ('none', 'rotary', *ADDITIVE)
LARGEST = 65_536  # of heads, ranks and features: far beyond what is trained, small enough to be rejected early
MOST_TAPS = 1_024  # a convolution is as many operations as it has taps
LONGEST_REACH = 1_048_576  # inputs that a convolution remembers


def check_range(options: Any, low: float, high: float, *names: str) -> None:
  """Raise InputError unless low <= value <= high for each of the named options."""
  for name in names:
    value = getattr(options, name)
    if not low <= value <= high:
      raise InputError(f'mixer.{name}={value} must be from {low} to {high}')


def check_position(position: str) -> None:
  """Raise InputError for a position encoding that does not work in a mixer with the choice of `rotary`."""
  if position not in POSITIONS:
    raise unknown('model.position', position, POSITIONS)


@dataclass(frozen=True)
class HeadOptions:
  """The options of mixers that compute in chunks, head by head.

  heads  0: chosen from the width (`layers.heads.choose_heads`)
  chunk  tokens at a time, a power of two; 0: chosen
  """

  heads: int = 0
  chunk: int = 0

  def __post_init__(self) -> None:
    check_range(self, 0, LARGEST, 'heads')
    if not 0 <= self.chunk <= LARGEST or self.chunk & (self.chunk - 1):
      raise InputError(f'mixer.chunk={self.chunk} must be 0 (chosen) or a power of two, at most {LARGEST}')
