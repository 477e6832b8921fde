"""The table of the search behind trained models: forms, trials and hours of each, whatever was chosen."""

import pytest

from comparison.claims.base import Claim
from comparison.report import exports, searched
from comparison.report.page import assemble
from tests.comparison.claims.invented import rows

MODELS = (
  ('transformer', {'depth': [2, 4], 'heads': 0, 'position': 'rotary'}),
  ('transformer', {'depth': 4, 'heads': 4, 'position': 'alibi'}),
  ('lstm', {'depth': [1, 2]}),
)


def tried(experiment='few_sequences'):
  """One hour a cell; rates are tried with one seed, and the best with two more."""
  found = []
  for place, (name, forms) in enumerate(MODELS):
    beside = {'architecture': name, 'block': 'residual' if name == 'transformer' else 'plain', 'updates': 600}
    found += rows(
      experiment, 'diverged', value=lambda learning_rate, **_: int(learning_rate == 0.1), seconds=3600.0,
      cell=f'cell {place}', learning_rate=[0.01, 0.1], seed=5, **forms, **beside,
    )  # fmt: skip
    found += rows(
      experiment, 'diverged', value=0, seconds=3600.0, cell=f'cell {place}', learning_rate=0.01, seed=[6, 7], **forms,
      **beside,
    )  # fmt: skip
  return found


def claim(*experiments):
  return Claim(1, '', '', '', '', '', experiments, judge=lambda records: None)


def test_every_trial_is_counted_and_forms_that_vary_are_named():
  (table,) = searched.tables(claim('few_sequences', 'state_bytes'), tried())
  assert table.title == searched.TITLE
  lstm, transformer = table.rows
  assert lstm == ('lstm, plain', 'layers 1, 2', '8', '2', '2, 0.01 … 0.1', '3', '600', '1')
  forms = 'layers 2, 4; heads 0, 4; positions alibi, rotary'
  assert transformer == ('transformer, residual', forms, '12', '3', '2, 0.01 … 0.1', '3', '600', '2')


def test_experiments_of_one_claim_have_a_table_each():
  found = searched.tables(claim('few_sequences', 'skips'), tried() + tried('skips'))
  assert [table.title for table in found] == [f'{searched.TITLE}: few sequences', f'{searched.TITLE}: skips']
  assert not searched.tables(claim('skips'), tried())


@pytest.mark.parametrize('number', [23, 15])
def test_the_search_stands_at_its_claim_and_among_the_files(number):
  found = tried('few_sequences' if number == 23 else 'clipping')
  page = assemble([{'scale': 'overnight', **row} for row in found], [number])
  (section,) = page.sections
  assert [table.title for table in section.searches] == [searched.TITLE]
  assert exports.tables(page)[f'claim-{number}-search-behind-the-scores'].rows == section.searches[0].rows
