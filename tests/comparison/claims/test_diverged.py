"""Judges of trained models where a trial diverged, or where one side was measured in part."""

import pytest

from comparison.articles.transformer_vs_rnn import CLAIMS, steady_training
from comparison.articles.transformer_vs_rnn.trained_grids import examples_needed
from comparison.claims import pairs
from tests.comparison.claims.invented import index, lost_without_clipping, reach, rows
from tests.independent.verdicts import trials


def with_gru(records, selection_of_lstm):
  """Return the rows with a GRU that is as good as the LSTM, and scores of validation."""
  scores = {'lstm': selection_of_lstm, 'gru': -2.0, 'transformer': -1.0}
  records = records + [{**row, 'architecture': 'gru'} for row in records if row['architecture'] == 'lstm']
  return [{**row, 'selection': scores[row['architecture']]} for row in records]


def test_a_model_that_diverged_is_not_the_best_on_validation():
  found = [{'architecture': 'lstm', 'selection': None}, {'architecture': 'gru', 'selection': -1.5}]
  assert pairs.best_on_validation(found, ('lstm', 'gru')) == 'gru'
  assert pairs.best_on_validation(found[:1], ('lstm', 'gru')) == 'lstm'  # the only one


@pytest.mark.parametrize(
  ('number', 'rule', 'records'), [(9, 3, reach(-9.0, -0.2, 1.0, 0.999)), (35, 2, index(0.01, 0.2))]
)
def test_the_rival_is_the_best_that_did_not_diverge(number, rule, records):
  judge = CLAIMS[number].rules[rule - 1].judge
  accuracies = lambda selection: judge(with_gru(records, selection)).points[2 if number == 9 else 0 :]
  assert any(point.label.startswith('gru') for point in accuracies(None))
  assert not any(point.label.startswith('lstm') for point in accuracies(None))
  assert any(point.label.startswith('lstm') for point in accuracies(-1.9))


def test_a_side_that_was_not_measured_at_the_largest_lag_is_missing():
  partial = [r for r in reach(-9.0, -0.2, 1.0, 0.999) if (r['architecture'], r.get('lag')) != ('transformer', 200)]
  verdict = CLAIMS[9].judge(partial)
  assert verdict.status == 'undecided'
  assert verdict.number is None
  assert 'missing for one of the sides' in verdict.reason


def test_good_rates_end_where_the_loss_leaves_the_band_or_trials_diverge():
  """Of 4 nats from the best loss to the unigram, 0.2 are good: a fifth of the way to a loss that is 1 nat higher."""
  model = {'architecture': 'lstm', 'block': 'plain', 'warmup': 0.1, 'seed': 0}
  losses = {1e-4: 3.0, 1e-3: 2.0, 1e-2: 1.0, 1e-1: 1.1}
  records = [
    *rows('learning_rates', 'loss', learning_rate=list(losses), value=lambda **r: losses[r['learning_rate']], **model),
    *rows('learning_rates', 'diverged', learning_rate=[*losses, 1.0], value=0, **model),
  ]  # fmt: skip
  (band,) = steady_training._good_rates(records, 'lstm', 'plain', 0.1, 5.0).values()
  assert band == pytest.approx((1e-2 * 10**-0.2, 1e-1, False, False))
  lower = trials.good_rates(records, 5.0, architecture='lstm', block='plain')
  assert lower[0] == pytest.approx(band[:2])
  tried = [row for row in records if row['learning_rate'] < 1]
  assert steady_training._good_rates(tried, 'lstm', 'plain', 0.1, 5.0)[0].is_highest
  sides = [{**row, 'architecture': 'transformer', 'block': 'residual', 'seed': s} for s in (0, 1) for row in tried]
  sides += [{**row, 'seed': s} for s in (0, 1) for row in tried]
  notes = CLAIMS[16].judge(sides + rows('learning_rates', 'baseline', baseline='unigram', value=5.0)).notes
  assert 'LSTM: the largest learning rate tried is a good one for 2 of 2 seeds' in notes


def test_a_model_whose_every_rate_diverged_without_clipping_has_the_loss_of_the_unigram():
  verdict = CLAIMS[15].judge(lost_without_clipping('lstm'))
  assert verdict.number == pytest.approx(1.0, abs=0.02)  # 3 nats instead of 2
  assert 'lstm 100 %' in verdict.text
  unknown = [row for row in lost_without_clipping('lstm') if row['metric'] != 'baseline']
  assert CLAIMS[15].judge(unknown).status == 'undecided'


def test_of_equal_losses_the_fewest_examples_count():
  """One side reaches its lowest loss with 300 examples and does not improve: it needs no 3,000 for it."""
  early, late = {30: 3.0, 300: 2.0, 3000: 2.1}, {30: 3.0, 300: 2.5, 3000: 2.0}
  assert examples_needed(early, late) == pytest.approx(10**-0.5)
  assert examples_needed(late, early) == pytest.approx(10**0.5)
