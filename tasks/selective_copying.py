"""Copy the items that stand scattered among blanks (Gu & Dao 2023, after Jing et al. 2019).

With 3 items a b c in 8 steps, `_` for blank and `?` for the query:

  input    _ a _ _ b c _ _ ? ? ?
  target   . . . . . . . . a b c        (only the answer counts)

Unlike in copying, the distances between the items differ from example to example: a model must choose by the content
what it keeps, and a filter that is the same at every step cannot.
"""

import math
from dataclasses import dataclass

import numpy as np

from seqmodels.errors import InputError, check_positive
from seqmodels.spec import Spec, Tokens
from tasks import draws
from tasks.base import Batch, Evaluation
from tasks.procedural import Procedural
from tasks.token_task import TokenTask

BLANK = 0
LONGER = 4  # times the length of training


@dataclass(frozen=True)
class SelectiveCopying(TokenTask, Procedural):
  """Copy `items` of `symbols` different symbols that stand at random places of `length` steps."""

  symbols: int = 16
  items: int = 16
  length: int = 256

  def __post_init__(self) -> None:
    super().__post_init__()
    check_positive(**{'task.symbols': self.symbols, 'task.items': self.items})
    if self.length < self.items:
      raise InputError(f'task.length={self.length} must be at least task.items={self.items}')

  @property
  def spec(self) -> Spec:
    tokens = Tokens(self.symbols + 2)
    return Spec('causal', tokens, tokens, length=self.length + self.items)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    key, rows = self.key(split, seed), len(indices)
    items = 1 + draws.integers(draws.words(draws.key(key, 'items'), indices, self.items), self.symbols)
    words = draws.words(draws.key(key, 'places'), indices, self.length)
    places = np.sort(np.argsort(words, axis=1)[:, : self.items], axis=1)
    inputs = np.full((rows, self.length + self.items), BLANK, np.int32)
    np.put_along_axis(inputs, places, items.astype(np.int32), axis=1)
    inputs[:, self.length :] = self.symbols + 1
    targets = np.zeros(inputs.shape, np.int32)
    targets[:, self.length :] = items
    return Batch(inputs, targets, (targets > 0).astype(np.float32))

  def evaluations(self) -> dict[str, Evaluation]:
    """Return validation and test, and `longer`: as many items in four times the steps."""
    return super().evaluations() | {'longer': Evaluation('test', {'length': LONGER * self.length})}

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the scores of any item."""
    return {'no memory': {'loss': math.log(self.symbols), 'accuracy': 1 / self.symbols}}
