"""The compiled training step: a program for each shape of the batches, since tasks may have several."""

from collections.abc import Callable
from typing import Any

import jax

from tasks.base import Batch
from training.step import Metrics, TrainState

Shapes = tuple[tuple[int, ...], ...]
CompiledStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


class Programs:
  """A step (state, batch) → (state, metrics) that is compiled for a batch of another shape when it first comes.

  Args:
    step: the jitted step.
    compiled: its program for the first shape, as `jax.stages.Compiled`.
  """

  def __init__(self, step: Any, compiled: Any) -> None:
    self._step = step
    self._programs: dict[Shapes, CompiledStep] = {shapes(compiled.args_info[0][1]): compiled}

  def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    if not self.has(batch):
      self.compile(state, batch)
    return self._programs[shapes(batch)](state, batch)

  def has(self, batch: Batch) -> bool:
    """Return whether there is a program for a batch of this shape."""
    return shapes(batch) in self._programs

  def compile(self, state: TrainState, batch: Batch) -> None:
    """Compile the step for the shape of a batch; neither is consumed."""
    self._programs[shapes(batch)] = self._step.lower(state, batch).compile()


def shapes(batch: Any) -> Shapes:
  """Return the shapes of the arrays of a batch."""
  return tuple(leaf.shape for leaf in jax.tree.leaves(batch))
