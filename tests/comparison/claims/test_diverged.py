"""Judges of trained models where a trial diverged, or where one side was measured in part."""

import pytest

from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.articles.transformer_vs_rnn.trained_grids import examples_needed
from comparison.claims import pairs
from tests.comparison.claims.invented import index, reach


def with_gru(rows, selection_of_lstm):
  """Return the rows with a GRU that is as good as the LSTM, and scores of validation."""
  scores = {'lstm': selection_of_lstm, 'gru': -2.0, 'transformer': -1.0}
  rows = rows + [{**row, 'architecture': 'gru'} for row in rows if row['architecture'] == 'lstm']
  return [{**row, 'selection': scores[row['architecture']]} for row in rows]


def test_a_model_that_diverged_is_not_the_best_on_validation():
  rows = [{'architecture': 'lstm', 'selection': None}, {'architecture': 'gru', 'selection': -1.5}]
  assert pairs.best_on_validation(rows, ('lstm', 'gru')) == 'gru'
  assert pairs.best_on_validation(rows[:1], ('lstm', 'gru')) == 'lstm'  # the only one


@pytest.mark.parametrize(('number', 'rows'), [(9, reach(-9.0, -0.2, 1.0, 0.999)), (35, index(0.01, 0.2))])
def test_the_rival_is_the_best_that_did_not_diverge(number, rows):
  accuracies = lambda selection: CLAIMS[number].judge(with_gru(rows, selection)).points[2 if number == 9 else 0 :]
  assert any(point.label.startswith('gru') for point in accuracies(None))
  assert not any(point.label.startswith('lstm') for point in accuracies(None))
  assert any(point.label.startswith('lstm') for point in accuracies(-1.9))


def test_a_side_that_was_not_measured_at_the_largest_lag_is_missing():
  rows = [r for r in reach(-9.0, -0.2, 1.0, 0.999) if (r['architecture'], r.get('lag')) != ('transformer', 200)]
  verdict = CLAIMS[9].judge(rows)
  assert verdict.status == 'undecided'
  assert verdict.number is None
  assert 'missing for one of the sides' in verdict.reason


def test_of_equal_losses_the_fewest_examples_count():
  """One side reaches its lowest loss with 300 examples and does not improve: it needs no 3,000 for it."""
  early, late = {30: 3.0, 300: 2.0, 3000: 2.1}, {30: 3.0, 300: 2.5, 3000: 2.0}
  assert examples_needed(early, late) == pytest.approx(10**-0.5)
  assert examples_needed(late, early) == pytest.approx(10**0.5)
