"""Length buckets: every example as often as every other, a batch by its number alone, bounded shapes."""

import collections

import numpy as np
import pytest

from tasks.buckets import BucketOrder, bounds, bucket_of


def test_bounds_end_at_the_length_and_every_length_fits_the_smallest():
  assert bounds(64, 4) == (16, 26, 41, 64)
  assert bounds(64, 1) == (64,)
  assert bounds(2, 4) == (1, 2)
  limits = np.array(bounds(50, 5))
  lengths = np.arange(1, 51)
  chosen = limits[bucket_of(lengths, tuple(limits))]
  assert (chosen >= lengths).all()
  assert all(limits[limits >= n].min() == bound for n, bound in zip(lengths, chosen, strict=True))


@pytest.mark.parametrize('counts', [(23, 0, 7, 41), (3,), (1, 500), (2, 2)])
@pytest.mark.parametrize('batch_size', [1, 4, 10])
def test_every_example_comes_equally_often(counts, batch_size):
  """Over whole epochs of every bucket: batch_size epochs of all examples are whole batches of each."""
  order = BucketOrder(counts, batch_size, seed=3)
  seen = collections.Counter()
  batches = sum(counts)  # of batch_size epochs
  for number in range(batches):
    bucket, members = order.members(number, np.arange(batch_size))
    seen.update((bucket, int(i)) for i in members)
  expected = {(bucket, i): batch_size for bucket, count in enumerate(counts) for i in range(count)}
  assert seen == expected


def test_places_follow_one_another_in_each_bucket_whatever_is_asked_first():
  order = BucketOrder((30, 11), 4, seed=1)
  forwards = [order.at(number) for number in range(200)]
  assert [BucketOrder((30, 11), 4, seed=1).at(number) for number in reversed(range(200))] == forwards[::-1]
  for bucket in (0, 1):
    places = [place for found, place in forwards if found == bucket]
    assert places == list(range(len(places)))
  assert [BucketOrder((30, 11), 4, seed=2).at(number) for number in range(200)] != forwards
