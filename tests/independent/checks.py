"""Independent checks: every mixer and every position encoding against a formulation written from its equations.

A `Check` computes how far this project is from a reference that shares no code with it: a NumPy loop, Flax's own cell,
another library. `python -m tests.independent` writes the table of all of them.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from seqmodels.mixers import MIXERS
from tests.cases import B, Case, D, draw_flags, draw_input

LENGTH = 33  # not a multiple of any chunk
REFLECTED = 'NumPy loop with negative eigenvalues, Grazzi et al. (2024)'


@dataclass(frozen=True)
class Check:
  """One comparison.

  name        the entry of MIXERS, or the position encoding
  against     what the reference is, in a few words, with the paper's equations
  deviation   () → the largest absolute deviation over outputs (and last states) of order 1, in float32
  tolerance   the largest deviation that passes
  """

  kind: Literal['mixer', 'position']
  name: str
  against: str
  deviation: Callable[[], float]
  tolerance: float = 1e-5

  def __str__(self) -> str:
    return f'{self.kind}-{self.name}-{self.against.split(",")[0].replace(" ", "_")}'


Reference = Callable[[Any, np.ndarray], np.ndarray]  # float64 parameters as the mixer names them, [t d] → [t d]


@functools.cache
def drawn(name: str, options: tuple[tuple[str, Any], ...], causal: bool) -> Case:
  """A bidirectional form has the values of the causal one, where there is one."""
  if causal or not MIXERS[name].can_be_causal:
    return Case(name, options, causal)
  return drawn(name, options, True).fitted(causal=False)


def mixer_deviation(
  name: str, reference: Reference, *, causal: bool = True, tokens: int = LENGTH, rows: int = B, **options: Any
) -> float:
  """How far the first `rows` of the mixer's outputs are from those of `reference`."""
  case = drawn(name, tuple(options.items()), causal)
  x = draw_input(0, tokens)
  actual = np.asarray(case.run(x)[0], np.float64)[:rows]
  expected = np.stack([reference(in_float64(case), row) for row in np.asarray(x[:rows], np.float64)])
  assert expected.shape == (rows, tokens, D)
  assert 0.05 < np.abs(expected).max() < 50
  return float(np.abs(actual - expected).max())


def packed_deviation(name: str, reference: Reference, *, segment: int, memory: int, **options: Any) -> float:
  """The same of segments with drawn documents and padding; the reference reads each document alone, without padding."""
  case = drawn(name, tuple(options.items()), True)
  x, (reset, mask) = draw_input(0, LENGTH), draw_flags(2, 0.1, 0.2, LENGTH)
  actual, _ = case.run_segments(x, (segment,) * (LENGTH // segment), reset, mask, max_length=memory)
  expected = np.zeros(x.shape)
  for row in range(B):
    starts = [0, *np.flatnonzero(reset[row] & mask[row]), LENGTH]
    for first, last in itertools.pairwise(starts):
      document = np.arange(first, last)[mask[row, first:last]]
      if len(document):
        expected[row, document] = reference(in_float64(case), x[row, document].astype(np.float64))
  return float(np.abs(np.asarray(actual) - expected)[mask].max())


def in_float64(case: Case) -> Any:
  return jax.tree.map(lambda a: np.asarray(a, np.float64), case.params)


Direction = Callable[[Any, np.ndarray], np.ndarray]


def one_way(direction: Direction, params: Any, x: np.ndarray) -> np.ndarray:
  return direction(params['forward'], x)


def both_ways(direction: Direction, params: Any, x: np.ndarray) -> np.ndarray:
  """The second half of the outputs reads from the end (Schuster & Paliwal, 1997)."""
  return np.concatenate([direction(params['forward'], x), direction(params['backward'], x[::-1])[::-1]], axis=-1)
