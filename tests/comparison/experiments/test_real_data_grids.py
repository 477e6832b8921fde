"""Grids on real data: smoke runs, on made-up data, have all scores; missing data is one line; resamples are alike."""

import math

import numpy as np
import pytest

from commands import compare
from comparison import articles, report
from comparison.experiments import EXPERIMENTS, forecasting_grids, runner
from comparison.experiments.forecasting_grids import Sampled
from comparison.experiments.generated_series import FAMILIES, SEEN, Generated, GrowingSeries, generated, returns
from comparison.experiments.translation_grids import RESAMPLES, resampled
from seqmodels.errors import InputError
from tasks.datasets import source
from tasks.forecasting import Forecasting
from tests.comparison.experiments.readable import misfits

# Experiment → the cell of its smoke run that is tried, the metrics that its claim reads, and the baselines.
SMOKE = {
  'few_sequences': ({'architecture': 'transformer', 'domain': 'digits'}, {'loss'}, {'accuracy'}),
  'long_series': ({'architecture': 'transformer'}, {'loss'}, {'loss'}),
  'ten_thousand_steps': ({'architecture': 'lstm'}, {'loss'}, set()),
  'growing_series': ({'architecture': 'lstm'}, {'loss'}, set()),
  'small_language_models': ({'architecture': 'lstm'}, {'loss'}, set()),
  'generation_cost': ({}, {'token_seconds', 'token_flops'}, set()),
  'recognition': ({'architecture': 'lstm'}, {'label_error_rate'}, set()),
  'sample_models': ({'architecture': 'lstm'}, {'bits'}, set()),
  'acoustic_split': ({'architecture': 'transformer_to_lstm'}, {'mse', 'dtw_mse'}, set()),
  'translations': ({'architecture': 'encoder_decoder'}, {'loss', 'bleu'}, {'loss', 'bleu'}),
  'video_forms': ({'form': 'joint'}, {'mse', 'training_bytes'}, {'mse'}),
}


@pytest.mark.parametrize('name', SMOKE)
def test_a_smoke_run_needs_no_data_and_has_the_scores_that_are_judged(name):
  chosen, metrics, baselines = SMOKE[name]
  cells = [c for c in EXPERIMENTS[name].cells('smoke') if all(c[k] == v for k, v in chosen.items())]
  assert len(cells) == 1
  rows = list(EXPERIMENTS[name].run(cells[0]))
  assert metrics <= {row['metric'] for row in rows}
  assert not misfits(rows)
  assert all(math.isfinite(row['value']) for row in rows)
  assert {row['scored'] for row in rows if row['metric'] == 'baseline'} == baselines
  if name == 'translations':
    assert {len(row['resampled']) for row in rows if row['metric'] == 'bleu'} == {RESAMPLES}


@pytest.mark.parametrize('name', SMOKE)
def test_minutes_are_too_short_for_real_data(name):
  assert EXPERIMENTS[name].cells('laptop') == []
  assert EXPERIMENTS[name].cells_of('laptop', ['griffin']) == []
  real = EXPERIMENTS[name].cells('overnight')
  assert not {cell.get('dataset') for cell in real} & {'embedded', 'seasonal', 'dial_tones', 'phrases'}


def test_a_page_of_minutes_names_the_scale_that_measures_a_claim():
  claims = articles.load().claims
  for claim in claims.values():
    measured = all(EXPERIMENTS[name].cells('laptop') for name in claim.experiments)
    assert claim.from_scale != 'laptop' or measured, claim.number  # what is measured may be too short, too
    assert all(EXPERIMENTS[name].cells(claim.from_scale) for name in claim.experiments)
  sections = {section.claim.number: section.command for section in report.assemble([], [12, 39]).sections}
  assert '--scale=laptop' in sections[12]
  assert '--scale=overnight' in sections[39]


def test_a_scale_without_cells_says_so(tmp_path, capsys):
  compare.main('laptop', str(tmp_path), experiments=['recognition'])
  assert 'recognition: nothing to measure at --scale=laptop' in capsys.readouterr().out


def test_data_that_cannot_be_had_fails_its_cell_in_one_line(monkeypatch):
  def refuse(*arguments):
    raise InputError('ETT-small/ETTh1.csv is in no folder; give it as --downloads_dir')

  monkeypatch.setattr(source, 'read', refuse)
  monkeypatch.setattr('tasks.datasets.series.load', lambda *a: refuse())
  planned = runner.plan([EXPERIMENTS['long_series']], 'overnight')[0]
  (ready,) = runner.prepare([planned])
  (row,) = runner.measure(planned, ready)
  assert (row['metric'], row['value']) == ('failed', None)
  assert row['error'] == 'InputError: ETT-small/ETTh1.csv is in no folder; give it as --downloads_dir'


def test_windows_are_left_out_of_evaluations_only():
  options = {'lookback': 24, 'horizon': 8}
  every, some = Forecasting(**options), Sampled(stride=10, **options)
  np.testing.assert_array_equal(some.windows('train'), every.windows('train'))
  for split in ('validation', 'test'):
    np.testing.assert_array_equal(some.windows(split), every.windows(split)[::10])
    assert some.count(split) == len(some.windows(split))


