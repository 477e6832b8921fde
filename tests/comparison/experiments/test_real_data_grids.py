"""Grids on real data: smoke runs, on made-up data, have all scores; missing data is one line; resamples are alike."""

import math

import numpy as np
import pytest

from commands import compare
from comparison.experiments import EXPERIMENTS, runner
from comparison.experiments.forecasting_grids import Sampled
from comparison.experiments.translation_grids import RESAMPLES, resampled
from seqmodels.errors import InputError
from tasks.datasets import source
from tasks.forecasting import Forecasting

# Experiment → the cell of its smoke run that is tried, the metrics that its claim reads, and the baselines.
SMOKE = {
  'few_sequences': ({'architecture': 'transformer', 'domain': 'digits'}, {'loss'}, {'accuracy'}),
  'long_series': ({'architecture': 'transformer'}, {'loss'}, {'loss'}),
  'ten_thousand_steps': ({'architecture': 'gru'}, {'loss'}, set()),
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
