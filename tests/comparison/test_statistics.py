"""Intervals against closed forms and against their own coverage."""

import itertools

import numpy as np
import pytest
from scipy import stats

from comparison import statistics


def test_student_interval_against_the_textbook():
  # mean 3, standard deviation 1.5811, n = 5: 3 ± 2.776 · 1.5811 / √5
  interval = statistics.mean([1, 2, 3, 4, 5])
  assert interval == pytest.approx((3, 3 - 1.9631, 3 + 1.9631), abs=1e-3)


def test_one_seed_says_nothing_about_the_spread():
  assert statistics.mean([2.0]) == (2.0, -np.inf, np.inf)


DRAWS = {  # → a draw of [n, repeats], and its median
  'normal': (lambda rng, shape: rng.normal(1.0, 0.1, shape), 1.0),
  'lognormal': (lambda rng, shape: rng.lognormal(0.0, 0.5, shape), 1.0),
  'exponential': (lambda rng, shape: rng.exponential(1.0, shape), np.log(2)),
  'heavy tails': (lambda rng, shape: rng.standard_t(3, shape), 0.0),
}


@pytest.mark.parametrize('name', DRAWS)
@pytest.mark.parametrize('repeats', range(5, 22))
def test_the_interval_of_a_median_holds_it_as_often_as_it_says(name, repeats):
  draw, truth = DRAWS[name]
  count = 1500
  rows = draw(np.random.default_rng(repeats), (count, repeats))
  held = np.mean([low <= truth <= high for _, low, high in map(statistics.median, rows)])
  assert held >= 0.95 - 2.5 * np.sqrt(0.95 * 0.05 / count)  # of the simulation itself
  assert held >= 0.94 - 0.005


def test_intervals_of_few_and_of_equal_numbers():
  assert statistics.median([2.0]) == (2, 2, 2)
  assert statistics.median([1.0, 2.0, 3.0, 4.0]) == (2.5, -np.inf, np.inf)
  assert statistics.median([3.0] * 5) == (3, 3, 3)
  assert statistics.median([5.0, 1.0, 2.0, 3.0, 4.0]) == pytest.approx((3, 0.8, 5.2))
  assert statistics.median([6.0, 5.0, 1.0, 2.0, 3.0, 4.0]) == (3.5, 1, 6)
  assert statistics.median(range(9)) == (4, 1, 7)  # the second of nine from each end: 96.1 %
  assert statistics.median([1.0, np.inf, np.inf, np.inf, 2.0]) == (np.inf, 1, np.inf)


def test_p_values_are_those_of_scipys_t_test():
  ratios = [1.1, 1.3, 0.95, 1.2, 1.25]
  expected = stats.ttest_1samp(np.log(ratios), np.log(1.05), alternative='greater').pvalue
  assert statistics.p_above(ratios, 1.05) == pytest.approx(expected)
  assert [statistics.p_above([2.0], x) for x in (1.0, 2.0, 3.0)] == [0, 1, 1]


def test_holm_rejects_step_by_step():
  assert statistics.holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]  # Holm's own example
  assert statistics.holm([], 0.05) == []
  rng = np.random.default_rng(0)  # of 12 ratios that are all 1, one is rejected in at most 1 of 20 families
  families = [statistics.holm([statistics.p_above(r, 1.0) for r in rng.lognormal(0, 0.1, (12, 8))]) for _ in range(400)]
  assert np.mean([any(family) for family in families]) <= 0.05


def test_share_of_a_quadratic_cost():
  cost = {x: [3 * x + 0.01 * x**2] * 5 for x in (100, 200, 400, 800)}
  assert statistics.quadratic_share(cost).value == pytest.approx(8 / 11)
  assert statistics.quadratic_share({x: [2.0 * x] for x in (100, 200, 400)}).value == pytest.approx(0)
  assert statistics.quadratic_share({x: [2.0 * x**2] for x in (100, 200, 400)}).value == pytest.approx(1)


