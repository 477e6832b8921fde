"""Repeat the input after a fixed lag, at every step: a probe of how much a state holds.

With lag 3:

  input    a b c d e f g
  target   . . . a b c d        (the first `lag` steps do not count)

The symbols are independent, so a state that answers right holds the last `lag` of them: lag · log₂(symbols) bits.
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

LONGER = 4  # times the length of training


@dataclass(frozen=True)
class Delay(TokenTask, Procedural):
  """Repeat each of `length` random symbols `lag` steps later."""

  symbols: int = 8
  lag: int = 16
  length: int = 128

  def __post_init__(self) -> None:
    super().__post_init__()
    check_positive(**{'task.symbols': self.symbols, 'task.lag': self.lag})
    if self.length <= self.lag:
      raise InputError(f'task.length={self.length} must be greater than task.lag={self.lag}')

  @property
  def spec(self) -> Spec:
    return Spec('causal', Tokens(self.symbols), Tokens(self.symbols), length=self.length)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    words = draws.words(self.key(split, seed), indices, self.length)
    inputs = draws.integers(words, self.symbols).astype(np.int32)
    targets = np.zeros_like(inputs)
    targets[:, self.lag :] = inputs[:, : -self.lag]
    counted = np.arange(self.length)[None, :] >= self.lag
    return Batch(inputs, targets, np.broadcast_to(counted, inputs.shape).astype(np.float32))

  def derived(self, values: dict[str, float]) -> dict[str, float]:
    """Return `state_bits`: what the state is known to hold of the last `lag` symbols, by the loss."""
    known = math.log2(self.symbols) - values['loss'] / math.log(2)
    return {'state_bits': self.lag * max(0.0, known)}

  def evaluations(self) -> dict[str, Evaluation]:
    """Return validation and test, and `longer`: sequences of four times the length."""
    return super().evaluations() | {'longer': Evaluation('test', {'length': LONGER * self.length})}

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the scores of any symbol."""
    values = {'loss': math.log(self.symbols), 'accuracy': 1 / self.symbols}
    return {'no memory': values | self.derived(values)}
