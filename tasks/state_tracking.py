"""Track a state: the product of all group elements so far (Merrill, Petty & Sabharwal 2024).

Each input is an element of the group, each target the product of the inputs up to it. In Z60 the order does not
matter. A5 and S5 are not solvable, so their word problems are complete for NC¹: a model of fixed depth that computes in
parallel over time cannot solve them at every length unless TC⁰ = NC¹.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from seqmodels.errors import check_positive, unknown
from seqmodels.spec import Spec, Tokens
from tasks import draws
from tasks.base import Batch, Evaluation
from tasks.procedural import Procedural
from tasks.token_task import TokenTask

GROUPS = ('Z60', 'A5', 'S5')
LONGER = 4  # times the length of training


@functools.cache
def table(group: str) -> Int64[np.ndarray, 'n n']:
  """Return the products of a group: table[a, b] is a, then b. Element 0 is the identity."""
  if group == 'Z60':
    return np.add.outer(np.arange(60), np.arange(60)) % 60
  elements = [p for p in itertools.permutations(range(5)) if group == 'S5' or _is_even(p)]
  number = {element: i for i, element in enumerate(elements)}
  return np.array([[number[tuple(b[a[i]] for i in range(5))] for b in elements] for a in elements])


def _is_even(permutation: tuple[int, ...]) -> bool:
  return sum(a > b for a, b in itertools.combinations(permutation, 2)) % 2 == 0


@dataclass(frozen=True)
class StateTracking(TokenTask, Procedural):
  """Multiply `length` random elements of `group`."""

  fixed_options = ('group',)
  group: str = 'S5'
  length: int = 32

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.group not in GROUPS:
      raise unknown('task.group', self.group, GROUPS)
    check_positive(**{'task.length': self.length})

  @property
  def spec(self) -> Spec:
    tokens = Tokens(len(table(self.group)))
    return Spec('causal', tokens, tokens, length=self.length)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    products = table(self.group)
    inputs = draws.integers(draws.words(self.key(split, seed), indices, self.length), len(products))
    targets = np.empty_like(inputs)
    state = np.zeros(len(indices), np.int64)
    for step in range(self.length):
      state = targets[:, step] = products[state, inputs[:, step]]
    return Batch(inputs.astype(np.int32), targets.astype(np.int32), np.ones(inputs.shape, np.float32))

  def evaluations(self) -> dict[str, Evaluation]:
    """Return validation and test, and `longer`: sequences of four times the length."""
    return super().evaluations() | {'longer': Evaluation('test', {'length': LONGER * self.length})}

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the scores of a random element; the first product is the first input, which a model may copy."""
    size, first = len(table(self.group)), 1 / self.length
    return {
      'any element': {'loss': float(np.log(size)), 'accuracy': 1 / size},
      'first alone': {'loss': float((1 - first) * np.log(size)), 'accuracy': first + (1 - first) / size},
    }
