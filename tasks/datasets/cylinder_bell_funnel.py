"""Make the series of Saito (1994): a plateau, a rise or a fall of random place and height in noise."""

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt64

from tasks import draws

CLASSES = ('cylinder', 'bell', 'funnel')
LENGTH = 128
COUNTS = {'train': 300, 'validation': 150, 'test': 900}  # UCR's set has 30 and 900


def cases(key: int, indices: Int64[np.ndarray, ' b']) -> tuple[Float64[np.ndarray, 'b t'], Int32[np.ndarray, ' b']]:
  """Return the series with these numbers, and their classes in turn.

  The event lasts from a, of 16 to 32, to b, 32 to 96 steps later; its height is 6 with a deviation of 1, that of the
  noise.
  """
  labels = indices % len(CLASSES)
  words = draws.words(key, indices, 2 + 2 * (LENGTH + 1))
  first = 16 + draws.integers(words[:, :1], 17)
  last = first + 32 + draws.integers(words[:, 1:2], 65)
  noise = _normal(words[:, 2:])
  step = np.arange(1, LENGTH + 1)[None, :]
  inside = (first <= step) & (step <= last)
  rise = (step - first) / (last - first)
  shape = np.stack([np.ones_like(rise), rise, 1 - rise])[labels, np.arange(len(indices))]
  return (6 + noise[:, :1]) * inside * shape + noise[:, 1:], labels.astype(np.int32)


def _normal(words: UInt64[np.ndarray, 'b c']) -> Float64[np.ndarray, 'b n']:
  """Return standard normal numbers, one for two words (Box & Muller 1958)."""
  radius, angle = np.split(draws.uniforms(words), 2, axis=1)
  return np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle)
