"""Learning curves: every model at its best learning rate, few lines, only where courses of training were recorded."""

import dataclasses

import pytest

from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.report import drawing, learning, page

EXPERIMENT, CLAIM = 'long_lags', CLAIMS[8]


def trials(name, **columns):
  """Rows of a model of two rates and two seeds; the larger rate is the better one on validation."""
  return [
    {
      'experiment': EXPERIMENT, 'metric': 'train_loss', 'value': 0.1, 'cell': f'{name} {columns}', 'architecture': name,
      'learning_rate': rate, 'selection': -loss, 'seed': seed, 'updates': 80, 'width': 7, 'state_bytes': 9,
      'curve': [4.0 * loss, 2.0 * loss, loss, loss + seed], **columns,
    }
    for rate, loss in ((1e-3, 1.0), (1e-2, 0.5))
    for seed in (0, 1)
  ]  # fmt: skip


def test_a_course_is_the_mean_of_the_seeds_at_the_best_rate_over_the_updates():
  found = learning.courses(EXPERIMENT, 'length', trials('lstm'))
  assert found == {
    'lstm': [(10.0, (2.0, 2.0, 2.0)), (30.0, (1.0, 1.0, 1.0)), (50.0, (0.5, 0.5, 0.5)), (70.0, (1.0, 0.5, 1.5))]
  }


def test_a_model_that_diverged_at_every_rate_and_rows_without_a_course_are_left_out():
  diverged = [row | {'selection': None} for row in trials('gru')]
  bare = [{k: v for k, v in row.items() if k != 'curve'} for row in trials('rnn')]
  assert set(learning.courses(EXPERIMENT, '', trials('lstm') + diverged + bare)) == {'lstm'}
  assert learning.courses(EXPERIMENT, '', bare) == {}
  assert learning.draw(CLAIM, bare) == []


def test_labels_hold_what_tells_the_models_apart():
  records = trials('lstm', lag=8, block='plain', clip=0.0) + trials('lstm', lag=8, block='plain', clip=1.0)
  assert set(learning.courses(EXPERIMENT, '', records)) == {'lstm, clip 0', 'lstm, clip 1'}
  records += trials('transformer', lag=8, block='residual', clip=1.0)
  assert set(learning.courses(EXPERIMENT, '', records)) == {'lstm, clip 0', 'lstm, clip 1', 'transformer, clip 1'}
  assert learning.label({'architecture': 'gru', 'size': 1e6, 'mixer': ''}, ['architecture', 'size', 'mixer']) == (
    'gru, 1M parameters'
  )


def test_of_many_models_the_ends_of_the_coordinate_and_then_the_article_s_architectures_stay():
  lengths = (10, 20, 30, 40)
  records = [row for n in lengths for name in ('lstm', 'gru', 'transformer') for row in trials(name, length=n)]
  found = learning.courses(EXPERIMENT, 'length', records)
  assert len(found) == 6
  assert {label.rpartition(' ')[2] for label in found} == {'10', '40'}
  records += [row for n in lengths for name in ('s4', 'mamba') for row in trials(name, length=n)]
  assert set(learning.courses(EXPERIMENT, 'length', records)) == set(found)
  assert learning.courses(EXPERIMENT, '', [row for n in range(9) for row in trials('lstm', length=n)]) == {}


def test_the_page_has_the_picture_once_in_a_fold():
  records = [row | {'scale': 'laptop'} for name in ('lstm', 'transformer') for row in trials(name, length=30)]
  whole = page.assemble(records, [8])
  twice = dataclasses.replace(whole, sections=(*whole.sections, whole.sections[0]))
  drawn = [shown for shown in drawing.of_claims(twice)[8] if shown.shows == 'learning']
  assert [shown.of for shown in drawn] == [CLAIM.number]
  (first,) = [shown for shown in drawing.of_claims(whole)[8] if shown.shows == 'learning']
  assert first.path == 'figures/claim-08-learning-1.svg'
  assert first.of is None
  assert 'training loss' in first.svg
  assert learning.coordinate(CLAIM, EXPERIMENT) == 'length'
  assert learning.coordinate(CLAIMS[17], 'random_settings') == ''


def test_coordinates_without_numbers_keep_all():
  assert learning.ends_of('position', [{'position': 'none'}])({'position': 'none'})
  assert not learning.ends_of('lag', [{'lag': 1}, {'lag': 2}, {'lag': 3}])({'lag': 2})
  with pytest.raises(KeyError):
    learning.ends_of('lag', [{'lag': 1}])({})