def test_pairwise_ratios_cancel_what_hits_both_sides():
  load = np.array([1.0, 5.0, 1.2, 9.0, 2.0])
  assert statistics.ratio(3 * load, load) == pytest.approx((3, 3, 3))
  assert statistics.ratio([1.0, 2.0, 3.0], [1.0]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize('power', [0.0, 1.0, 2.0])
def test_log_slope_is_the_exponent(power):
  samples = {x: [x**power * noise for noise in (0.99, 1.0, 1.01, 0.995, 1.005)] for x in (64, 256, 1024)}
  slope = statistics.log_slope(samples)
  assert slope.value == pytest.approx(power, abs=1e-6)
  assert slope.low <= power <= slope.high
  assert slope.high - slope.low < 0.05


def test_growth_is_relative_to_the_mean():
  # 1 + x/100 over x = 0 … 100 has mean 1.5 and grows by 1
  samples = {x: [1 + x / 100] for x in range(0, 101, 10)}
  assert statistics.growth(samples).value == pytest.approx(1 / 1.5)


@pytest.mark.parametrize(
  ('ratios', 'expected'),
  [
    ({100: 0.5, 400: 2.0}, 200.0),
    ({100: 1.5, 400: 2.0}, 0.0),
    ({100: 0.5, 400: 0.9}, np.inf),
    ({100: 0.5, 200: 2.0, 400: 0.5, 1600: 2.0}, 800.0),
  ],
)
def test_crossing_is_where_the_ratio_stays_above_one(ratios, expected):
  assert statistics.crossing({x: [r] for x, r in ratios.items()}).value == pytest.approx(expected)


@pytest.mark.parametrize('higher', [False, True])
@pytest.mark.parametrize('count', [1, 2, 5, 7])
def test_the_best_of_k_trials_is_the_mean_over_all_subsets(count, higher):
  rng = np.random.default_rng(count)
  scores, others = rng.normal(size=count), rng.normal(size=count)
  best = np.argmax if higher else np.argmin
  for k in range(1, count + 1):
    subsets = [list(subset) for subset in itertools.combinations(range(count), k)]
    picked = [subset[best(scores[subset])] for subset in subsets]
    found = statistics.expected_best(scores, k, higher=higher)
    assert found == pytest.approx(np.mean(scores[picked]))
    found = statistics.expected_best(scores, k, higher=higher, reported=others)
    assert found == pytest.approx(np.mean(others[picked]))


def test_trials_that_diverged_or_tie():
  scores = [np.inf, 1.0, np.inf, 3.0]
  assert statistics.expected_best(scores, 2) == np.inf  # two of four may both have diverged
  assert statistics.expected_best(scores, 3) == pytest.approx((1 + 1 + 1 + 3) / 4)
  # Of two trials with the lowest score, either is chosen in half of the cases, in whichever order they stand.
  for reported in ([10.0, 20.0, 0.0], [20.0, 10.0, 0.0]):
    assert statistics.expected_best([1.0, 1.0, 2.0], 3, reported=reported) == pytest.approx(15)


def test_the_expected_least_of_some_trials_is_that_of_all_subsets():
  losses = np.random.default_rng(0).normal(size=(3, 7))
  for k in (1, 4, 7):
    assert statistics.expected_least(losses, k) == pytest.approx([statistics.expected_best(row, k) for row in losses])


def test_the_bootstrap_of_random_trials_holds_what_it_says():
  """Two models after 4 of 24 paired trials: at least 92 % of the intervals; the percentiles hold fewer."""
  random = np.random.default_rng(0)

  def trials(count):
    rate, sgd = random.uniform(-1.5, 1.5, count), random.random(count) < 0.5
    first = 1.6 + 0.25 * (rate - 0.6) ** 2 + 0.5 * sgd + 0.1 * random.random(count)
    return first, 1.62 + 0.3 * (rate - 0.5) ** 2 + 0.4 * sgd + 0.1 * random.random(count)

  many = [side.reshape(-1, 4).min(axis=1).mean() for side in trials(800_000)]
  held = 0
  for _ in range(400):
    first, second = trials(24)
    gap = lambda places, a=first, b=second: (
      statistics.expected_least(a[places], 4) - statistics.expected_least(b[places], 4)
    )
    low, high = statistics.bca(24, gap, 1000)[1:]
    held += low <= many[0] - many[1] <= high
  assert held / 400 >= 0.91
  assert statistics.bca(24, lambda places: np.full(places.shape[:-1], 2.0)) == (2.0, 2.0, 2.0)


def test_the_jackknife_of_a_mean_is_its_standard_error():
  """The formula of the textbook, for the mean; for a ratio of means, the spread over fresh draws."""
  random = np.random.default_rng(0)
  table = random.normal(size=(20, 1))
  error = statistics.jackknife(table, lambda means: float(means[0]))
  assert error == pytest.approx(float(table.std(ddof=1) / np.sqrt(20)))
  draw = lambda: random.normal(size=(20, 1)) * [[0.3, 0.2]] + random.normal(size=(20, 2)) * 0.05 + [[3.0, 2.0]]
  ratio = lambda means: float(np.log(means[0] / means[1]))
  drawn = [draw() for _ in range(2000)]
  spread = np.std([ratio(one.mean(axis=0)) for one in drawn])
  assert np.mean([statistics.jackknife(one, ratio) for one in drawn]) == pytest.approx(spread, rel=0.05)
  assert statistics.jackknife(table[:1], lambda means: float(means[0])) == 0.0


def test_noise_widens_intervals_and_p_values():
  values = [1.0, 1.1, 1.3]
  alone, both = statistics.mean(values), statistics.mean(values, 0.2)
  assert both.value == alone.value
  assert (both.high - both.value) ** 2 == pytest.approx((alone.high - alone.value) ** 2 + (1.96 * 0.2) ** 2)
  assert statistics.p_above(values, 1.0) < statistics.p_above(values, 1.0, 0.1) < 0.5
  assert statistics.p_above([2.0, 2.0], 1.0) == 0.0 < statistics.p_above([2.0, 2.0], 1.0, 0.1)
