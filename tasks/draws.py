"""Draw random numbers as a pure function of (seed, split, example), in any order of the examples.

Every example has its own SplitMix64 stream (Steele, Lea & Flood 2014), computed for a whole batch at once: a NumPy
generator per example would take longer than the training step of a small model.
"""

import functools
import math

import numpy as np
from jaxtyping import Float64, Int64, UInt64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FEISTEL_ROUNDS = 6


def _mix(x: np.ndarray) -> np.ndarray:
  """Apply SplitMix64's finaliser, a bijection of 64-bit words."""
  mixed = x ^ (x >> np.uint64(30))
  mixed *= np.uint64(0xBF58476D1CE4E5B9)
  mixed ^= mixed >> np.uint64(27)
  mixed *= np.uint64(0x94D049BB133111EB)
  mixed ^= mixed >> np.uint64(31)
  return mixed


@functools.lru_cache(maxsize=1024)
def key(*parts: int | str) -> int:
  """Return a 64-bit key of numbers and names; the same on every machine and in every process."""
  state = np.zeros(1, np.uint64)
  for part in parts:
    words = part.encode() if isinstance(part, str) else int(part).to_bytes(16, 'little', signed=True)
    for word in (len(words), *words):
      state = _mix(state + _GOLDEN + np.uint64(word))
  return int(state[0])


def words(
  key: int | UInt64[np.ndarray, ' b'], indices: Int64[np.ndarray, ' b'], columns: int
) -> UInt64[np.ndarray, 'b c']:
  """Return `columns` uniform 64-bit words for each example, from one key or from a key each."""
  start = _mix(np.asarray(key, np.uint64) + _GOLDEN * (indices.astype(np.uint64) + np.uint64(1)))
  return _mix(start[:, None] + _GOLDEN * np.arange(1, columns + 1, dtype=np.uint64)[None, :])


def integers(words: UInt64[np.ndarray, 'b c'], below: int) -> Int64[np.ndarray, 'b c']:
  """Return uniform integers in [0, below); the bias is below 2⁻⁴⁰ for every size used here."""
  # NumPy divides by a scalar with vector instructions, but takes remainders one by one.
  multiple = words // np.uint64(below)
  multiple *= np.uint64(below)
  return np.subtract(words, multiple, out=multiple).view(np.int64)


def uniforms(words: UInt64[np.ndarray, 'b c']) -> Float64[np.ndarray, 'b c']:
  """Return uniform numbers in (0, 1): never 0, so that their logarithms are finite."""
  return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def distinct(words: UInt64[np.ndarray, 'b c'], below: int | Int64[np.ndarray, ' b']) -> Int64[np.ndarray, 'b c']:
  """Return `c` different numbers of [0, below) a row, every ordered choice equally likely (needs c <= below).

  Draw i picks from what is left, [0, below − i), and steps over the numbers already taken. From the last draw to the
  first: once the draws after i are right among what draw i leaves, those from its number on move up by one.
  """
  left = np.reshape(below, (-1, 1)).astype(np.uint64) - np.arange(words.shape[1], dtype=np.uint64)[None, :]
  # One draw a row and few bits a number, so that the loop goes through little memory, in order.
  numbers = np.ascontiguousarray((words % left).astype(np.min_scalar_type(left.max() - 1)).T)
  for i in range(len(numbers) - 2, -1, -1):
    later = numbers[i + 1 :]
    later += (later >= numbers[i]).view(np.uint8)
  return np.ascontiguousarray(numbers.T, np.int64)


def skipping(rank: Int64[np.ndarray, 'b c'], taken: Int64[np.ndarray, 'b k'], below: int) -> Int64[np.ndarray, 'b c']:
  """Return the rank-th number of [0, below) that is not among the row's `taken` numbers, which are sorted."""
  rows, count = taken.shape
  free = below - count
  # taken[k] − k of the free numbers lie below taken[k]: from that rank on, k + 1 numbers are stepped over.
  border = np.concatenate([np.zeros((rows, 1), int), taken - np.arange(count), np.full((rows, 1), free)], axis=1)
  steps = np.repeat(np.tile(np.arange(count + 1, dtype=np.int32), rows), np.diff(border, axis=1).ravel())
  return rank + steps[rank + free * np.arange(rows)[:, None]]


def weighted(
  words: UInt64[np.ndarray, 'b c'], weights: Float64[np.ndarray, ' c'], count: int
) -> Int64[np.ndarray, 'b k']:
  """Return `count` different columns a row, drawn in proportion to `weights` (Gumbel top-k, Vieira 2014)."""
  scores = np.log(weights)[None, :] - np.log(-np.log(uniforms(words)))
  return np.argsort(-scores, axis=1)[:, :count]


def permuted(positions: Int64[np.ndarray, ' b'], size: int, key: int) -> Int64[np.ndarray, ' b']:
  """Return the images of `positions` under a pseudo-random permutation of [0, size), without building it.

  A Feistel network over two halves of about √size values each, whose product is hardly more than `size`; a value that
  falls outside is walked on until it is inside (Black & Rogaway 2002).
  """
  rows = math.isqrt(size - 1) + 1
  columns = np.uint64(-(-size // rows))
  moduli = (np.uint64(rows), columns)
  keys = words(key, np.arange(_FEISTEL_ROUNDS), 1)[:, 0]
  values = positions.astype(np.uint64)
  outside = np.arange(len(values))
  while len(outside):
    halves: list[np.ndarray] = [values[outside] // columns, values[outside] % columns]
    for i, round_key in enumerate(keys):
      changed = i % 2
      halves[changed] = (halves[changed] + _mix(halves[1 - changed] + round_key) % moduli[changed]) % moduli[changed]
    values[outside] = halves[0] * columns + halves[1]
    outside = outside[values[outside] >= np.uint64(size)]
  return values.astype(np.int64)
