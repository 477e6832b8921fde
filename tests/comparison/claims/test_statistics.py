"""Intervals against closed forms and against their own coverage."""

import numpy as np
import pytest

from comparison.claims import statistics


def test_student_interval_against_the_textbook():
  # mean 3, standard deviation 1.5811, n = 5: 3 ± 2.776 · 1.5811 / √5
  interval = statistics.mean([1, 2, 3, 4, 5])
  assert interval == pytest.approx((3, 3 - 1.9631, 3 + 1.9631), abs=1e-3)


def test_one_seed_says_nothing_about_the_spread():
  assert statistics.mean([2.0]) == (2.0, -np.inf, np.inf)


def test_bootstrap_of_the_median_covers_the_truth_about_as_often_as_it_says():
  draws = np.random.default_rng(0).lognormal(0.0, 0.5, (200, 25))
  intervals = [statistics.bootstrap(row, resamples=200, seed=i) for i, row in enumerate(draws)]
  covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
  assert 0.88 <= covered <= 1.0


def test_pairwise_ratios_cancel_what_hits_both_sides():
  load = np.array([1.0, 5.0, 1.2, 9.0, 2.0])
  assert statistics.ratio(3 * load, load) == pytest.approx((3, 3, 3))
  assert statistics.ratio([1.0, 2.0, 3.0], [1.0]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize('power', [0.0, 1.0, 2.0])
def test_log_slope_is_the_exponent(power):
  samples = {x: [x**power * noise for noise in (0.99, 1.0, 1.01)] for x in (64, 256, 1024)}
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