def test_few_windows_are_spread_over_the_training_part_and_the_baselines_are_fitted_to_them():
  options = {'lookback': 24, 'horizon': 8, 'train_examples': 40, 'channels': 'independent'}
  every = Forecasting(**options)
  starts = Forecasting(**options | {'train_examples': 0}).windows('train')
  spread, last = (Sampled(stride=50, spread_out=spread_out, **options) for spread_out in (True, False))
  variables = every.data.values.shape[1]
  count = math.ceil(40 / variables)
  for task in (spread, last):
    assert len(task.windows('train')) == count
    assert task.count('train') == 40
  assert spread.windows('train')[[0, -1]].tolist() == starts[[0, -1]].tolist()
  gaps = np.diff(spread.windows('train'))
  assert gaps.max() - gaps.min() <= 1
  assert spread.baselines()['linear'] != last.baselines()['linear']
  np.testing.assert_array_equal(
    last.arrays('train', np.arange(40)).inputs, every.arrays('train', np.arange(40)).inputs
  )  # fmt: skip
  assert not np.array_equal(spread.arrays('train', np.arange(40)).inputs, every.arrays('train', np.arange(40)).inputs)
  with pytest.raises(InputError, match='train_examples'):
    Sampled(**{**options, 'train_examples': len(starts) * variables + 1}).count('train')


# Experiment → the variants of the long scales that its smoke run leaves out, one for each encoding of positions. Forms
# of the Transformer as a side are those of one grid.
OTHERS = {
  (name, variant.get('architecture'), variant.get('form'), variant.get('block'), variant.get('position')): variant
  for name in (
    'clipping', 'learning_rates', 'few_sequences', 'long_series', 'recognition', 'sample_models', 'acoustic_split',
    'translations', 'video_forms',
  )
  for variant in EXPERIMENTS[name].variants('overnight')
  if variant not in EXPERIMENTS[name].variants('smoke')
  if name in ('few_sequences', 'translations') or 'heads' not in variant
}  # fmt: skip
OTHERS = [(name, variant) for (name, *_), variant in OTHERS.items()]


@pytest.mark.parametrize(('name', 'variant'), OTHERS, ids=[f'{n}-{"-".join(map(str, v.values()))}' for n, v in OTHERS])
def test_every_variant_of_the_long_scales_is_built_and_scored(untrained, name, variant):
  experiment = EXPERIMENTS[name]
  point = experiment.points('smoke')[0]
  cell = {'block': '', **experiment.common('smoke'), **variant, **point, 'seeds': [0], 'rates': [1e-3]}
  cell |= {'size': 3e4} if 'depth' in variant else {}  # four layers need some
  cell.pop('tuning_seeds', None)
  rows = list(experiment.run(cell))
  assert not misfits(rows)
  assert not [row for row in rows if row['metric'] in ('gate', 'unavailable')]
  assert {row['architecture'] for row in rows if row['metric'] == 'diverged'} == {variant['architecture']}
  assert untrained[-1][0].config.depth >= cell['depth']
  assert {'heads', 'position'}.isdisjoint(variant) or untrained[-1][0].config.position == variant['position']


def test_baselines_of_many_steps_read_the_last_of_them(monkeypatch):
  monkeypatch.setattr(forecasting_grids, 'MOST_READ', 30)
  monkeypatch.setattr(forecasting_grids, 'LESS', 24)
  options = {'horizon': 8, 'stride': 50}
  short, long = Sampled(lookback=24, **options), Sampled(lookback=48, **options)
  targets = [task.arrays('test', np.arange(task.count('test'))).targets for task in (short, long)]
  np.testing.assert_array_equal(*targets)
  expected = {f'{name} of 24 steps': values for name, values in short.baselines().items()}
  assert long.baselines() == expected


def test_families_differ_in_what_can_be_known_of_them():
  """Almost half of the steps of `returns` repeat those of 24 to 40 steps ago, and none those of fewer."""
  twice = returns(np.random.default_rng(0), 4000)
  windows = np.lib.stride_tricks.sliding_window_view(twice, 6)
  nearest = lambda lags: np.min([np.abs(windows[50:] - windows[50 - lag : -lag]).mean(axis=1) for lag in lags], axis=0)
  assert 0.35 < (nearest(range(24, 41)) < 0.2).mean() < 0.5
  assert (nearest(range(1, 24)) < 0.2).mean() < 0.02
  for family in FAMILIES:
    data = generated(family, 12_000)
    assert data.values.shape == (12_000, 1)
    assert abs(data.values[: 12_000 - 2 * SEEN].mean()) < 1e-9
    np.testing.assert_array_equal(data.values[:50], generated.__wrapped__(family, 12_000).values[:50])
  count = {count: Generated(rows=12_000, lookback=24, horizon=8, train_examples=count) for count in (10, 100)}
  few, more = (task.arrays('train', np.arange(n)).targets for n, task in count.items())
  np.testing.assert_array_equal(few, more[-10:])  # the same history, longer
  written = Generated(rows=12_000, lookback=24, horizon=8, train_examples=10, form='autoregressive')
  assert GrowingSeries().baselines(written)['linear'] == {'loss': count[10].baselines()['linear']['mse']}


def test_models_are_scored_on_the_same_resamples():
  """A system that is better in every sentence is better in every resample; two equal ones are equal in all."""
  random = np.random.default_rng(1)
  matched = random.integers(1, 8, 40).astype(np.float64)
  sums = lambda more: {
    **{f'bleu_precision_{n}': np.stack([matched + more, np.full(40, 12.0 - n)]) for n in range(1, 5)},
    'bleu_length': np.full((2, 40), 12.0),
  }
  worse, better = resampled(sums(0), 40), resampled(sums(1), 40)
  assert worse == resampled(sums(0), 40)
  assert len(set(worse)) > RESAMPLES / 10
  assert all(b > a for a, b in zip(worse, better, strict=True))
