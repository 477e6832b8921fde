"""Grids of trials: every trial is written, rates are added at the edge, a trial that diverged has no score."""

import math
import os
from typing import ClassVar

import numpy as np
import pytest

from commands import compare
from comparison.claims.base import tuned
from comparison.experiments import EXPERIMENTS, grid
from comparison.experiments.base import SCALES
from comparison.experiments.grid import Checkpoint, EarlyStopped, Grid, Trials
from comparison.experiments.task_quality import ARCHITECTURES, TaskQuality
from comparison.experiments.trained import Trial, scored_test
from comparison.experiments.variants import Variant
from comparison.report import task_quality
from configs import named
from seqmodels.errors import InputError
from seqmodels.models import count_parameters
from tasks import TASKS
from tasks.copying import Copying


class Copies(Grid):
  """An RNN that copies one symbol; trials are made up: the loss is the distance from the best rate."""

  name = 'copies'
  best = 1e-2
  lost: ClassVar[dict] = {}  # rate → the seeds with which it diverges

  def variants(self, scale):
    return [{'architecture': 'rnn'}]

  def points(self, scale):
    return [{'lag': 3}]

  def common(self, scale):
    return {'size': 6e3, 'depth': 1, 'batch': 4, 'steps': 5, 'rates': [1e-3, 3e-3], 'seeds': [0, 1]}

  def task(self, cell):
    return Copying(symbols=4, items=1, lag=cell['lag'], evaluation_examples=8)


@pytest.fixture
def made_up(monkeypatch):
  """Trials that take no time. The largest rate diverges for one seed."""

  class Trainer:
    def __init__(self, model, task, settings):
      assert settings.steps == 5
      self.model = model

    def run(self, rate, seed):
      distance = abs(math.log10(rate / Copies.best)) + 0.01 * seed
      is_lost = (rate > 0.09 and seed) or seed in Copies.lost.get(rate, ())
      return Trial({'distance': distance}, np.full(20, distance, np.float32), finite=not is_lost)

  monkeypatch.setattr(grid, 'Trainer', Trainer)
  monkeypatch.setattr(grid, 'score', lambda model, params, task, split: {'loss': params['distance'], 'accuracy': 0.5})
  scores = lambda model, params, task: {'loss': (params['distance'], [1.0, 2.0]), 'accuracy': (0.5, [])}
  monkeypatch.setattr(grid, 'scored_test', scores)


def run(experiment):
  (cell,) = experiment.cells('smoke')
  return list(experiment.run(cell))


def losses(rows):
  return [row for row in rows if row['metric'] == 'loss']


@pytest.mark.usefixtures('made_up')
def test_every_trial_is_written_and_rates_are_added_while_the_best_ends_the_grid(monkeypatch):
  rows = run(Copies())
  assert {row['learning_rate'] for row in rows} == {1e-3, 3e-3, 9.49e-3, 3e-2}  # 9.49e-3 is the best, and not the last
  assert {tuple(row['rates']) for row in rows} == {(1e-3, 3e-3, 9.49e-3, 3e-2)}
  assert len(losses(rows)) == 4 * 2
  kept = tuned(losses(rows), 'architecture')
  assert {row['learning_rate'] for row in kept} == {9.49e-3}
  assert {row['seed'] for row in kept} == {0, 1}
  assert {row['unit'] for row in losses(rows)} == {'nats'}
  monkeypatch.setattr(Copies, 'best', 1e-9)  # out of reach: two more rates, and no further
  assert len({row['learning_rate'] for row in run(Copies())}) == 2 + grid.MOST_ADDED


@pytest.mark.usefixtures('made_up')
def test_a_trial_keeps_the_course_of_its_training_loss():
  rows = [row for row in run(Copies()) if row['metric'] == 'train_loss']
  for row in rows:
    assert row['curve'] == [pytest.approx(row['value'], rel=1e-3)] * grid.BINS
  assert not any('curve' in row for row in run(Copies()) if row['metric'] != 'train_loss')


def test_a_score_stands_beside_its_values_on_parts_of_the_test():
  """A real trial: the parts, weighed by their examples, make the whole."""
  rows = run(Copies())
  for metric in ('loss', 'accuracy'):
    found = [row for row in rows if row['metric'] == metric]
    assert found
    for row in found:
      assert len(row['parts']) == 8  # examples
      assert np.mean(row['parts']) == pytest.approx(row['value'], rel=1e-4)
  assert not any('parts' in row for row in rows if row['metric'] not in ('loss', 'accuracy'))


class StoppedCopies(EarlyStopped, Copies):
  """The same, stopped early."""


