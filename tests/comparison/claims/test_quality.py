"""Scores with their controls: the second budget, the edge of the grid, the best of the seeds, the baselines."""

import dataclasses

import pytest

from comparison.articles.transformer_vs_rnn import CLAIMS, winners
from comparison.claims import quality
from tests.comparison.claims.invented import index, recall, rows

# Judged by its second rule, which is about one size, so that the notes are those of one verdict.
CLAIM = dataclasses.replace(CLAIMS[35], judge=CLAIMS[35].rules[1].judge)
QUALITY = CLAIM.quality


def records(flops=1.3, rate=6e-3, **again):
  """The LSTM ahead by 0.1 to 0.2 nats; the Transformer with `flops` × its FLOPs, trained `again` if there is a loss."""
  found = index(-0.1, -0.2)
  for row in found:
    mine = row['architecture'] == 'transformer'
    row |= {'flops_per_token': 1e5 * (flops if mine else 1.0), 'learning_rate': rate, 'updates': 100, 'length': 256}
  found += rows(
    'baselines', 'loss', of='token_index', baseline=['unigram', 'bigram'], index=[1, 5, 200],
    value=lambda baseline, **_: 3.0 if baseline == 'unigram' else 2.5,
  )  # fmt: skip
  (trials,) = rows('baselines', 'trials', of='token_index', value=6, tokens=2048)
  found.append({**trials, 'rates': [2e-3, 6e-3]})
  if again:
    found += rows(
      'token_index', 'loss_at_equal_flops', architecture='transformer', block='residual', size=1e5, index=[1, 5, 200],
      seed=[0, 1, 2], updates=77, flops_per_token=1e5 * flops, length=256, learning_rate=2e-3, **again,
    )  # fmt: skip
  return found


def notes(found):
  return quality.notes(CLAIM, found)


def test_models_have_their_mean_best_tuning_and_flops():
  lstm, transformer = quality.models(QUALITY, records())
  assert (lstm.name, transformer.name) == ('lstm, plain', 'transformer, residual')  # the lower loss first
  assert lstm.scores[200].mean.value == pytest.approx(1.8 + 1e-3 / 3)
  assert lstm.scores[200].best == pytest.approx(1.8)
  assert lstm.scores[200].seeds == 3
  assert lstm.flops == pytest.approx(3 * 1e5 * 100 * 2048)
  assert (lstm.share, transformer.share) == (1.0, pytest.approx(1.3))
  assert transformer.edge == 'highest'


def test_without_a_second_training_there_is_no_second_budget_and_no_model_of_another_stands_in():
  assert notes(records())[0] == (
    'At equal training FLOPs: not measured for transformer, residual (1.30 × the training FLOPs of the LSTM)'
  )
  others, _ = quality.at_equal_flops(QUALITY, records())
  assert [model.name for model in quality.models(QUALITY, others)] == ['lstm, plain']
  assert notes(records(flops=1.04))[0].startswith('Training FLOPs are equal as well')


def test_the_second_budget_is_judged_on_the_models_that_were_trained_again():
  found = records(value=lambda index, seed, **_: {1: 2.0, 5: 1.5, 200: 1.0}[index] + 1e-3 * (seed % 2))
  assert CLAIM.judge(found).status == 'contradicted'  # the rows of the second budget change nothing in the first
  assert CLAIM.judge(found).number == pytest.approx(-0.2)
  assert notes(found)[0].startswith('At equal training FLOPs: supported, lstm − Transformer loss around token 200: 0.8')
  others, missing = quality.at_equal_flops(QUALITY, found)
  assert missing == []
  best = quality.models(QUALITY, others)[0]
  assert (best.name, best.updates, best.share) == ('transformer, residual', 77, pytest.approx(1.0, abs=0.01))


def test_the_edge_of_the_grid_is_told():
  assert 'Edge of the grid of learning rates (0.002, 0.006): lstm, plain; transformer, residual chose the highest' in (
    notes(records())
  )
  inside = [{**r, 'rates': [2e-3, 6e-3, 1e-2]} if r['metric'] == 'trials' else r for r in records()]
  assert not [note for note in notes(inside) if 'learning rate' in note]
  only = [{**r, 'rates': [6e-3]} if r['metric'] == 'trials' else r for r in records()]
  assert [note for note in notes(only) if 'nothing was tuned' in note]


def test_without_records_of_baselines_scores_are_scores_all_the_same():
  bare = [r for r in records() if r['experiment'] != 'baselines']
  lstm, transformer = quality.models(QUALITY, bare)
  assert (lstm.rates, lstm.flops, lstm.edge) == ((), None, '')
  assert transformer.share == pytest.approx(1.3)
  assert quality.baselines(bare, 'token_index', 'loss', 'index') == {}


def test_baselines_with_and_without_a_coordinate():
  known = quality.baselines(records(), 'token_index', 'loss', 'index')
  assert known['bigram'] == {1: 2.5, 5: 2.5, 200: 2.5}
  assert quality.at(known['bigram'], 7) is None
  assert quality.at({None: 0.5}, 7) == 0.5


@pytest.mark.parametrize('number', [n for n, claim in CLAIMS.items() if claim.quality])
def test_claims_about_quality_bring_their_baselines(number):
  assert CLAIMS[number].beside == ('baselines',)
  assert CLAIMS[number].quality.experiment in CLAIMS[number].experiments
  assert quality.notes(CLAIMS[number], []) == ()


def test_a_share_stays_between_nothing_and_all():
  from comparison.claims.base import seeds

  high = [{'value': v, 'unit': 'share'} for v in (1.0, 0.7, 1.0)]
  assert seeds(high).high == 1.0
  assert seeds([{**row, 'unit': 'nats'} for row in high]).high > 1.0


def test_the_model_of_a_side_is_the_best_on_validation():
  """An LSTM in another block is better on the test, and worse on validation: it does not stand for the RNNs."""
  rows = [{**row, 'selection': 0.5} for row in recall(0.5, 0.9)]
  lucky = [
    {**row, 'block': 'residual', 'value': 1.0, 'selection': 0.4} for row in rows if row['architecture'] == 'lstm'
  ]
  hardest = lambda records: [cell.winner for cell in winners.quality_cells(records) if cell.at == 32]
  assert hardest(rows) == hardest(rows + lucky) == ['transformer']
  assert hardest(rows + [{**row, 'selection': 0.6} for row in lucky]) == ['RNN']
