"""Baselines and trials of every trained model, rungs of the ladder, and the second budget."""

import dataclasses
import json
from functools import partial

import pytest

from comparison.experiments import EXPERIMENTS, baselines, gate, reach, token_index, training_time
from comparison.experiments.base import SCALES
from comparison.experiments.trained import metric, updates
from comparison.experiments.training_time import LADDERS, is_reference
from comparison.experiments.variants import LADDER, NEWTON_RUNGS, OTHER_RUNGS, REFERENCES, Variant, token_spec
from seqmodels.kernels.cpu import library
from seqmodels.models import sizing
from tasks.copying import Copying
from tasks.language import Language

QUALITY = ('recall_capacity', 'reach', 'truncation', 'token_index')


def rows_of(name, scale='smoke'):
  experiment = EXPERIMENTS['baselines']
  return [row for cell in experiment.cells(scale) if cell['of'] == name for row in experiment.run(cell)]


@pytest.mark.parametrize('scale', SCALES)
def test_every_experiment_that_trains_models_has_baselines_with_its_settings(scale):
  cells = {cell['of']: cell for cell in EXPERIMENTS['baselines'].cells(scale)}
  assert set(cells) == {name for name in QUALITY if EXPERIMENTS[name].cells(scale)}
  for name, cell in cells.items():
    own = [c for c in EXPERIMENTS[name].cells(scale) if c.get('kind') != 'bytes']
    for setting in ('steps', 'budgets', 'seeds', 'rates'):
      assert all(c.get(setting) == cell.get(setting) for c in own)
  assert len(EXPERIMENTS['baselines'].cells(scale)) == len(cells)


def test_baselines_are_those_of_the_tasks():
  recall = {(r['baseline'], r['pairs']): r['value'] for r in rows_of('recall_capacity', 'laptop') if 'baseline' in r}
  assert recall == {(n, p): v for p in (2, 4, 8) for n, v in (('any value shown', 1 / p), ('any value', 1 / 16))}
  (guess,) = [r for r in rows_of('reach') if 'baseline' in r]
  assert guess['value'] == 1 / 32
  task = Language()
  ids = task.text.ids['validation']
  unigram = next(r['value'] for r in rows_of('truncation') if r.get('baseline') == 'unigram')
  assert unigram == pytest.approx(task.ngrams.unigram(ids).mean(), rel=1e-9)
  losses = {r['baseline']: r['value'] for r in rows_of('token_index') if r['metric'] == 'loss'}
  for name, values in Language(length=32).baselines().items():
    assert losses[name] == pytest.approx(values['loss'], rel=0.05)  # of fewer tokens


def test_trials_hold_the_rates_and_tokens_of_an_update():
  cells = {cell['of']: cell for cell in EXPERIMENTS['baselines'].cells('overnight')}
  trials = {name: baselines.trials(cells[name]) for name in QUALITY}
  assert trials['token_index']['rates'] == [1e-3, 3e-3, 1e-2, 3e-2]
  assert trials['token_index']['updates'] == round(6e6 / (4 * 1024))
  assert trials['truncation']['rates'] == [4e-3]
  assert trials['recall_capacity']['value'] == 4 + 2
  assert trials['recall_capacity']['tokens'] == 32 * 64
  assert trials['reach']['tokens'] == 32 * 64
  assert trials['reach']['value'] == 4 + 4  # four rates with a seed, one of them with four more


@pytest.mark.parametrize('experiment', [token_index.TokenIndex(), reach.Reach()])
def test_a_second_budget_spends_the_flops_of_the_lstm(experiment):
  matched = [cell for cell in experiment.cells('overnight') if 'matched' in cell]
  assert matched
  for cell in matched:
    spec = token_spec(cell['length'])
    build = lambda name, depth, spec=spec, cell=cell: Variant(name).build(spec, params=cell['size'], depth=depth)
    model = build(cell['architecture'], cell['depth'])
    lstm = build('lstm', cell.get('budget_depth', cell['depth']))
    cell |= {} if 'steps' in cell else {'steps': 1000}  # that follow from a budget of tokens
    spent = updates(model, cell) * sizing.sequence_flops(model, cell['length'])
    budget = cell['steps'] * sizing.sequence_flops(lstm, cell['length'])
    assert abs(spent - budget) <= sizing.sequence_flops(model, cell['length']) / 2  # to the nearest whole update
    plain = {name: value for name, value in cell.items() if not name.startswith(('matched', 'budget_'))}
    assert updates(model, plain) == cell['steps']
    plain = {name: value for name, value in plain.items() if name != 'steps' or 'budgets' not in cell}
    assert plain in experiment.cells('overnight')  # the same cell as that of the first budget, but for the budget
    assert (metric('loss', cell), metric('loss', plain)) == ('loss_at_equal_flops', 'loss')


