"""Records of `training_bytes` in GB by size, form and length, the devices that they are held against, and what fits."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from comparison.claims.base import figure, where
from comparison.records import Row

GB = 1e9
CARD = 24  # GB of a large consumer card
SMALL_CARD = 8
CENTRE = 80  # GB of a data-centre card
STORED = 'reference'  # attention that stores its scores, without rematerialisation
TRANSFORMER_FORMS = (STORED, 'reference, remat', 'xla', 'xla, remat')  # they compute the same
LSTM_FORMS = ('full', 'full, remat')  # the same, too
TRUNCATED = 'truncated'
SHORTEST, LONGEST = 1024, 131_072  # tokens that are asked about
FRAMES, PATCHES = 256, 64
VIDEO = FRAMES * PATCHES  # tokens
# Of rules that were rewritten.
KNOWN = 'a compiler gives the same bytes each time, so that most of them were known when the rule was rewritten'

ByLength = dict[float, float]  # tokens → GB of a training step on one sequence


class Reach(NamedTuple):
  """The longest sequence that fits a memory lies between two numbers of tokens, which are equal where it is known.

  low: 0 where the shortest compiled sequence does not fit. high: infinite where the longest one does.
  """

  low: float
  high: float
  form: str

  def __str__(self) -> str:
    if self.low == self.high:
      return figure(self.low)
    if math.isinf(self.high):
      return f'at least {figure(self.low)}'
    return f'under {figure(self.high)}' if not self.low else f'{figure(self.low)} to {figure(self.high)}'


def needed(records: Sequence[Row], size: float | None = None) -> dict[float, dict[str, ByLength]]:
  """Return size → form → length → GB of a training step."""
  found: dict[float, dict[str, ByLength]] = {}
  for row in where(records, 'training_bytes', 'training_bytes'):
    if size in (None, row['size']):
      found.setdefault(row['size'], {}).setdefault(row['form'], {})[row['length']] = row['value'] / GB
  return found


def leanest(forms: Mapping[str, ByLength], names: Iterable[str], length: float) -> tuple[float, str] | None:
  """Return the GB and the name of the form that needs least at a length; None where none was compiled."""
  return min(((forms[name][length], name) for name in names if length in forms.get(name, {})), default=None)


def furthest(forms: Mapping[str, ByLength], names: Iterable[str], card: float) -> Reach | None:
  """Return how far the best of some forms reaches within `card` GB; None where none was compiled."""
  found = [_reach(forms[name], name, card) for name in names if forms.get(name)]
  if not found:
    return None
  best = max(found, key=lambda reach: (reach.high, reach.low))
  return Reach(max(reach.low for reach in found), best.high, best.form)


def _reach(by_length: ByLength, form: str, card: float) -> Reach:
  """Return where the bytes, interpolated linearly between compiled lengths, reach the card."""
  lengths = sorted(by_length)
  fits = [i for i, length in enumerate(lengths) if by_length[length] <= card]
  if not fits:
    return Reach(0.0, lengths[0], form)
  last = fits[-1]
  if last == len(lengths) - 1:
    return Reach(lengths[last], math.inf, form)
  between = lengths[last : last + 2]
  tokens = float(np.interp(card, [by_length[length] for length in between], between))
  return Reach(tokens, tokens, form)
