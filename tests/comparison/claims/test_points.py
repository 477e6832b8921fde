"""Regimes become one verdict: which of their numbers is shown."""

import pytest

from comparison.claims.points import above, combine
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
