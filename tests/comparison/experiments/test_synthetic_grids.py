"""Grids without data files: what each cell builds, what it reads, and what its rows hold. Trials are not trained."""

import jax
import numpy as np
import pytest

from comparison.articles.transformer_vs_rnn import encodings
from comparison.experiments import (
  EXPERIMENTS,
  capability_grids,
  capacity_map,
  grid,
  reach,
  recall_capacity,
  token_index,
  trained,
)
from comparison.experiments.capability_grids import pattern
from comparison.experiments.optimisation_grids import DRAWS, OF_RNNS, OF_TRANSFORMERS, settings_of
from comparison.experiments.reach import at_end
from comparison.experiments.trained import Trial
from seqmodels.models import sizing
from tests.comparison.experiments.readable import misfits

RANDOM = 'plateaus', 'skips', 'state_sizes', 'random_settings', 'segment_memory'
NAMES = (*RANDOM, 'long_lags', 'position_encodings', 'approximations', 'attention_shares')


@pytest.fixture
def traced(monkeypatch):
  """Models whose outputs are traced and scores invented, so that nothing is compiled."""
  made = []

  class Tracer:
    def __init__(self, model, task, settings, scoring=None):
      del settings
      self.scoring = scoring
      inputs = task.arrays('validation', np.arange(2)).inputs
      outputs, _ = jax.eval_shape(model.apply, model.abstract_params, inputs)
      assert outputs.shape[0] == len(inputs)
      made.append(model)

    def run(self, rate, seed):
      del rate, seed
      scores = {update: self.scoring.score({}) for update in self.scoring.updates} if self.scoring else {}
      return Trial({}, np.linspace(2.0, 1.0, 20, dtype=np.float32), finite=True, scores=scores)

  scores = lambda *_, **__: {'loss': 1.0, 'accuracy': 0.5}
  monkeypatch.setattr(grid, 'Trainer', Tracer)
  monkeypatch.setattr(grid.gate, 'admit', lambda variants, **_: (variants, []))
  monkeypatch.setattr(grid, 'score', scores)
  of_test = lambda *_: {name: (value, []) for name, value in scores().items()}
  monkeypatch.setattr(grid, 'scored_test', of_test)
  monkeypatch.setattr(capability_grids, 'scored_test', of_test)
  monkeypatch.setattr(capacity_map, 'evaluate', scores)
  return made


def run(name, made, number=-1, scale='smoke'):
  cell = {**EXPERIMENTS[name].cells(scale)[number], 'seeds': [0], 'rates': [1e-3]}
  cell.pop('tuning_seeds', None)
  rows = list(EXPERIMENTS[name].run(cell))
  assert not misfits(rows)
  return cell, rows, made[-1]


def value(rows, metric):
  (row,) = [row for row in rows if row['metric'] == metric]
  return row['value']


@pytest.mark.parametrize('name', NAMES)
def test_nothing_of_them_runs_within_minutes(name):
  assert EXPERIMENTS[name].cells('laptop') == []
  assert EXPERIMENTS[name].cells('overnight')


def test_blocks_without_skips_are_trained(untrained):
  _, rows, (model, *_) = run('skips', untrained)
  assert model.config.block == 'unskipped'
  assert {row['skips'] for row in rows} == {0}
  whole = {(c['architecture'], c['block'], c['skips']) for c in EXPERIMENTS['skips'].cells('overnight')}
  assert whole == {
    ('transformer', 'residual', 1), ('transformer', 'residual', 0), ('lstm', 'residual', 1), ('lstm', 'residual', 0),
    ('lstm', '', 0),
  }  # fmt: skip


def test_a_memory_is_read_in_training_and_in_evaluation(untrained):
  cell, rows, (_, _, settings) = run('segment_memory', untrained, 1)
  assert (settings.segment, settings.memory) == (16, 16) == (cell['length'], cell['memory'])
  steps = {row['segment']: row['value'] for row in rows if row['metric'] == 'dependent_steps'}
  assert steps == {8: 1, 16: 1}
  with_memory = value(rows, 'loss')
  (cell,) = [c for c in EXPERIMENTS['segment_memory'].cells('smoke') if not c['memory']]
  alone = list(EXPERIMENTS['segment_memory'].run({**cell, 'seeds': [0], 'rates': [1e-3]}))
  assert untrained[-1][2].segment == 0
  assert value(alone, 'loss') != with_memory  # of the same parameters


