"""Say in which order two kinds of symbols came, far apart among many others (Hochreiter & Schmidhuber 1997, § 5.6).

With `X` and `Y` as the two kinds, and two marks:

  input    c X a b d Y c a      class XY of XX, XY, YX, YY

A bag of tokens tells how many of each there are; which came first it does not tell.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from seqmodels.errors import InputError, check_positive
from seqmodels.spec import Spec, Tokens
from tasks import draws
from tasks.base import Batch, Evaluation
from tasks.label_task import LabelTask
from tasks.procedural import Procedural

MOST_MARKS = 10
LONGER = 4  # times the length of training


@dataclass(frozen=True)
class TemporalOrder(LabelTask, Procedural):
  """Read `length` tokens, `marks` of them X or Y, one in each of as many equal parts; the others are of `symbols`."""

  marks: int = 2
  symbols: int = 4
  length: int = 100

  def __post_init__(self) -> None:
    super().__post_init__()
    check_positive(**{'task.marks': self.marks, 'task.symbols': self.symbols})
    if self.marks > MOST_MARKS:
      raise InputError(f'task.marks={self.marks} must be at most {MOST_MARKS}: there are 2^marks classes')
    if self.length < self.marks:
      raise InputError(f'task.length={self.length} must be at least task.marks={self.marks}')

  @property
  def spec(self) -> Spec:
    return self.spec_of(Tokens(self.symbols + 2), 2**self.marks, self.length)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    words = draws.words(self.key(split, seed), indices, self.length + 2 * self.marks)
    inputs = draws.integers(words[:, 2 * self.marks :], self.symbols).astype(np.int32)
    kinds = draws.integers(words[:, : self.marks], 2)
    borders = np.arange(self.marks + 1) * self.length // self.marks
    for mark, (start, end) in enumerate(itertools.pairwise(borders)):
      place = start + draws.integers(words[:, self.marks + mark : self.marks + mark + 1], int(end - start))
      np.put_along_axis(inputs, place, (self.symbols + kinds[:, mark : mark + 1]).astype(np.int32), axis=1)
    labels = (kinds << np.arange(self.marks)[::-1]).sum(axis=1).astype(np.int32)
    return Batch(inputs, labels, np.ones(len(indices), np.float32))

  def evaluations(self) -> dict[str, Evaluation]:
    """Return validation and test, and `longer`: sequences of four times the length."""
    return super().evaluations() | {'longer': Evaluation('test', {'length': LONGER * self.length})}
