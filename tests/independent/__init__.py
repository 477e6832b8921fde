"""Independent checks: every mixer and every position encoding against a formulation written from its equations.

A `Check` computes how far this project is from a reference that shares no code with it: a NumPy loop, Flax's own cell,
another library. `python -m tests.independent` writes the table of all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from tests.cases import Case, D, draw_input

LENGTH = 33  # not a multiple of any chunk


@dataclass(frozen=True)
class Check:
  """One comparison.

  subject     the entry of MIXERS, or the position encoding
  against     what the reference is, in a few words, with the paper's equations
  deviation   () → the largest absolute deviation over outputs (and last states) of order 1, in float32
  tolerance   the largest deviation that passes
  """

  kind: Literal['mixer', 'position']
  subject: str
  against: str
  deviation: Callable[[], float]
  tolerance: float = 1e-5

  def __str__(self) -> str:
    return f'{self.kind}-{self.subject}-{self.against.split(",")[0].replace(" ", "_")}'


def mixer_deviation(
  name: str, reference: Callable[[Any, np.ndarray], np.ndarray], *, causal: bool = True, **options: Any
) -> float:
  """How far the mixer's outputs are from `reference(params, x)`: float64 parameters as the mixer names them, one
  sequence [t d] → [t d]."""
  case = Case(name, tuple(options.items()), causal)
  x = draw_input(0, LENGTH)
  actual = np.asarray(case.run(x)[0], np.float64)
  params = jax.tree.map(lambda a: np.asarray(a, np.float64), case.params)
  expected = np.stack([reference(params, row) for row in np.asarray(x, np.float64)])
  assert expected.shape == (x.shape[0], LENGTH, D)
  assert 0.05 < np.abs(expected).max() < 50
  return float(np.abs(actual - expected).max())