def test_the_score_is_that_of_the_update_with_the_best_validation_loss():
  """Of a real trial at a rate so large that its first updates make it worse."""
  experiment = StoppedCopies()
  (cell,) = experiment.cells('smoke')
  cell = {**cell, 'seeds': [0], 'rates': [3e-1]}
  model = Variant('rnn').build(experiment.task(cell).spec, params=cell['size'], depth=1)
  trial = experiment.trainer(model, experiment.task(cell), cell).run(3e-1, 0)
  losses = {update: point.validation for update, point in trial.scores.items()}
  assert list(losses) == [1, 2, 3, 4, 5]
  best = min(losses, key=losses.get)
  value, unit, beside = experiment.scores(model, trial, experiment.task(cell), cell)['loss']
  assert (value, unit, beside['stopped']) == (trial.scores[best].test['loss'][0], 'nats', best)
  assert beside['parts'] == trial.scores[best].test['loss'][1]
  assert beside['checkpoints'] == pytest.approx([p.test['loss'][0] for p in trial.scores.values()], rel=1e-4)
  assert experiment.selection(model, trial, experiment.task(cell), cell) == -losses[best]
  last = scored_test(model, trial.params, experiment.task(cell))
  assert trial.scores[5].test['loss'][0] == pytest.approx(last['loss'][0])


def test_a_model_that_overfits_is_stopped_before_its_end():
  course = {2: (1.5, 2.5), 4: (1.2, 2.1), 6: (1.4, 3.0)}  # of validation and of the test
  scores = {update: Checkpoint(v, {'loss': (t, [t]), 'accuracy': (0.5, [])}) for update, (v, t) in course.items()}
  trial = Trial({}, np.ones(6, np.float32), finite=True, scores=scores)
  value, _, beside = StoppedCopies().scores(None, trial, None, {})['loss']
  assert (value, beside['stopped'], beside['checkpoints']) == (2.1, 4, [2.5, 2.1, 3.0])
  assert StoppedCopies().selection(None, trial, None, {}) == -1.2


@pytest.mark.usefixtures('made_up')
def test_a_trial_that_diverged_has_no_score(monkeypatch):
  monkeypatch.setattr(Copies, 'best', 1.0)
  monkeypatch.setattr(Copies, 'common', lambda self, scale: {**COMMON, 'rates': [1e-2, 3e-2, 1e-1]})
  rows = run(Copies())
  diverged = {(row['learning_rate'], row['seed']): row['value'] for row in rows if row['metric'] == 'diverged'}
  assert diverged[1e-1, 1] == 1
  assert diverged[1e-1, 0] == diverged[3e-2, 1] == 0
  assert {(row['learning_rate'], row['seed']) for row in losses(rows)} >= {(1e-1, 0), (3e-2, 0), (3e-2, 1)}
  assert (1e-1, 1) not in {(row['learning_rate'], row['seed']) for row in losses(rows)}
  assert {row['selection'] for row in rows if row['learning_rate'] == 1e-1} == {None}


@pytest.mark.usefixtures('made_up')
def test_only_the_best_rate_is_trained_with_all_seeds_where_some_tune(monkeypatch):
  monkeypatch.setattr(Copies, 'common', lambda self, scale: {**COMMON, 'seeds': [0, 1, 2], 'tuning_seeds': [1]})
  rows = losses(run(Copies()))
  tried = {rate: {row['seed'] for row in rows if row['learning_rate'] == rate} for rate in rows[0]['rates']}
  assert tried == {1e-3: {1}, 3e-3: {1}, 9.49e-3: {0, 1, 2}, 3e-2: {1}}
  kept = tuned(rows, 'architecture')
  assert {(row['learning_rate'], row['seed']) for row in kept} == {(9.49e-3, seed) for seed in (0, 1, 2)}
  assert len({row['selection'] for row in kept}) == 1  # of the seed that tuned


@pytest.mark.usefixtures('made_up')
def test_a_rate_that_diverges_with_a_seed_that_did_not_tune_it_gives_way_to_the_next_best(monkeypatch):
  monkeypatch.setattr(Copies, 'common', lambda self, scale: {**COMMON, 'seeds': [0, 1, 2], 'tuning_seeds': [1]})
  monkeypatch.setattr(Copies, 'lost', {9.49e-3: [2]})
  rows = losses(run(Copies()))
  tried = {rate: {row['seed'] for row in rows if row['learning_rate'] == rate} for rate in rows[0]['rates']}
  assert tried == {1e-3: {1}, 3e-3: {1}, 9.49e-3: {0, 1}, 3e-2: {0, 1, 2}}
  assert {row['selection'] for row in rows if row['learning_rate'] == 9.49e-3} == {None}
  assert {(row['learning_rate'], row['seed']) for row in tuned(rows, 'architecture')} == {
    (3e-2, 0),
    (3e-2, 1),
    (3e-2, 2),
  }


@pytest.mark.usefixtures('made_up')
def test_where_every_rate_diverges_nothing_is_kept(monkeypatch):
  monkeypatch.setattr(Copies, 'lost', {rate: [1] for rate in (1e-3, 3e-3, 3.16e-4, 1e-4)})
  rows = run(Copies())
  assert {row['seed'] for row in losses(rows)} == {0}
  assert tuned(losses(rows), 'architecture') == []


COMMON = Copies().common('smoke')


