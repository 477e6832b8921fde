"""Define the base of tasks whose examples are drawn rather than read: their number and their random streams."""

from dataclasses import dataclass
from typing import Any, ClassVar

from seqmodels.errors import check_positive
from tasks import draws
from tasks.pipeline import IndexedTask


@dataclass(frozen=True)
class Procedural(IndexedTask):
  """Draw examples: endlessly new ones to train on if `train_examples` is 0, `evaluation_examples` in other splits.

  The training set depends on the seed; validation and test are the same for every seed.

  version: version of the generator; a subclass raises it when the same options no longer give the same examples.
  """

  version: ClassVar[int] = 1

  evaluation_examples: int = 1000

  def __post_init__(self) -> None:
    super().__post_init__()
    check_positive(**{'task.evaluation_examples': self.evaluation_examples})

  def count(self, split: str) -> int:
    return self.train_examples if split == 'train' else self.evaluation_examples

  def identity(self) -> dict[str, Any]:
    return super().identity() | {'version': self.version}

  def key(self, split: str, seed: int) -> int:
    return draws.key(type(self).__name__, split, seed if split == 'train' else 0)