def test_other_rungs_are_measured_beside_rungs_of_the_ladder():
  assert all(rung in LADDER for rung in REFERENCES)
  assert not any(rung in LADDERS['full'] for rung in OTHER_RUNGS)
  assert not any(rung in LADDERS['full'] for rung in NEWTON_RUNGS)
  for name in ('others', 'newton', 'device_others'):
    assert [rung for rung in LADDERS[name] if is_reference(rung, {'ladder': name})] == list(REFERENCES)
  assert not any(is_reference(rung, {'ladder': 'device'}) for rung in LADDERS['device'])
  assert all(len({rung.name for rung in rungs}) == len(rungs) for rungs in LADDERS.values())


def test_the_rungs_in_cpp_are_passed_over_where_it_has_not_been_built(monkeypatch):
  monkeypatch.setattr(library, 'load', lambda: False)
  rungs = [rung for rung in LADDERS['full'] if rung.backend == 'cpu']
  admitted, rows = gate.admit(rungs)
  assert (admitted, {row['metric'] for row in rows}) == ([], {'unavailable'})
  assert {row['architecture'] for row in rows} == {'lstm', 'gru', 'rnn', 'transformer'}


def test_a_vendors_kernel_that_is_not_here_is_passed_over():
  admitted, rows = gate.admit([Variant('lstm', 'cudnn')], 'bfloat16')  # which no device has
  assert admitted == []
  assert [(row['metric'], row['value']) for row in rows] == [('unavailable', None)]
  assert 'cudnn' in rows[0]['error'].lower()


def test_a_rung_of_one_type_keeps_it_whatever_the_cell_has():
  rung = next(rung for rung in LADDERS['device'] if rung.backend == 'cudnn')
  model = dataclasses.replace(rung, backend='xla').build(token_spec(4), width=8, dtype='bfloat16')
  assert model.config.dtype == 'float32'


def test_a_timed_step_trains():
  model = Variant('gru').build(token_spec(length=8, vocabulary=8), width=8)
  _, call = training_time.training_step(model, Copying(symbols=6, items=2, lag=2), batch_size=4)
  first, *_, last = (call() for _ in range(10))
  assert float(first['learning_rate']) > 0
  assert float(last['loss']) < 0.98 * float(first['loss'])


def failing(call):
  raise RuntimeError('no kernel\nfor this')


@pytest.mark.parametrize('where', ['compiling', 'running'])
def test_a_rung_that_fails_leaves_its_reason_and_the_others_are_measured(monkeypatch, where):
  cell = next(cell for cell in EXPERIMENTS['training_time'].cells('smoke'))
  make = training_time.training_step

  def step(model, *rest):
    if model.config.pattern != ('lstm',):
      return make(model, *rest)
    return failing(None) if where == 'compiling' else (make(model, *rest)[0], partial(failing, None))

  monkeypatch.setattr(training_time, 'training_step', step)
  rows = list(EXPERIMENTS['training_time'].run(cell))
  assert [(r['architecture'], r['error']) for r in rows if r['metric'] == 'unavailable'] == [
    ('lstm', 'RuntimeError: no kernel for this')
  ]
  assert [row['architecture'] for row in rows if row['metric'] == 'step_seconds'] == ['transformer']


def test_a_cell_without_any_rung_fails(monkeypatch):
  monkeypatch.setattr(training_time, 'training_step', lambda *arguments: failing(None))
  with pytest.raises(RuntimeError, match='no kernel'):
    list(EXPERIMENTS['training_time'].run(EXPERIMENTS['training_time'].cells('smoke')[0]))


@pytest.mark.parametrize('scale', SCALES)
@pytest.mark.parametrize('name', [name for name, one in EXPERIMENTS.items() if one.takes_architectures])
def test_named_architectures_are_measured_once_without_what_cells_add(name, scale):
  experiment = EXPERIMENTS[name]
  own, named = experiment.cells(scale), experiment.cells_of(scale, ['lru'])
  added = [cell.get('ladder') in ('others', 'newton', 'device_others', 'named') or 'matched' in cell for cell in own]
  assert [experiment.adds(cell) for cell in own] == added
  assert not [cell for cell in named if 'matched' in cell or cell.get('ladder', 'named') != 'named']
  points = [json.dumps({k: v for k, v in cell.items() if k not in ('ladder', 'architectures')}) for cell in named]
  assert len(points) == len(set(points))


def test_newton_rungs_are_timed_and_where_the_width_is_too_large_they_say_so():
  experiment = EXPERIMENTS['forward_latency']
  newton = [cell for cell in experiment.cells('overnight') if cell['ladder'] == 'newton']
  assert newton
  assert all(experiment.adds(cell) for cell in newton)
  rows = list(experiment.run({**newton[0], 'depth': 1, 'size': 4e4, 'length': 8, 'seconds': 0.0}))
  names = lambda metric: [f'{r["architecture"]} {r["backend"]}' for r in rows if r['metric'] == metric]
  assert names('reference_seconds') == [rung.name for rung in REFERENCES]
  assert names('forward_seconds') == ['lstm quasi_newton', 'gru quasi_newton']
  assert names('unavailable') == ['lstm newton', 'gru newton']
  assert all('which is too wide' in row['error'] for row in rows if row['metric'] == 'unavailable')
