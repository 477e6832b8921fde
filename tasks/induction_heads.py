"""Say what followed a token when it was seen before (Olsson et al. 2022), at lengths beyond those of training.

One token, `!`, stands at a random place and again at the end, as in Gu & Dao 2023; the rest is random:

  input    c a ! d b b a !
  target   . . . . . . . d        (only the last step counts)
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

LONGER = (2, 4, 16)  # times the length of training


@dataclass(frozen=True)
class InductionHeads(TokenTask, Procedural):
  """Recall one of `symbols` different symbols from anywhere in `length` steps."""

  symbols: int = 16
  length: int = 64

  def __post_init__(self) -> None:
    super().__post_init__()
    check_positive(**{'task.symbols': self.symbols})
    if self.length < 3:
      raise InputError(f'task.length={self.length} must be at least 3: the token, what follows it, the token again')

  @property
  def spec(self) -> Spec:
    return Spec('causal', Tokens(self.symbols + 1), Tokens(self.symbols + 1), length=self.length)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    words = draws.words(self.key(split, seed), indices, self.length + 1)
    inputs = draws.integers(words[:, 1:], self.symbols).astype(np.int32)
    place = draws.integers(words[:, :1], self.length - 2)
    np.put_along_axis(inputs, place, np.int32(self.symbols), axis=1)
    inputs[:, -1] = self.symbols
    targets, weights = np.zeros_like(inputs), np.zeros(inputs.shape, np.float32)
    targets[:, -1] = np.take_along_axis(inputs, place + 1, axis=1)[:, 0]
    weights[:, -1] = 1.0
    return Batch(inputs, targets, weights)

  def evaluations(self) -> dict[str, Evaluation]:
    """Return validation and test, and `longer_2x`, `longer_4x` and `longer_16x`: times the length of training."""
    longer = {f'longer_{times}x': Evaluation('test', {'length': times * self.length}) for times in LONGER}
    return super().evaluations() | longer

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the scores of any symbol."""
    return {'any symbol': {'loss': math.log(self.symbols), 'accuracy': 1 / self.symbols}}
