"""Copy items after a delay (Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016).

With 3 items a b c, lag 4, `_` for blank and `>` for the delimiter:

  input    a b c _ _ _ > _ _ _
  target   _ _ _ _ _ _ _ a b c

Every item is asked for `items + lag` steps after it was read. `loss_on="all"` averages the loss over every position, as
Bai, Kolter & Koltun 2018 do; a model without a state reaches items · ln(symbols) / (lag + 2 · items).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float

from seqmodels.errors import check_positive, unknown
from seqmodels.spec import Spec, Tokens
from tasks import draws
from tasks.base import Batch
from tasks.procedural import Procedural
from tasks.token_task import TokenTask

BLANK = 0


@dataclass(frozen=True)
class Copying(TokenTask, Procedural):
  """Copy `items` of `symbols` different symbols, `lag` steps after the last of them was read."""

  symbols: int = 8
  items: int = 10
  lag: int = 100
  loss_on: str = 'all'  # all | answer

  def __post_init__(self) -> None:
    super().__post_init__()
    check_positive(**{'task.symbols': self.symbols, 'task.items': self.items, 'task.lag': self.lag})
    if self.loss_on not in ('all', 'answer'):
      raise unknown('task.loss_on', self.loss_on, ('all', 'answer'))

  @property
  def spec(self) -> Spec:
    tokens = Tokens(self.symbols + 2)
    return Spec('causal', tokens, tokens, length=self.lag + 2 * self.items)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    rows, length = len(indices), self.spec.length
    items = 1 + draws.integers(draws.words(self.key(split, seed), indices, self.items), self.symbols)
    inputs = np.full((rows, length), BLANK, np.int32)
    inputs[:, : self.items] = items
    inputs[:, length - self.items - 1] = self.symbols + 1
    targets = np.full((rows, length), BLANK, np.int32)
    targets[:, -self.items :] = items
    weights = np.ones((rows, length), np.float32) if self.loss_on == 'all' else (targets != BLANK).astype(np.float32)
    return Batch(inputs, targets, weights)

  def scored(self, batch: Batch) -> Float[Array, 'b t']:
    """Return the weights of the items to be written: only they count for the accuracy."""
    return batch.weights * (batch.targets != BLANK).astype(batch.weights.dtype)

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the best scores without a state: blanks up to the delimiter, then any item."""
    share = self.items / self.spec.length if self.loss_on == 'all' else 1.0
    return {'no memory': {'loss': share * math.log(self.symbols), 'accuracy': 1 / self.symbols}}
