"""Attention mixers beside the loop of `attention_loop.py`, which takes a function of who sees which key."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cases import draw_input
from tests.independent import positions
from tests.independent.attention_loop import Sees, attention, causal
from tests.independent.checks import LENGTH, Check, drawn, in_float64, mixer_deviation, packed_deviation


def windowed(window: int, both: bool = False) -> Sees:
  """Beltagy et al. (2020), section 3.1."""
  return lambda i, j: abs(i - j) < window and (both or j <= i)


def strided(stride: int, both: bool = False) -> Sees:
  """Child et al. (2019), section 4.2: both sets of the strided pattern, columns at the strides' ends."""
  return lambda i, j: (both or j <= i) and (abs(i - j) < stride or (j + 1) % stride == 0)


def transformer_xl(params: Any, x: np.ndarray, memory: int = LENGTH, both: bool = False) -> np.ndarray:
  """Dai et al. (2019), section 3.3, with the last `memory` tokens in reach."""
  score = functools.partial(positions.transformer_xl, params)
  return attention(params, x, 2, score=score, sees=lambda i, j: both or 0 <= i - j < memory)


def in_segments(memory: int, segment: int) -> float:
  """The same, the mixer reading segments with a memory."""
  case = drawn('transformer_xl', (('heads', 2),), True)
  x = draw_input(0, LENGTH)
  lengths = [min(segment, LENGTH - start) for start in range(0, LENGTH, segment)]
  actual, _ = case.run_segments(x, lengths, max_length=memory)
  expected = [transformer_xl(in_float64(case), row, memory) for row in np.asarray(x, np.float64)]
  return float(np.abs(np.asarray(actual) - np.stack(expected)).max())


def packed() -> float:
  reference = functools.partial(transformer_xl, memory=9)
  return packed_deviation('transformer_xl', reference, segment=3, memory=9, heads=2)


def check(against: str, reference: Callable[[Any, np.ndarray], np.ndarray], name: str, **options: Any) -> Check:
  return Check('mixer', name, against, lambda: mixer_deviation(name, reference, heads=2, **options))


def seen(name: str, against: str, sees: Sees, both: bool, **options: int) -> Check:
  against += ', both directions' if both else ''
  return check(against, lambda p, x: attention(p, x, 2, sees=sees), name, causal=not both, **options)


CHECKS = (
  seen('attention', 'NumPy loop over queries and keys, Vaswani et al. (2017)', causal, False),
  seen('attention', 'the same without a mask', lambda i, j: True, True),
  check(
    'the same with shared keys, Ainslie et al. (2023)', lambda p, x: attention(p, x, 2, 1), 'attention', kv_heads=1
  ),
  seen('sliding_window', 'the same within the window, Beltagy et al. (2020)', windowed(5), False, window=5),
  seen('sliding_window', 'the same within the window, Beltagy et al. (2020)', windowed(5, True), True, window=5),
  seen('sparse', 'the same over the strided pattern, Child et al. (2019)', strided(5), False, stride=5),
  seen('sparse', 'the same over the strided pattern, Child et al. (2019)', strided(5, True), True, stride=5),
  check('NumPy loop over the four terms, Dai et al. (2019)', transformer_xl, 'transformer_xl'),
  check(
    'NumPy loop over the four terms, Dai et al. (2019), both directions',
    functools.partial(transformer_xl, both=True),
    'transformer_xl',
    causal=False,
  ),
  Check('mixer', 'transformer_xl', 'the same in segments of 6 with a memory of 9', lambda: in_segments(9, 6)),
  Check('mixer', 'transformer_xl', 'the same in segments of 3 with a memory of 9, documents and padding', packed),
)
