"""The tables across tasks from invented rows, against numbers computed apart; they reach the page and the exports."""

import itertools

import numpy as np
import pytest
from scipy import stats

from comparison import report
from comparison.report import across_tasks, exports
from tests.comparison.report.test_report import IDENTITY

RATES, SEEDS = (1e-3, 3e-3, 1e-2), (0, 1, 2)
ACCURACY = {'lstm': 0.6, 'gru': 0.7, 'transformer': 0.9}
BEST = 3e-3


def accuracy(name, rate, seed):
  return ACCURACY[name] + 0.01 * seed - 0.1 * abs(RATES.index(rate) - 1)


def loss(name, rate, seed):
  return 2 - accuracy(name, rate, seed)


def rows(tasks=('copying', 'adding')):
  """Copying has an accuracy, adding a loss alone; the middle learning rate is the best."""
  made = []
  for task, name in itertools.product(tasks, ACCURACY):
    for rate, seed in itertools.product(RATES, SEEDS):
      own = {'experiment': 'task_quality', 'version': 1, 'cell': f'{task} {name}', 'content': f'{task} {name}'}
      own |= {'task': task, 'architecture': name, 'block': 'plain', 'learning_rate': rate, 'seed': seed}
      own |= {'size': 3e4, 'updates': 400, 'unit': '', 'seconds': 1800.0, 'rates': list(RATES)}
      own |= {'selection': -np.mean([loss(name, rate, s) for s in SEEDS])}
      made.append({**own, 'metric': 'diverged', 'value': 0})
      made.append({**own, 'metric': 'test loss', 'value': loss(name, rate, seed)})
      if task == 'copying':
        made.append({**own, 'metric': 'test accuracy', 'value': accuracy(name, rate, seed)})
  for task, metric, values in (('copying', 'test accuracy', (0.1, 0.2)), ('adding', 'test loss', (1.5, 1.9))):
    for i, value in enumerate(values):
      own = {'experiment': 'task_quality', 'version': 1, 'cell': f'{task} lstm', 'task': task, 'unit': ''}
      made.append({**own, 'metric': 'baseline', 'baseline': f'baseline {i}', 'scored': metric, 'value': value})
  return [{**IDENTITY, **row} for row in made]


def normalised(name, rate=BEST):
  """The six scores of a model: the weakest baselines are 0.1 and 1.9, the best trials 0.92 and 1.08."""
  copying = [(accuracy(name, rate, s) - 0.1) / (0.92 - 0.1) for s in SEEDS]
  adding = [(1.9 - loss(name, rate, s)) / (1.9 - 1.08) for s in SEEDS]
  return copying, adding


def test_the_interquartile_mean_is_of_normalised_scores_at_the_best_rates():
  (aggregate, *_) = across_tasks.tables(rows())
  assert [row[:2] for row in aggregate.rows] == [('adding, copying', f'{name}, plain') for name in sorted(ACCURACY)]
  for tasks, name, score, seeds in aggregate.rows:
    expected = stats.trim_mean(np.concatenate(normalised(name.partition(',')[0])), 0.25)
    value, low, high = map(float, score.replace('[', '').replace(']', '').replace(',', '').split())
    assert value == pytest.approx(expected, rel=5e-3)
    assert low < value < high
    assert (tasks, seeds) == ('adding, copying', '3')
  assert 'adding: test loss, 1.9 (baseline 1) to 1.08' in aggregate.note
  assert 'copying: test accuracy, 0.1 (baseline 0) to 0.92' in aggregate.note


def test_the_transformer_stands_first_in_its_pairs():
  _, pairs, *_ = across_tasks.tables(rows())
  assert [row[:4] for row in pairs.rows] == [
    ('transformer, plain', 'lstm, plain', '1', 'first'),
    ('transformer, plain', 'gru, plain', '1', 'first'),
    ('lstm, plain', 'gru, plain', '0', 'second'),
  ]
  near = rows()
  for row in near:
    if row['metric'] == 'test loss' and row['task'] == 'adding' and row['architecture'] == 'transformer':
      row['value'] = loss('lstm', row['learning_rate'], 2 - row['seed'])  # the same three numbers
  _, pairs, *_ = across_tasks.tables(near)
  assert float(pairs.rows[0][2].split()[0]) == pytest.approx((1 + 0.5) / 2)


def test_the_best_of_k_rates_is_the_mean_over_all_subsets():
  *_, curve, _ = across_tasks.tables(rows())
  assert curve.columns == ('tasks', 'model', 'k = 1', 'k = 2', 'k = 3')
  for _, name, *cells in curve.rows:
    means = {rate: np.mean(normalised(name.partition(',')[0], rate)) for rate in RATES}
    for k, cell in enumerate(cells, 1):
      # Validation prefers the middle rate; the others are equally good.
      expected = np.mean([max(means[rate] for rate in subset) for subset in itertools.combinations(RATES, k)])
      assert float(cell) == pytest.approx(expected, rel=5e-3)


def test_a_rate_at_which_a_trial_diverged_counts_as_the_baseline():
  changed = []
  for row in rows():
    if row.get('architecture') == 'gru' and row['learning_rate'] == BEST:
      if row['metric'] != 'diverged' and row['seed'] == 1:
        continue
      row |= {'selection': None, 'value': int(row['seed'] == 1) if row['metric'] == 'diverged' else row['value']}
    changed.append(row)
  aggregate, _, curve, budget = across_tasks.tables(changed)
  (mean,) = [row[2] for row in aggregate.rows if row[1] == 'gru, plain']
  edge = stats.trim_mean(np.concatenate(normalised('gru', 1e-3)), 0.25)
  assert float(mean.split()[0]) == pytest.approx(edge, rel=5e-3)
  (cells,) = [row[2:] for row in curve.rows if row[1] == 'gru, plain']
  assert float(cells[0]) == pytest.approx(2 / 3 * np.mean(normalised('gru', 1e-3)), rel=5e-3)
  (line,) = [row for row in budget.rows if row[0] == 'gru, plain']
  assert line[3] == '2'


def test_the_search_behind_a_model():
  *_, budget = across_tasks.tables(rows())
  assert budget.rows[-1] == ('transformer, plain', '2', '18', '0', '3, 0.001 … 0.01', '3', '400', '1')


def test_tasks_that_cannot_be_normalised_are_named():
  found = rows()
  for row in found:
    if row['metric'] == 'baseline' and row['task'] == 'adding':
      row['value'] = 0.5  # better than every model
  aggregate, *_ = across_tasks.tables(found)
  assert 'Left out, without a baseline or a trial that is better: adding.' in aggregate.note
  assert {row[0] for row in aggregate.rows} == {'copying'}
  assert not across_tasks.tables([])


def test_the_tables_are_on_the_page_and_in_the_exports():
  page = report.assemble(rows(), [12])
  titles = {table.title for table in page.tables}
  expected = {
    'Interquartile mean across tasks', 'Probability of improvement', 'Best of k learning rates',
    'Search behind the scores by task',
  }  # fmt: skip
  assert expected <= titles
  assert expected <= {table['title'] for table in exports.as_json(page)['tables']}
  assert 'interquartile-mean-across-tasks' in exports.tables(page)
