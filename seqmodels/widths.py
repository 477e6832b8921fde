"""From a budget of parameters to a width: the solver, for any model whose parameters can be counted at a width."""

import functools
import math
from collections.abc import Callable

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.mixers.attention import choose_heads

Size = Callable[[int, float], int]  # (width, feedforward) → non-embedding parameters
TOLERANCE = 0.02
UNITS = (32, 16, 8)


def solve(config: ModelConfig, size: Size) -> ModelConfig:
  """A width, and a feed-forward a little off its multiple, that meet `config.params` within 2 %.

  With a feed-forward, the width is a multiple of 4, of 32 or 16 where one is near, and the hidden width takes up what
  is left; without, such a multiple is taken where it is within 1 %. InputError, with the nearest reachable number,
  where no width meets the budget.
  """
  target, step = config.params, _step(config)
  size = functools.cache(size)
  low, high = _bracket(lambda units: size(units * step, config.feedforward), target)
  found = []
  for width in {low * step, high * step, *_friendly(low * step, high * step, step)}:
    feedforward, reached = _fit_feedforward(config, width, size)
    off = abs(reached / target - 1)
    # Of the widths within the budget, the one whose feed-forward is nearest to what was asked for; a hardware-friendly
    # width may be a third off.
    distance = abs(math.log(feedforward / config.feedforward)) if config.feedforward else 0.0
    found.append((max(off, 0.01), distance - _bonus(config, width), width, feedforward, reached))
  _, _, width, feedforward, reached = min(found)
  if abs(reached / target - 1) > TOLERANCE:
    raise InputError(f'model.params={target:g} cannot be met within 2 %; the nearest is {reached} (width {width})')
  return config.replace(width=width, feedforward=feedforward, params=0.0)


def _bracket(size: Callable[[int], int], target: float) -> tuple[int, int]:
  """Neighbours (n, n + 1), from 1 on, between whose sizes the target lies; (1, 2) where even 1 is too large.

  Sizes grow about as the square, which finds the neighbours in a few counts.
  """
  low, high, guess = 1, 0, 16
  while not high or high - low > 1:
    reached = size(guess)
    if reached < target:
      low = guess
    else:
      high = guess
    aim = round(guess * math.sqrt(target / reached))
    guess = min(max(aim, low + 1), high - 1 if high else 8 * low)
  return low, high


def _step(config: ModelConfig) -> int:
  heads = 2 * config.heads if config.heads else 1  # an even key width, as rotary positions need it
  if not config.feedforward:
    return math.lcm(heads, 2 if config.position == 'rotary' else 1)
  return math.lcm(heads, 4)


def _friendly(low: int, high: int, step: int) -> set[int]:
  """The multiples of the units next to two widths, at most an eighth away."""
  near = {round(width / unit) * unit for width in (low, high) for unit in UNITS}
  return {width for width in near if width and width % step == 0 and abs(width - low) <= low / 8}


def _bonus(config: ModelConfig, width: int) -> float:
  """Vector units like multiples of 32 and 16 as widths, and multiples of 8 as key widths."""
  key_width = width // (config.heads or choose_heads(width))
  if width % 16 == 0 and key_width % 8 == 0:
    return 0.35 if width % 32 == 0 else 0.3
  return 0.1 if width % 8 == 0 else 0.0


def _fit_feedforward(config: ModelConfig, width: int, size: Size) -> tuple[float, int]:
  """The multiple that meets the budget at this width, in whole hidden units, never below half the width; and what it
  comes to, which grows by the same with every hidden unit."""
  if not config.feedforward:
    return 0.0, size(width, 0.0)
  some = max(1, round(config.feedforward))
  one, two = size(width, some), size(width, some + 1)
  a_unit = (two - one) / width
  hidden = max(round(width * some + (config.params - one) / a_unit), width // 2)
  return hidden / width, round(one + (hidden - width * some) * a_unit)
