"""Steps whose loss or gradient is not finite: how many were left out, and how a message describes one."""

from typing import Any, NamedTuple

import numpy as np

from training.evaluate import NotFinite, check_finite
from training.trees import flatten


class Counts(NamedTuple):
  """Steps that were not finite: in all, and in a row up to the last one."""

  total: int = 0
  in_row: int = 0

  def after(self, is_finite: bool) -> 'Counts':
    """Return the counts after one more step."""
    return Counts(self.total, 0) if is_finite else Counts(self.total + 1, self.in_row + 1)


def description(step: int, loss: float, batch_size: int, params: Any, squares: np.ndarray, *, is_intact: bool) -> str:
  """Return the step, its examples by the global counter, and the first array that is not finite.

  Args:
    step: counted from 1.
    loss: of the step.
    batch_size: examples a step.
    params: after the step.
    squares: of each array of the gradient, see `norms.squares`.
    is_intact: whether the step left the parameters as they were. Then they come first: from parameters that are not
      finite no gradient is.
  """
  gradients = zip(flatten(params), squares, strict=True)
  name = next((f'gradient/{path}' for path, square in gradients if not np.isfinite(square)), 'loss')
  if is_intact:
    try:
      check_finite(params)
    except NotFinite as error:
      name = error.name
  examples = f'examples {(step - 1) * batch_size:,} to {step * batch_size - 1:,}'
  return (
    f'the loss or its gradient is not finite at step {step} (loss {loss}), {examples}; first array that is not finite: '
    f'{name}'
  )
