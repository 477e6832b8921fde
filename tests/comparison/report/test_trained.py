"""Seeds and budgets of trained models: draws are no seeds, and a table names those of its own models."""

from comparison import report
from comparison.report import exports, page, trained
from tests.comparison.claims.test_quality import records as of_language
from tests.comparison.report.test_report import IDENTITY


def trial(experiment, seed, **columns):
  return {'experiment': experiment, 'metric': 'loss', 'value': 1.0, 'seed': seed, 'updates': 600, 'batch': 16,
          'length': 128, **columns}  # fmt: skip


def test_draws_of_settings_are_no_seeds():
  few, many = [trial('plateaus', seed) for seed in range(3)], [trial('skips', seed) for seed in range(5)]
  draws = [trial('random_settings', draw, draw=draw) for draw in range(24)]
  assert trained.seeds(few) == '3 an experiment'
  assert trained.seeds(draws) == '24 draws of settings with a seed each in random_settings'
  assert trained.seeds([*draws, *few, *many]) == (
    '3 to 5 an experiment; 24 draws of settings with a seed each in random_settings'
  )
  assert trained.seeds([{'experiment': 'order', 'metric': 'reordering'}]) == '–'
  header = dict(page.header([{**IDENTITY, **row} for row in [*few, *draws]]))
  assert header[trained.SEEDS].startswith('3 an experiment;')


def test_the_budget_is_that_of_one_training():
  again = trial('reach', 0, updates=77, metric='accuracy_at_equal_flops')
  assert trained.budget([trial('skips', 0), again]) == '600 updates of 2,048 tokens'
  shared = {'experiment': 'baselines', 'metric': 'trials', 'value': 10, 'updates': 8000, 'tokens': 512}
  assert trained.budget([trial('skips', 0), shared]) == '600 to 8,000 updates of 512 to 2,048 tokens'
  assert trained.budget([trial('gradient_flow', 0, updates=None)]) == '–'


def test_latex_and_json_tell_budget_sizes_trials_and_the_words_of_the_article():
  found = report.assemble([{**IDENTITY, **row} for row in of_language()], [35])
  tables = exports.tables(found)
  scores = next(table for name, table in tables.items() if name.startswith('claim-35'))
  assert 'seeds of trained models: 3; budget of trained models: 100 updates of 2,048 tokens' in exports.as_latex(
    scores, found.header
  )
  assert [row[scores.columns.index('trials')] for row in scores.rows[:2]] == ['6', '6']
  assert 'budget of trained models: 100 updates of 2,048 tokens' in exports.as_latex(tables['verdicts'], found.header)
  (verdict,) = exports.as_json(found)['verdicts']
  assert verdict['sizes'] == [100_000]
  assert verdict['words'] == found.sections[0].claim.words
  rows = [dict(zip(tables['verdicts'].columns, row, strict=True)) for row in tables['verdicts'].rows]
  assert (rows[0]['sizes'], rows[0]['words']) == ('100000', verdict['words'])