@pytest.mark.parametrize(('task', 'kind'), [('reversal', 'seq2seq'), ('adding', 'causal')])
def test_tasks_are_measured_with_the_architectures_that_can(task, kind):
  cells = TaskQuality([task]).cells('smoke')
  assert tuple(cell['architecture'] for cell in cells) == ARCHITECTURES[kind]
  named = TaskQuality([task, 'copying']).cells_of('smoke', ['lru'])
  assert [(cell['task'], cell['architecture']) for cell in named] == [
    (name, architecture)
    for name, references in ((task, ARCHITECTURES[kind][:2]), ('copying', ARCHITECTURES['causal'][:2]))
    for architecture in (*references, 'lru')
  ]


@pytest.mark.parametrize('task', sorted(TASKS))
def test_every_task_can_be_trained_and_evaluated(task):
  experiment = TaskQuality([task])
  for cell in experiment.cells('smoke'):
    assert experiment.settings(cell).batch_size == cell['batch']
    assert not experiment.evaluation(cell).segment


def test_a_task_may_have_other_data_and_options():
  word = 'forecasting:dataset=seasonal:lookback=48:steps=7'
  cell, *_ = TaskQuality([word]).cells('smoke')
  assert (cell['task'], cell['steps'], cell['options']['lookback']) == (word, 7, 48)
  assert TaskQuality().task(cell).lookback == 48
  assert named.read('language:dataset=tfds:lm1b:unit=byte') == ('language', ['dataset=tfds:lm1b', 'unit=byte'])
  for wrong in ('forecasting:width=8', 'forecasting:learning_rate=1'):
    with pytest.raises(InputError, match=r'--tasks=forecasting:\w+=\d: \w+ is no setting of forecasting that'):
      named.config(wrong, 'lstm', 'smoke')


REAL = ('enwik8', 'ptb', 'tinyshakespeare', 'ETTh1', 'ETTm1', 'spoken_digits', 'multi30k', 'moving_mnist')


OF_TRAINING = ('batch', 'steps', 'rates', 'seeds', 'tuning_seeds')
OF_MODEL = ('architecture', 'block', 'fields', 'size', 'depth')


@pytest.fixture(scope='module')
def found():
  """Numbers of parameters by what decides them: experiments have models in common."""
  return {}


@pytest.mark.parametrize('experiment', [e for e in EXPERIMENTS.values() if isinstance(e, Trials)], ids=lambda e: e.name)
def test_every_size_can_be_met_by_every_architecture(experiment, found):
  sizes, specs = {}, {}
  # Those of smoke runs are built where such runs are tested.
  for cell in (cell for scale in SCALES if scale != 'smoke' for cell in experiment.cells(scale) if 'size' in cell):
    sizes[cell['architecture'], cell['block'], cell['size'], cell['depth']] = cell
  missing = 0
  for cell in sizes.values():
    fields = {**cell.get('fields', {}), **experiment.fields(cell)}
    variant = Variant(cell['architecture'], '', cell['block'], fields=fields)
    if cell.get('dataset') in REAL and not os.environ.get('SEQMODELS_DOWNLOADS_DIR'):
      missing += 1
      continue
    of_task = repr({name: value for name, value in cell.items() if name not in (*OF_MODEL, *OF_TRAINING)})
    if of_task not in specs:  # some make sub-words of their data
      specs[of_task] = experiment.task(cell).spec
    key = repr((variant, specs[of_task], cell['size'], cell['depth']))
    if key not in found:
      model = variant.build(specs[of_task], params=cell['size'], depth=cell['depth'])
      found[key] = count_parameters(model, embedding=False)
    assert found[key] == pytest.approx(cell['size'], rel=0.02)
  if missing:
    pytest.skip(f'{missing} of {len(sizes)} models need data that has not been downloaded')


def test_the_table_has_every_metric_model_and_baseline():
  identity = {'experiment': 'task_quality', 'task': 'adding', 'metric': 'test mse', 'size': 3e4}
  rows = [
    {**identity, 'architecture': 'gru', 'block': '', 'value': v + s / 10, 'learning_rate': r, 'rates': [1e-3, 3e-3],
     'selection': -v, 'seed': s}
    for r, v in ((1e-3, 0.5), (3e-3, 0.1)) for s in (0, 1)
  ]  # fmt: skip
  rows.append({**identity, 'metric': 'baseline', 'scored': 'test mse', 'baseline': 'constant', 'value': 0.1767})
  table = task_quality.table(rows)
  assert table.rows[0][:3] == ('adding', 'test mse', 'gru')
  assert table.rows[0][3].startswith('0.15 [')
  assert table.rows[0][4:] == ('0.1', '0.003 (edge)', '4', '30k')
  assert table.rows[1][2:4] == ('no model: constant', '0.177')


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'tasks': ['ading']}, 'ading'),
    ({'tasks': ['adding'], 'experiments': ['order']}, '--tasks has no effect on order'),
  ],
)
def test_bad_tasks_are_refused(tmp_path, options, message):
  with pytest.raises(InputError, match=message):
    compare.main('smoke', str(tmp_path / 'new'), **options)
  assert not (tmp_path / 'new').exists()