def test_cells_with_memory_and_without_train_on_the_same_tokens():
  experiment = EXPERIMENTS['segment_memory']
  cells = [cell for cell in experiment.cells('overnight') if cell['architecture'] == 'transformer_xl']
  assert {cell['memory'] for cell in cells} == {0, 64, 256}
  read = []
  for cell in cells:
    batches = iter(experiment.task(cell).dataset('train', 4, seed=3, segment=experiment.settings(cell).segment or None))
    read.append([next(batches) for _ in range(3)])
  for number in range(3):
    alone, *others = (batches[number] for batches in read)
    assert alone.reset is None
    for other in others:
      np.testing.assert_array_equal(other.inputs, alone.inputs)
      np.testing.assert_array_equal(other.targets, alone.targets)
  assert not np.array_equal(read[0][0].inputs, read[0][1].inputs)


def test_states_differ_and_parameters_do_not(traced):
  bytes_, parameters = set(), set()
  for number in range(4):
    _, rows, _ = run('state_sizes', traced, number, 'overnight')
    bytes_.add(rows[0]['state_bytes'])
    parameters.add(rows[0]['parameters'])
  assert len(bytes_) == 4
  assert len(parameters) == 1


def test_random_settings_are_multiples_of_what_is_usual_and_do_not_depend_on_the_others(untrained):
  cell, rows, (model, _, settings) = run('random_settings', untrained)
  assert settings.optimizer == cell['optimizer'] == settings_of(0, 'lstm')['optimizer']
  assert settings.clip == cell['clip']
  assert model.config.dropout == cell['dropout']
  assert rows[0]['draw'] == 0
  cells = EXPERIMENTS['random_settings'].cells('overnight')
  assert len(cells) == 3 * DRAWS
  for cell in cells:
    usual = OF_TRANSFORMERS if cell['architecture'] == 'transformer' else OF_RNNS
    expected, other = settings_of(cell['draw'], cell['architecture']), settings_of(cell['draw'], 'transformer')
    assert {name: cell[name] for name in expected} == expected
    assert cell['rates'][0] / other['rates'][0] == pytest.approx(usual.rate / OF_TRANSFORMERS.rate, rel=0.01)
    assert cell['clip'] / usual.clip == pytest.approx(other['clip'] / OF_TRANSFORMERS.clip)
    for name in ('optimizer', 'warmup', 'depth', 'seeds'):
      assert cell[name] == other[name]
  named = EXPERIMENTS['random_settings'].cells_of('overnight', ['mamba'])
  kept = lambda some: {str(cell) for cell in some if cell['architecture'] in ('transformer', 'lstm')}
  assert kept(named) == kept(cells)


def test_settings_are_scored_beside_the_unigram(untrained):
  _, rows, _ = run('random_settings', untrained, 0)
  (loss,) = [row['value'] for row in rows if row['metric'] == 'baseline' and row['baseline'] == 'unigram']
  assert 2 < loss < 4  # nats of a character


def test_the_best_rate_has_more_seeds_than_the_others():
  seeds = {name: {len(cell['seeds']) for cell in EXPERIMENTS[name].cells('overnight')} for name in NAMES}
  chosen = {name: {str(c.get('tuning_seeds')) for c in EXPERIMENTS[name].cells('overnight')} for name in NAMES}
  for name in ('skips', 'segment_memory', 'approximations', 'attention_shares'):
    assert (seeds[name], chosen[name]) == ({5}, {'[0, 1]'})
  assert (seeds['long_lags'], chosen['long_lags']) == ({5}, {'[0]'})
  assert (seeds['position_encodings'], chosen['position_encodings']) == ({7}, {str(list(encodings.CHOOSING))})
  for name in ('plateaus', 'state_sizes'):  # every seed at every rate
    assert (seeds[name], chosen[name]) == ({3}, {'None'})


def test_a_plateau_says_how_much_the_loss_still_fell(untrained, monkeypatch):
  _, rows, (model, task, settings) = run('plateaus', untrained)
  assert settings.schedule == 'constant'
  assert rows[0]['selection'] == -value(rows, 'train_loss') == -1
  assert value(rows, 'fall') == pytest.approx(2 / 19, rel=1e-5)  # of the line from 2 to 1
  few = Trial({}, np.array([2.0, 1.5, 1.0], np.float32), finite=True)
  monkeypatch.setattr(grid, 'scored_test', lambda *_: {})
  assert EXPERIMENTS['plateaus'].of_trial(model, few, task, {})['fall'] == (0.5, 'nats')


def test_encodings_are_also_tested_beyond_the_length_of_training(untrained):
  cell, rows, (model, task, _) = run('position_encodings', untrained)
  assert model.config.position == cell['position'] == 'rotary'
  assert {'accuracy', 'accuracy_longer'} <= {row['metric'] for row in rows}
  learned = {**EXPERIMENTS['position_encodings'].cells('smoke')[-1], 'position': 'learned', 'seeds': [0]}
  rows = list(EXPERIMENTS['position_encodings'].run(learned))  # whose table ends there
  assert 'accuracy_longer' not in {row['metric'] for row in rows}
  assert task.length == 32


