"""Which checkpoints stay: the newest, the best, and each of every so many steps."""

from collections.abc import Mapping, Sequence
from typing import Any


class Retention:
  """Which checkpoints stay when another one has been written: Orbax asks `should_preserve`.

  The newest `newest`, each whose step is a multiple of `every` (0: none), and the one with the lowest of `scores`
  (step → score). Orbax's own rule for the best one deletes the newest where that is not among the best.
  """

  def __init__(self, newest: int, every: int = 0) -> None:
    self.newest, self.every = newest, every
    self.scores: Mapping[int, float] = {}

  def should_preserve(self, checkpoints: Sequence[Any], *, context: Any = None) -> list[bool]:
    del context
    return self.kept([checkpoint.step for checkpoint in checkpoints])

  def kept(self, steps: Sequence[int]) -> list[bool]:
    """Return, for each of `steps`, whether its checkpoint stays."""
    newest = sorted(steps)[-self.newest :]
    best = min((step for step in steps if step in self.scores), key=lambda step: self.scores[step], default=None)
    return [step in newest or step == best or (self.every > 0 and step % self.every == 0) for step in steps]
