"""Statistics over tasks and seeds against SciPy, brute force and their own coverage."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from comparison import aggregates


def drawn(rng, tasks, seeds, spread=0.1, shift=0.0):
  return {f'task {i}': shift + i + spread * rng.normal(size=seeds) for i in range(tasks)}


@pytest.mark.parametrize(('tasks', 'seeds'), [(1, 2), (3, 3), (4, 5), (2, 7)])
def test_the_interquartile_mean_is_the_trimmed_mean_of_all_scores(tasks, seeds):
  scores = drawn(np.random.default_rng(tasks), tasks, seeds, spread=1.0)
  found = aggregates.interquartile_mean(scores)
  pooled = np.sort(np.concatenate(list(scores.values())))
  assert found.value == pytest.approx(stats.trim_mean(pooled, 0.25))
  quarter = len(pooled) // 4
  assert found.value == pytest.approx(pooled[quarter : len(pooled) - quarter].mean())
  assert found.low < found.value < found.high


@pytest.mark.parametrize('seeds', [1, 2, 4])
def test_the_probability_of_improvement_counts_pairs(seeds):
  rng = np.random.default_rng(seeds)
  first = {task: rng.integers(0, 4, seeds).astype(float) for task in 'abc'}  # with ties
  second = {task: rng.integers(0, 4, seeds + 1).astype(float) for task in 'cba'}
  shares = []
  for task in first:
    points = [1.0 if x > y else 0.5 if x == y else 0.0 for x, y in itertools.product(first[task], second[task])]
    shares.append(sum(points) / len(points))
    u = stats.mannwhitneyu(first[task], second[task]).statistic
    assert shares[-1] == pytest.approx(u / (seeds * (seeds + 1)))
  found = aggregates.probability_of_improvement(first, second)
  back = aggregates.probability_of_improvement(second, first)
  assert found.value == pytest.approx(np.mean(shares)) == pytest.approx(1 - back.value)


def test_the_interval_does_not_depend_on_the_order_of_the_models():
  rng = np.random.default_rng(3)
  few, many = drawn(rng, 6, 3), drawn(rng, 6, 9, shift=0.05)
  there, back = aggregates.probability_of_improvement(few, many), aggregates.probability_of_improvement(many, few)
  assert back == pytest.approx((1 - there.value, 1 - there.high, 1 - there.low), abs=0.03)  # of 2,000 draws
  assert 0 < there.low < there.high < 1


def test_one_seed_has_no_interval_and_equal_seeds_one_of_width_zero():
  one, equal = {'a': [0.3], 'b': [0.5, 0.6]}, {'a': [0.3, 0.3], 'b': [0.5, 0.5]}
  assert aggregates.interquartile_mean(one)[1:] == (-math.inf, math.inf)
  assert aggregates.probability_of_improvement(one, equal)[1:] == (-math.inf, math.inf)
  assert aggregates.interquartile_mean(equal) == pytest.approx((0.4, 0.4, 0.4))
  assert aggregates.probability_of_improvement(equal, {'a': [0, 0], 'b': [0, 0]}) == (1, 1, 1)


def test_the_interval_is_that_of_resampled_seeds_widened():
  """The exact bootstrap distribution: all ways to draw three seeds of each of two tasks."""
  scores = {'a': [0.0, 1.0, 2.5], 'b': [4.0, 4.5, 6.0]}
  ways = [np.array(way) for way in itertools.product(range(3), repeat=3)]
  a, b = map(np.array, scores.values())
  means = [stats.trim_mean([*a[i], *b[j]], 0.25) for i, j in itertools.product(ways, ways)]
  value = stats.trim_mean([x for values in scores.values() for x in values], 0.25)
  widened = math.sqrt(3 / 2) * stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975)
  low, high = (value + (end - value) * widened for end in np.quantile(means, (0.025, 0.975)))
  found = aggregates.interquartile_mean(scores)
  assert found == pytest.approx((value, low, high), abs=0.15)  # of 2,000 draws


@pytest.mark.parametrize(('tasks', 'seeds'), [(2, 3), (4, 5), (8, 3)])
def test_the_intervals_hold_the_truth_nearly_as_often_as_they_say(tasks, seeds):
  rng, held, won = np.random.default_rng(1), [], []
  many = np.sort(np.concatenate(list(drawn(rng, tasks, 100_000).values())))
  truth = stats.trim_mean(many, 0.25)
  for _ in range(150):
    scores, better = drawn(rng, tasks, seeds), drawn(rng, tasks, seeds, shift=0.05)
    _, low, high = aggregates.interquartile_mean(scores)
    held.append(low <= truth <= high)
    _, low, high = aggregates.probability_of_improvement(better, scores)
    won.append(low <= stats.norm.cdf(0.05 / 0.1 / math.sqrt(2)) <= high)
  error = 2.5 * math.sqrt(0.95 * 0.05 / 150)  # of the simulation itself
  assert np.mean(held) >= 0.93 - error
  assert np.mean(won) >= 0.93 - error
