"""Another architecture against the references: ratios of one cell alone, scores with the whole interval."""

from comparison.report import named
from tests.comparison.claims.invented import recall, training


def other(rows, factor, cell='a', name='mine'):
  """The LSTM's rows again as another architecture, `factor` times as slow."""
  again = [
    {**row, 'architecture': name, 'value': factor * row['value'], 'samples': [factor * s for s in row['samples']]}
    for row in rows
    if row['architecture'] == 'lstm' and row['metric'] == 'step_seconds'
  ]
  return [{**row, 'cell': cell} for row in [*rows, *again]]


def cells(table, measure):
  return {row[1]: row[3:] for row in table.rows if row[1].startswith(measure)}


def test_costs_are_ratios_to_both_references_at_the_ends_of_the_lengths():
  rows = other(training(lambda t: 1e-3 * t, lambda t: 2e-3 * t if t < 100 else 1e-4 * t), 0.8)
  table = named.table(rows)
  assert [row[0] for row in table.rows] == ['mine', '']
  assert cells(table, 'training step') == {
    'training step, T = 32': ('0.8 ×', 'wins', '0.4 ×', 'wins'),
    'training step, T = 1,024': ('0.8 ×', 'wins', '8 ×', 'loses'),
  }


def test_only_rounds_of_one_cell_make_a_ratio_and_close_costs_are_a_tie():
  quick = training(lambda t: 1e-3, lambda t: 1e-3)
  apart = [*({**row, 'cell': 'b'} for row in quick), *(r for r in other(quick, 0.5) if r['architecture'] == 'mine')]
  assert named.table(apart).rows == ()
  assert set(cells(named.table(other(quick, 1.01)), 'training step').values()) == {
    ('1.01 ×', 'loses', '1.01 ×', 'loses')
  }
  same = cells(named.table(other(quick, 1.0)), 'training step')
  assert set(same.values()) == {('1 ×', 'tie', '1 ×', 'tie')}


def test_scores_are_differences_at_the_hardest_point():
  rows = recall(0.4, 0.999)
  mine = [{**row, 'architecture': 'mine', 'value': row['value'] + 0.2} for row in rows if row['architecture'] == 'lstm']
  (line,) = named.table([*rows, *mine]).rows
  assert line[:3] == ('mine', 'recall, pairs 32', '100k')
  assert line[3] == '20 points'
  assert line[4] == 'wins'
  assert line[5].startswith('-39.9')
  assert line[6] == 'loses'


def test_of_two_blocks_the_one_that_is_better_on_validation_is_shown():
  """The other one is better on the test, by luck."""
  rows = [{**row, 'selection': 0.5} for row in recall(0.4, 0.999)]
  of_lstm = [row for row in rows if row['architecture'] == 'lstm']
  mine = [{**row, 'architecture': 'mine', 'value': row['value'] + 0.2, 'selection': 0.6} for row in of_lstm]
  lucky = [{**row, 'block': 'residual', 'value': 1.0, 'selection': 0.4} for row in mine]
  assert named.table([*rows, *mine, *lucky]).rows == named.table([*rows, *mine]).rows


def test_without_other_architectures_there_is_no_table():
  assert named.table(recall(0.4, 0.999)).rows == ()