@pytest.mark.parametrize('name', [name for name in (*NAMES, 'capacity_map') if name != 'segment_memory'])
def test_every_variant_of_overnight_reads_its_task(name, traced):
  """On a task of smoke, which has few variants."""
  experiment = EXPERIMENTS[name]
  variants, overnight = experiment.variants('overnight'), experiment.common('overnight')
  common = experiment.common('smoke') | {name: overnight[name] for name in ('size', 'depth')}
  assert len(variants) > len(experiment.variants('smoke'))
  for variant in variants:
    rows = list(experiment.run({'block': '', **common, **variant, **experiment.points('smoke')[-1]}))
    assert not misfits(rows)
    assert {'loss', 'accuracy'} <= {row['metric'] for row in rows}
  assert len(traced) == len(variants)


def test_approximations_and_attention_have_the_same_positions_and_norms(traced):
  cells = EXPERIMENTS['approximations'].cells('overnight')
  for task in ('language', 'masked'):
    own = {str(cell): {**cell, 'length': 16} for cell in cells if cell['task'] == task}
    traced.clear()
    for cell in own.values():
      list(EXPERIMENTS['approximations'].run(cell))
    assert len(traced) == len(own) == {'language': 5, 'masked': 2}[task]
    assert len({(model.config.position, model.config.norm) for model in traced}) == 1


def test_linformer_reads_masked_text_beside_an_encoder(untrained):
  cells = EXPERIMENTS['approximations'].cells('smoke')
  assert {c['architecture'] for c in cells if c['task'] == 'masked'} == {'encoder', 'linformer_encoder'}
  assert {c['features'] for c in EXPERIMENTS['approximations'].cells('overnight') if 'features' in c} == {16, 64, 256}
  _, rows, (model, task, _) = run('approximations', untrained, 3)
  assert model.config.mixer == {'features': 16}
  assert rows[0]['features'] == 16
  assert task.spec.kind == 'causal'


def test_shares_of_attention_are_patterns_of_four_layers(untrained):
  _, rows, (model, *_) = run('attention_shares', untrained)
  assert model.config.pattern == ('lstm', 'lstm', 'lstm', 'attention')
  assert {row['attention_layers'] for row in rows} == {1}
  assert [pattern('lstm', count).count('attention') for count in (0, 1, 2, 4)] == [0, 1, 2, 4]


def test_long_lags_write_the_constant_answer_beside(untrained):
  cell, rows, _ = run('long_lags', untrained, 0)
  assert cell['architecture'] == 'transformer'
  assert value(rows, 'baseline') == pytest.approx(1 / 6)


def test_one_key_is_recalled_over_one_lag_for_each_length(untrained):
  cell, rows, (model, task, _) = run('reach', untrained, 0)
  assert model.config.position == cell['position'] == 'rotary'
  accuracies = [(row['length'], row['lag']) for row in rows if row['metric'] == 'accuracy']
  assert accuracies == [(16, 15), (32, 31)]
  batch = at_end(task, 32).arrays('test', np.arange(50))
  assert (batch.inputs[:, 0] == batch.inputs[:, -1]).all()
  assert (batch.targets[:, -1] == batch.inputs[:, 1]).all()
  assert (batch.weights.sum(axis=1) == batch.weights[:, -1]).all()


def test_reach_has_each_encoding_and_others_have_their_own():
  own, named = EXPERIMENTS['reach'].cells('overnight'), EXPERIMENTS['reach'].cells_of('overnight', ['lru', 'lstm'])
  encodings_of = lambda cells, name: [c['position'] for c in cells if c['architecture'] == name and 'matched' not in c]
  assert encodings_of(own, 'transformer') == encodings_of(named, 'transformer') == ['rotary', 'none', 'alibi', 't5']
  assert encodings_of(named, 'lru') == encodings_of(named, 'lstm') == ['']
  assert all(cell in own for cell in named if cell['architecture'] != 'lru')


def test_models_that_recall_everything_are_told_apart_by_their_loss(untrained, monkeypatch):
  monkeypatch.setattr(reach, 'score', lambda *_: {'accuracy': 1.0, 'loss': 0.5})
  _, rows, _ = run('reach', untrained, 0)
  assert {row['selection'] for row in rows if 'selection' in row} == {1 - trained.OF_LOSS * 0.5}


