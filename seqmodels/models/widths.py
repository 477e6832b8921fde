"""From a budget of parameters to a width: the solver, for any model whose parameters can be counted at a width."""

import functools
import math
from collections.abc import Callable

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.layers.heads import choose_heads
from seqmodels.mixers import mixer_options, parse_entry

Size = Callable[[int, float], int]  # (width, feedforward) → non-embedding parameters
TOLERANCE = 0.02
UNITS = (32, 16, 8)
FARTHEST = math.log(1.6)  # of the feed-forward's multiple from what was asked for, for the sake of a friendly width


def solve(config: ModelConfig, size: Size, hidden_unit: Callable[[int], int], places: int = 1) -> ModelConfig:
  """Return a width, and a feed-forward a little off its multiple, that meet `config.params` within 2 %.

  The width is a multiple of 8 wherever one meets the budget, and so is the key width where heads are chosen from it.
  With a feed-forward, of such widths a multiple of 32 or 16 is taken where one is near, and the hidden width takes up
  what is left; without, such a multiple is taken where it is within 1 %.

  places: what the width must be a multiple of, for images.
  hidden_unit: width → parameters that a hidden unit of the feed-forward adds to the model. InputError, with the nearest
  reachable number, where no width meets the budget.
  """
  target, step = config.params, math.lcm(_step(config), places)
  size = functools.cache(size)
  low, high = (units * step for units in _bracket(lambda units: size(units * step, config.feedforward), target))
  found = []
  for width in {low, high, *_friendly(low, high, step, config.feedforward > 0)}:
    feedforward, reached = _fit_feedforward(config, width, size, hidden_unit(width))
    off = abs(reached / target - 1)
    # Of the widths within the budget, the one whose feed-forward is nearest to what was asked for; a hardware-friendly
    # width may be a third off.
    distance = abs(math.log(feedforward / config.feedforward)) if config.feedforward else 0.0
    misses = off > TOLERANCE, distance > FARTHEST, width % 8 > 0, not config.heads and _key_width(config, width) % 8 > 0
    found.append((misses, max(off, 0.01), distance - _bonus(config, width), width, feedforward, reached))
  *_, width, feedforward, reached = min(found)
  if abs(reached / target - 1) > TOLERANCE:
    *_, width, _, reached = min(found, key=lambda choice: choice[1])
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
  images = (config.mixer.get(f'image_{side}', 0) or 1 for side in ('height', 'width'))
  heads = math.lcm(heads, math.prod(images))
  if not config.feedforward:
    return math.lcm(heads, 2 if config.position == 'rotary' else 1)
  return math.lcm(heads, 4)


def _friendly(low: int, high: int, step: int, far: bool) -> set[int]:
  """Multiples of the units just below and above: of 8 always, of 16 and 32 up to an eighth away. Without a feed-forward
  (`far` false) nothing beyond a fiftieth can meet the budget."""
  found = set()
  for unit in UNITS:
    unit = math.lcm(unit, step)
    allowed = low / 8 if far else low / 50 + high - low
    near = {low // unit * unit, -(-high // unit) * unit}
    found |= {width for width in near if width and (abs(width - low) <= allowed or (far and unit == 8))}
  return found


def _key_width(config: ModelConfig, width: int) -> int:
  """0 where there are no heads."""
  if config.heads:
    return width // config.heads
  entries = (*config.pattern, *config.encoder_pattern)
  has_heads = any('heads' in mixer_options(parse_entry(entry)[0]) for entry in entries)
  across = bool(config.encoder_pattern) and config.cross_attention
  return width // choose_heads(width) if has_heads or across else 0


def _bonus(config: ModelConfig, width: int) -> float:
  """Vector units like multiples of 32 and 16 as widths, and multiples of 8 as key widths."""
  if width % 16 == 0 and _key_width(config, width) % 8 == 0:
    return 0.35 if width % 32 == 0 else 0.3
  return 0.1 if width % 8 == 0 else 0.0


def _fit_feedforward(config: ModelConfig, width: int, size: Size, unit: int) -> tuple[float, int]:
  """Return the multiple that meets the budget at this width, and what it comes to.

  It makes whole hidden units of `unit` parameters, at least half the width.
  """
  if not config.feedforward:
    return 0.0, size(width, 0.0)
  some = max(1, round(config.feedforward)) * width
  reached = size(width, some / width)
  hidden = max(some + round((config.params - reached) / unit), width // 2)
  return hidden / width, reached + (hidden - some) * unit
