"""Writers: which there are, and Weights & Biases by a module that records its calls."""

import pathlib
import sys

import pytest

from seqmodels.errors import InputError
from training import writers
from training.metrics import MetricsWriter, read_rows
from training.settings import TrainSettings

FAKE = '''
"""A stand-in for Weights & Biases."""
import os
calls = []
class Run:
  def define_metric(self, *arguments, **named): calls.append(('define_metric', arguments, named))
  def log(self, values):
    if os.environ.get('WANDB_FAILS') == 'log': raise ConnectionError('no\\nroute')
    calls.append(('log', values))
  def finish(self): calls.append(('finish',))
def init(**named):
  if os.environ.get('WANDB_FAILS') == 'init': raise RuntimeError('api_key not\\nconfigured')
  calls.append(('init', named))
  return Run()
'''


@pytest.fixture
def wandb(tmp_path, monkeypatch):
  """The module, found on the path."""
  folder = tmp_path / 'site'
  folder.mkdir()
  (folder / 'wandb.py').write_text(FAKE)
  monkeypatch.syspath_prepend(folder)
  monkeypatch.delitem(sys.modules, 'wandb', raising=False)
  import wandb

  yield wandb
  sys.modules.pop('wandb', None)


ALL = ('jsonl', 'tensorboard', 'wandb')


def test_weights_and_biases_gets_what_the_others_get(wandb, tmp_path):
  workdir = tmp_path / 'W'
  workdir.mkdir()
  writer = MetricsWriter(workdir, 0, writers=ALL, config={'train': {'steps': 3}})
  writer.write(1, 'train', {'loss': 0.5})
  writer.write_timings(1, 'train', {'tokens_per_second': 9.0})
  writer.close()
  (_, settings), define, *logged, end = wandb.calls
  assert (settings['config'], settings['resume'], settings['dir']) == ({'train': {'steps': 3}}, 'allow', str(workdir))
  assert define == ('define_metric', ('*',), {'step_metric': 'step'})
  values = [{'step': 1, 'train/loss': 0.5}, {'step': 1, 'train/tokens_per_second': 9.0}]
  assert [value for _, value in logged] == values
  assert end == ('finish',)
  assert read_rows(workdir / 'metrics.jsonl') == [{'step': 1, 'split': 'train', 'loss': 0.5}]
  assert read_rows(workdir / 'timings.jsonl') == [{'step': 1, 'split': 'train', 'tokens_per_second': 9.0}]
  # A run that goes on is the same run there.
  wandb.calls.clear()
  MetricsWriter(workdir, 1, writers=ALL).close()
  assert wandb.calls[0][1]['id'] == settings['id']
  assert ('log', {'step': 1, 'train/loss': 0.5}) in wandb.calls


def test_what_weights_and_biases_refuses_is_one_line(wandb, tmp_path, monkeypatch):
  monkeypatch.setenv('WANDB_FAILS', 'init')
  with pytest.raises(InputError) as caught:
    MetricsWriter(tmp_path, 0, writers=ALL)
  assert str(caught.value).startswith(
    'train.writers=wandb: api_key not configured; log in first, set WANDB_MODE=offline'
  )


def test_a_lost_connection_does_not_end_the_run(wandb, tmp_path, monkeypatch, logged):
  writer = MetricsWriter(tmp_path, 0, writers=ALL)
  monkeypatch.setenv('WANDB_FAILS', 'log')
  for step in (1, 2):
    writer.write(step, 'train', {'loss': 0.5})
  writer.close()
  assert [record.message for record in logged.records] == ['Weights & Biases gets nothing more of this run: no route']
  assert len(read_rows(tmp_path / 'metrics.jsonl')) == 2


def test_a_writer_that_is_unknown_missing_or_not_installed_is_one_line(monkeypatch):
  with pytest.raises(
    InputError, match=r"^train.writers='tensorbord' is not known; nearest: tensorboard; allowed: jsonl"
  ):
    TrainSettings(writers=('jsonl', 'tensorbord'))
  with pytest.raises(InputError, match=r'^train.writers=tensorboard must name jsonl'):
    TrainSettings(writers=('tensorboard',))
  with pytest.raises(InputError, match=r'^train.writers=jsonl,jsonl must name each writer once'):
    TrainSettings(writers=('jsonl', 'jsonl'))
  monkeypatch.setattr(writers.importlib.util, 'find_spec', lambda name: None)
  writers.check_installed(('jsonl', 'tensorboard'))
  with pytest.raises(InputError, match=r'^train.writers=wandb needs the package wandb, which is not installed'):
    writers.check_installed(ALL)


def test_without_tensorboard_there_is_no_folder_of_it(tmp_path):
  MetricsWriter(tmp_path, 0, writers=('jsonl',)).close()
  assert {path.name for path in tmp_path.iterdir()} == {'metrics.jsonl', 'timings.jsonl'}


def test_a_torn_line_of_timings_is_ended(tmp_path):
  pathlib.Path(tmp_path / 'timings.jsonl').write_text('{"step": 1, "spl')
  writer = MetricsWriter(tmp_path, 0)
  writer.write_timings(2, 'train', {'x': 1.0})
  writer.close()
  assert read_rows(tmp_path / 'timings.jsonl') == [{'step': 2, 'split': 'train', 'x': 1.0}]
