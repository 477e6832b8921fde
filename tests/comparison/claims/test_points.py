"""Regimes become one verdict: which of their numbers is shown, and how sizes weigh."""

import dataclasses

import pytest

from comparison.claims.points import above, below, combine
from comparison.statistics import Interval
from tests.independent.verdicts import outcome


def regimes(*values):
  """Ratios with narrow intervals, in the order given."""
  return [above(f'T = {i}', Interval(v, v - 0.01, v + 0.01), 1.0, unit='×') for i, v in enumerate(values)]


@pytest.mark.parametrize(
  ('values', 'status', 'number'),
  [
    ((3.0, 1.5, 2.0), 'supported', 2.0),  # neither the weakest nor the first
    ((0.9, 0.2, 0.5), 'contradicted', 0.5),  # not the most extreme
    ((4.0, 1.5, 2.0, 3.0), 'supported', 2.0),  # the lower one of two
    ((0.2, 0.5, 0.9, 2.0), 'mixed', 0.5),  # of those that contradict
    ((1.0, 0.995, 1.005, 1.5), 'undecided', 1.0),
  ],
)
def test_the_number_is_that_of_the_middle_regime_of_the_deciding_side(values, status, number):
  points = regimes(*values)
  verdict = combine(points, '')
  assert (verdict.status, verdict.number) == (status, number)
  assert verdict.about == f'T = {values.index(number)}'
  again = outcome.each([outcome.Regime(p.label, p.interval, p.supports, p.contradicts) for p in points])
  assert (again.status, again.number) == (status, (number, number - 0.01, number + 0.01))


def test_numbers_of_another_kind_are_not_sorted_among_them():
  """A gap in nats and its slope, say."""
  gap, slope = regimes(1.2, 1.6, 1.4), [below('slope', Interval.exact(0.5), 0.6)]
  assert combine(gap + slope, '').number == 1.4
  assert combine(slope + gap, '').number == 0.5


def test_sizes_weigh_the_same_however_many_lengths_each_has():
  points = regimes(0.5, 0.5, 0.5, 0.5, 2.0, 2.0, 2.0)
  sizes = [dataclasses.replace(p, group='small' if i < 4 else 'large') for i, p in enumerate(points)]
  assert combine(points, '', kind='often').status == 'contradicted'  # without sizes
  assert combine(sizes, '', kind='counted').status == 'contradicted'
  assert combine(sizes, '', kind='often').status == 'mixed'
  third = [dataclasses.replace(regimes(2.0)[0], group='larger')]
  assert combine(sizes + third, '', kind='often').status == 'supported'
  assert combine(sizes[:4] + regimes(1.0), '', kind='often').status == 'undecided'
