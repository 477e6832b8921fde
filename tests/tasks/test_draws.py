"""Random numbers by example number: uniform, independent of their company, permutations and choices as they say."""

import numpy as np
import pytest

from tasks import draws
from tasks.recall import Recall

ROWS = np.arange(20_000)


def test_words_are_splitmix64():
  """Reference output of the published generator (state 0: e220a839…, 6e789e6a…, 06c45d18…)."""
  mixed = draws._mix(draws._GOLDEN * np.arange(1, 4, dtype=np.uint64))
  assert [hex(word) for word in mixed] == ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4', '0x6c45d188009454f']


def test_a_row_does_not_depend_on_its_company():
  together = draws.words(5, ROWS[:100], 3)
  np.testing.assert_array_equal(together[[7, 3]], draws.words(5, np.array([7, 3]), 3))
  np.testing.assert_array_equal(together[:, :2], draws.words(5, ROWS[:100], 2))
  assert len(np.unique(together)) == together.size


def test_keys_tell_their_parts_apart():
  keys = [
    draws.key(*parts) for parts in ((), (0,), (1,), (-1,), (0, 0), ('a',), ('a', 'b'), ('ab',), ('a', 1), (1, 'a'))
  ]
  assert len(set(keys)) == len(keys)
  assert draws.key('train', 3) == draws.key('train', 3)


def chi_square_is_plausible(counts: np.ndarray) -> bool:
  """Within five deviations of the mean of the chi-square distribution."""
  expected, freedom = counts.sum() / counts.size, counts.size - 1
  return abs(((counts - expected) ** 2 / expected).sum() - freedom) < 5 * np.sqrt(2 * freedom)


def test_integers_are_uniform_and_independent():
  integers = draws.integers(draws.words(1, ROWS, 2), 7)
  assert chi_square_is_plausible(np.bincount(integers[:, 0] * 7 + integers[:, 1], minlength=49))
  assert chi_square_is_plausible(np.bincount(integers[:-1, 0] * 7 + integers[1:, 0], minlength=49))


def test_uniforms_have_the_moments_of_the_uniform_distribution():
  uniforms = draws.uniforms(draws.words(2, ROWS, 5))
  assert 0 < uniforms.min() < 1e-4
  assert 1 - 1e-4 < uniforms.max() < 1
  assert abs(uniforms.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / uniforms.size)
  assert abs(uniforms.var() - 1 / 12) < 1e-3


def test_distinct_draws_every_ordered_choice_equally_often():
  chosen = draws.distinct(draws.words(3, ROWS, 3), 5)
  assert all(len(set(row)) == 3 for row in chosen.tolist())
  codes = chosen @ np.array([25, 5, 1])
  counts = np.bincount(codes, minlength=125)
  assert np.count_nonzero(counts) == 5 * 4 * 3
  assert chi_square_is_plausible(counts[counts > 0])
  assert sorted(draws.distinct(draws.words(4, ROWS[:1], 6), 6)[0]) == list(range(6))


def distinct_by_definition(words: np.ndarray, below: int) -> np.ndarray:
  """Each draw in turn steps over the numbers already taken, from the smallest on."""
  chosen = np.zeros(words.shape, np.int64)
  for i in range(words.shape[1]):
    rank = (words[:, i] % np.uint64(below - i)).astype(np.int64)
    chosen[:, i] = skipping_by_definition(rank[:, None], np.sort(chosen[:, :i], axis=1))[:, 0]
  return chosen


def skipping_by_definition(rank: np.ndarray, taken: np.ndarray) -> np.ndarray:
  rank = rank.copy()
  for j in range(taken.shape[1]):
    rank += rank >= taken[:, j : j + 1]
  return rank


@pytest.mark.parametrize(('count', 'below'), [(1, 1), (1, 9), (2, 2), (4, 256), (7, 7), (32, 33), (64, 4096)])
def test_distinct_draws_and_skipping_are_those_of_the_definition(count, below):
  words = draws.words(8, ROWS[:50], count)
  chosen = draws.distinct(words, below)
  assert chosen.dtype == np.int64
  np.testing.assert_array_equal(chosen, distinct_by_definition(words, below))
  mixed = draws.distinct(words, np.where(np.arange(50) % 2, below, below + 5))
  np.testing.assert_array_equal(mixed[1::2], chosen[1::2])
  np.testing.assert_array_equal(mixed[::2], distinct_by_definition(words[::2], below + 5))
  if below > count:
    ranks, taken = draws.integers(draws.words(9, ROWS[:50], 40), below - count), np.sort(chosen, axis=1)
    np.testing.assert_array_equal(draws.skipping(ranks, taken, below), skipping_by_definition(ranks, taken))


def test_examples_of_recall_are_drawn_stream_by_stream():
  """As if each stream were drawn alone, by definition: the examples of experiments stay what they were."""
  task, rows = Recall(pairs=5, queries=3, length=40, vocabulary=64), ROWS[:50] * 7
  words = lambda name, columns: draws.words(draws.key(task.key('train', 3), name), rows, columns)
  batch = task.arrays('train', rows, seed=3)
  keys, values, chosen = (
    distinct_by_definition(words(name, count), below)
    for name, count, below in (('keys', 5, 32), ('values', 5, 32), ('chosen', 3, 5))
  )
  np.testing.assert_array_equal(batch.inputs[:, 0:10:2], keys)
  np.testing.assert_array_equal(batch.inputs[:, 1:10:2], 32 + values)
  fillers = skipping_by_definition((words('fillers', 40) % np.uint64(59)).astype(np.int64), np.sort(keys, axis=1))
  asked = batch.weights > 0
  np.testing.assert_array_equal(batch.inputs[:, 10:][~asked[:, 10:]], fillers[:, 10:][~asked[:, 10:]])
  for row in range(50):
    answers = sorted(batch.targets[row][asked[row]].tolist())
    assert answers == sorted((32 + values[row, chosen[row]]).tolist())


def test_skipping_lists_what_is_not_taken():
  taken = np.array([[0, 3, 4]])
  assert draws.skipping(np.arange(4)[None, :], taken, 7).tolist() == [[1, 2, 5, 6]]


def test_weighted_draws_in_proportion_to_the_weights():
  weights = np.array([1.0, 2.0, 5.0])
  chosen = draws.weighted(draws.words(6, ROWS, 3), weights, 2)
  assert (chosen[:, 0] != chosen[:, 1]).all()
  first = np.bincount(chosen[:, 0], minlength=3) / len(ROWS)
  np.testing.assert_allclose(first, weights / 8, atol=0.02)
  # Given that the heaviest came first, the second is drawn from the other two.
  second = chosen[chosen[:, 0] == 2, 1]
  np.testing.assert_allclose((second == 1).mean(), 2 / 3, atol=0.02)


def test_permuted_is_a_permutation_that_the_key_chooses():
  for size in (*range(1, 30), 1000, 4097):
    images = draws.permuted(np.arange(size), size, key=1)
    np.testing.assert_array_equal(np.sort(images), np.arange(size))
  np.testing.assert_array_equal(draws.permuted(np.array([9, 2]), 4097, 1), images[[9, 2]])
  other = draws.permuted(np.arange(4097), 4097, key=2)
  assert np.mean(images == other) < 0.01
  for order in (images, other):
    assert abs(np.corrcoef(order, np.arange(4097))[0, 1]) < 0.06
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.06
