"""The tables of a sweep from invented rows: means, ranking, edges and natural ends, the curve, the budget."""

import itertools
import math

import numpy as np
import pytest

from comparison import statistics
from comparison.report import sweep

RATES, WIDTHS, SEEDS = (1e-3, 1e-2, 1e-1), (8, 16, 32), (0, 1, 2)


def axis(field, below, above, numeric=True):
  return {'field': field, 'text': 'as written', 'numeric': numeric, 'below': below, 'above': above}


def space(count, *axes):
  return {
    'config': {}, 'axes': list(axes), 'seeds': {'field': 'train.seed', 'text': '0..2'}, 'part': '',
    'cells': [str(i) for i in range(count)],
  }  # fmt: skip


def trials(loss, diverged=()):
  """The rows of rates × widths × seeds; loss: a function of them."""
  rows = []
  for i, (rate, width, seed) in enumerate(itertools.product(RATES, WIDTHS, SEEDS)):
    own = {'experiment': 'sweep', 'cell': f'c{i}', 'content': str(i), 'device_kind': 'a device', 'seed': seed}
    own |= {'train.learning_rate': rate, 'model.width': width, 'unit': ''}
    has_diverged = (rate, width, seed) in diverged
    rows += [{**own, 'metric': 'diverged', 'value': int(has_diverged)}, {**own, 'metric': 'seconds', 'value': 2.0}]
    if not has_diverged:
      value = loss(rate, width, seed)
      rows += [{**own, 'metric': 'validation loss', 'value': value}, {**own, 'metric': 'test loss', 'value': value + 1}]
  return rows


def bowl(rate, width, seed):
  """Lowest at 1e-2 and 16, with noise of the seed."""
  return 1 + math.log10(rate / 1e-2) ** 2 + math.log2(width / 16) ** 2 + 0.01 * seed


AXES = (axis('train.learning_rate', 1e-4, 1.0), axis('model.width', 4, 64))


def test_a_best_inside_the_grid_is_named_with_its_interval():
  found = sweep.summary(trials(bowl), space(27, *AXES))
  assert found.best == {'train.learning_rate': 1e-2, 'model.width': 16}
  assert found.table.rows[0] == ('0.01', '16', '1.01 [0.9852, 1.035]', '2.01 [1.985, 2.035]', '3', '0')
  assert found.table.columns == ('learning_rate', 'model.width', 'validation loss', 'test loss', 'n', 'diverged')
  assert found.table.best == {(0, 2)}
  assert found.verdict.startswith('Best by validation: learning_rate=0.01, model.width=16, validation loss 1.01 [')
  mean = statistics.mean([1, 1.01, 1.02])
  assert (mean.value, mean.low) == pytest.approx((1.01, 0.98516), abs=1e-4)
  keys = [setting.key for setting in found.settings]
  assert keys == sorted(keys)
  assert found.budget == (
    'Budget: 27 trials (0 diverged, 0 failed); 54 device-seconds on a device; learning_rate as written, '
    'model.width as written, seed 0..2.'
  )


def test_an_edge_is_not_best_unless_the_field_ends_there():
  rows = trials(lambda rate, width, seed: bowl(rate, 16, seed) - width)
  found = sweep.summary(rows, space(27, *AXES))
  assert (found.best, found.table.best) == (None, frozenset())
  assert found.verdict == 'No setting is named best: the best model.width, 32, ends the grid: extend it to 64.'
  natural = sweep.summary(rows, space(27, AXES[0], axis('model.width', 4, None)))
  assert natural.best == {'train.learning_rate': 1e-2, 'model.width': 32}
  words = sweep.summary(rows, space(27, AXES[0], axis('model.width', None, None, numeric=False)))
  assert words.best == natural.best
  both = sweep.summary(trials(lambda rate, width, seed: width / 8 + rate), space(27, *AXES)).verdict
  assert 'the best learning_rate, 0.001, ends the grid: extend it to 0.0001' in both
  assert 'the best model.width, 8, ends the grid: extend it to 4' in both


def test_a_setting_with_a_diverged_trial_comes_last_and_is_not_best():
  found = sweep.summary(trials(bowl, diverged={(1e-2, 16, 1)}), space(27, *AXES))
  assert found.table.rows[-1] == ('0.01', '16', '', '', '3', '1')
  assert found.settings[0].values != {'train.learning_rate': 1e-2, 'model.width': 16}
  everywhere = set(itertools.product(RATES, WIDTHS, SEEDS))
  none = sweep.summary(trials(bowl, diverged=everywhere), space(27, *AXES))
  assert (none.best, none.verdict) == (None, 'No setting is named best: every one has a trial that diverged.')


def test_missing_and_failed_trials_leave_the_best_open():
  rows = trials(bowl)[:-4]
  failed = {'experiment': 'sweep', 'cell': 'c26', 'content': '26', 'device_kind': 'a device', 'metric': 'failed'}
  failed |= {'value': None, 'error': 'ValueError: no', 'seed': 2, 'train.learning_rate': 0.1, 'model.width': 32}
  rows.append(failed)
  found = sweep.summary(rows, space(27, *AXES))
  assert found.verdict == 'No setting is named best: 1 of 27 trials are not finished.'
  assert '26 trials (0 diverged, 1 failed)' in found.budget
  assert found.failures == ('learning_rate=0.1, model.width=32, seed=2 failed: ValueError: no',)
  assert '\n'.join(found.failures) in sweep.lines(found)
  assert sorted(len(setting.seeds) for setting in found.settings) == [2] + [3] * 8


def test_the_curve_is_the_mean_over_all_subsets_of_trials():
  rows = [row for row in trials(bowl) if row['model.width'] == 16]
  found = sweep.curve(rows)
  losses = np.array([row['value'] for row in rows if row['metric'] == 'validation loss'])
  assert [row[0] for row in found.rows] == ['1', '2', '4', '8', '9']
  for k, *cells in found.rows:
    subsets = list(itertools.combinations(losses, int(k)))
    expected = np.mean([min(subset) for subset in subsets])
    assert [float(cell) for cell in cells] == pytest.approx([expected, expected + 1], rel=5e-3)
