"""Compare frames of speech that are not equally long, by dynamic time warping (Sakoe & Chiba 1978). NumPy only."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tasks.base import HostSums


def sums(
  written: Sequence[Float[np.ndarray, 'f m']], references: Sequence[Float[np.ndarray, 'k m']]
) -> dict[str, HostSums]:
  """Return `dtw_mse`, the mean squared difference along the best alignment, and `length_error`, in reference frames."""
  pairs = list(zip(written, references, strict=True))
  warped = np.array([warped_distance(a, b) for a, b in pairs], np.float64)
  differences = np.array([abs(len(a) - len(b)) for a, b in pairs], np.float64)
  lengths = np.array([len(b) for _, b in pairs], np.float64)
  return {'dtw_mse': (warped * lengths, lengths), 'length_error': (differences, lengths)}


def warped_distance(a: Float[np.ndarray, 'f m'], b: Float[np.ndarray, 'k m']) -> float:
  """Return the least mean squared difference along an alignment that goes through both from beginning to end.

  Each step goes on by a frame in one or both; the mean is over the steps of the alignment with the least sum. nan where
  one is empty.
  """
  if not len(a) or not len(b):
    return float('nan')
  costs = np.square(a[:, None].astype(np.float64) - b[None]).mean(axis=2)
  total = np.full((len(a) + 1, len(b) + 1), np.inf)
  steps = np.zeros(total.shape, np.int64)
  total[0, 0] = 0
  for i in range(1, len(a) + 1):
    for j in range(1, len(b) + 1):
      least, count = min(
        (total[i - 1, j - 1], steps[i - 1, j - 1]),
        (total[i - 1, j], steps[i - 1, j]),
        (total[i, j - 1], steps[i, j - 1]),
      )
      total[i, j], steps[i, j] = least + costs[i - 1, j - 1], count + 1
  return float(total[-1, -1] / steps[-1, -1])
