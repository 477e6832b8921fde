"""Order training examples by length buckets, so that few shapes are compiled and little of a batch is padding.

Each bucket is an endless stream of its examples, every one once an epoch, each epoch in another order. A bucket of n
examples gives n / batch_size batches an epoch on average, and the batches of all buckets are shuffled within it. So the
batch is a pure function of its number, and nothing is left out at the end of an epoch.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from tasks import draws
from tasks.pipeline import shuffled


def bounds(length: int, count: int) -> tuple[int, ...]:
  """Return the padded lengths of `count` buckets, from a quarter of `length` up to it in equal ratios.

  Fewer where two would be equal; one bucket has the whole length.
  """
  powers = np.linspace(-1.0, 0.0, count) if count > 1 else np.zeros(1)
  return tuple(sorted({math.ceil(length * 4.0**power) for power in powers}))


def bucket_of(lengths: Int64[np.ndarray, '*b'], limits: tuple[int, ...]) -> Int64[np.ndarray, '*b']:
  """Return the number of the smallest bucket that each length fits; lengths are at most the last of `limits`."""
  return np.searchsorted(np.asarray(limits), lengths)


@dataclass(frozen=True)
class BucketOrder:
  """The endless training order over buckets of `counts` examples, in batches of `batch_size` (of all processes)."""

  counts: tuple[int, ...]
  batch_size: int
  seed: int

  def batches_before(self, epoch: int) -> Int64[np.ndarray, ' k']:
    """Return how many batches each bucket has given before an epoch."""
    return epoch * np.asarray(self.counts, np.int64) // self.batch_size

  def at(self, number: int) -> tuple[int, int]:
    """Return the bucket of a batch, and how many batches of this bucket come before it."""
    epoch = number * self.batch_size // sum(self.counts)  # no later than the epoch of this batch
    while self.batches_before(epoch + 1).sum() <= number:
      epoch += 1
    before = self.batches_before(epoch)
    order, ranks = _epoch(self, epoch)
    place = number - int(before.sum())
    bucket = int(order[place])
    return bucket, int(before[bucket] + ranks[place])

  def members(self, number: int, rows: Int64[np.ndarray, ' b']) -> tuple[int, Int64[np.ndarray, ' b']]:
    """Return the bucket of a batch, and which of its examples stand in the given rows."""
    bucket, place = self.at(number)
    return bucket, shuffled(place * self.batch_size + rows, self.counts[bucket], self.seed)


@functools.lru_cache(maxsize=4)
def _epoch(order: BucketOrder, epoch: int) -> tuple[np.ndarray, np.ndarray]:
  """Return the bucket of each batch of an epoch, and how many of this bucket come before it in the epoch."""
  numbers = order.batches_before(epoch + 1) - order.batches_before(epoch)
  buckets = np.repeat(np.arange(len(numbers)), numbers)
  places = np.arange(len(buckets))
  if len(places):
    buckets = buckets[draws.permuted(places, len(places), draws.key('buckets', order.seed, epoch))]
  ranks = np.empty_like(places)
  for bucket in range(len(numbers)):
    here = buckets == bucket
    ranks[here] = np.arange(here.sum())
  return buckets, ranks