@pytest.mark.parametrize(('wide', 'widths'), [(8, [8, 12]), (16, [8, 12, 16]), (99, [8, 12, 16, 24])])
def test_widths_are_tried_until_the_most_pairs_are_recalled(untrained, monkeypatch, wide, widths):
  del untrained
  experiment = EXPERIMENTS['recall_capacity']
  cell = {**experiment.cells('smoke')[-1], 'tested': [1, 2], 'widths': [8, 12, 16, 24], 'seeds': [0, 1]}

  def score(model, params, task, split):
    del params, split
    return {'accuracy': 0.96 if model.config.width >= wide or task.most_pairs == 1 else 0.2, 'loss': 1.0}

  monkeypatch.setattr(recall_capacity, 'score', score)
  rows = list(experiment.run(cell))
  assert not misfits(rows)
  found = {(row['width'], row['pairs']): row['value'] for row in rows if row['metric'] == 'accuracy'}
  reached = lambda width, pairs: 0.96 if width >= wide or pairs == 1 else 0.2
  assert found == {(width, pairs): reached(width, pairs) for width in widths for pairs in (1, 2)}  # two widths at least
  assert len({row['state_bytes'] for row in rows}) == len(widths)


def test_every_mixer_of_recall_is_of_a_fixed_state_at_every_width(traced, monkeypatch):
  monkeypatch.setattr(recall_capacity, 'score', lambda *_: {'loss': 1.0, 'accuracy': 0.5})
  experiment = EXPERIMENTS['recall_capacity']
  smoke = {'pairs': 2, 'tested': [2], 'vocabulary': 16, 'length': 8, 'seeds': [0], 'rates': [1e-3], 'steps': 4}
  cells = experiment.cells('overnight')
  assert [(cell['architecture'], cell['block']) for cell in cells] == [('transformer', ''), *recall_capacity.MIXERS]
  for cell in cells:
    list(experiment.run({**cell, **smoke}))
    own = traced[-len(cell['widths']) :]
    assert [model.config.width for model in own] == cell['widths']
    for model in own:
      is_fixed = sizing.state_bytes(model, 1, 64) == sizing.state_bytes(model, 1, 8)
      assert is_fixed == (cell['architecture'] != 'transformer')


def test_every_context_is_scored_on_the_same_tokens(untrained):
  cell, rows, (model, task, settings) = run('token_index', untrained)
  assert settings.steps == cell['budgets'][-1] // (cell['batch'] * cell['length'])
  assert (settings.weight_decay, settings.beta2) == (0.1, 0.99)
  last = [row for row in rows if row.get('budget') == cell['budgets'][-1]]
  losses = {row['index']: row['value'] for row in last if row['metric'] == 'loss'}
  assert set(losses) == {16, 32}
  params, indices = model.init(jax.random.key(0)), token_index.windows_of(task, 'test', cell['windows'])
  ids = task.tokens('test')
  for context, loss in losses.items():
    batches = token_index.in_batches(task, 'test', indices)
    found = token_index.window_losses(model, params, task, batches, context)
    assert loss == pytest.approx(found.mean(), rel=1e-5)
    for place in (1, 7, 40):
      end = (indices.ravel()[place] + 1) * task.length
      outputs, _ = jax.jit(model.apply)(params, ids[None, end - context - 1 : end - 1].astype(np.int32))
      logs = np.asarray(jax.nn.log_softmax(outputs[0, -16:]))
      assert found[place] == pytest.approx(-np.mean(logs[np.arange(16), ids[end - 16 : end]]), rel=1e-4)


def test_a_carried_state_is_that_of_one_long_window(untrained):
  cell, rows, (model, task, _) = run('token_index', untrained)
  assert [row['index'] for row in rows if row['metric'] == 'loss_carried'] == [32, 32]
  params, indices = model.init(jax.random.key(0)), token_index.windows_of(task, 'test', cell['windows'])
  carried = token_index.carried_losses(model, params, task, indices).reshape(indices.shape)
  start, length = indices[1, 0] * task.length, 3 * task.length
  ids = task.tokens('test')[start - 1 : start + length].astype(np.int32)
  outputs, _ = jax.jit(model.apply)(params, ids[None, :-1])
  logs = np.asarray(jax.nn.log_softmax(outputs[0, -16:]))
  assert carried[1, 2] == pytest.approx(-np.mean(logs[np.arange(16), ids[-16:]]), rel=1e-4)


def test_a_budget_keeps_the_rate_that_the_first_one_chose(untrained, monkeypatch):
  monkeypatch.setattr(token_index.TokenIndex, 'selection', lambda self, model, trial, task, cell: 0.0)
  experiment = EXPERIMENTS['token_index']
  cell = {**experiment.cells('smoke')[-1], 'rates': [1e-3, 3e-3], 'tuning_seeds': [0], 'contexts': [16], 'windows': 32}
  rows = [row for row in experiment.run(cell) if row['metric'] == 'loss']
  tried = {budget: {row['learning_rate'] for row in rows if row['budget'] == budget} for budget in cell['budgets']}
  assert len(tried[512]) == 3  # two, and one beyond the edge
  assert len(tried[1024]) == 1
  assert {row['seed'] for row in rows if row['budget'] == 1024} == {0, 1}
