"""config.json of a workdir: written at once, compared field by field."""

import dataclasses
import json

import jax
import pytest
from ml_collections import ConfigDict

import tasks
from seqmodels.errors import InputError
from tests.training import toy
from training import workdir as workdirs

CONFIG = {'task': {'name': 'copying'}, 'model': {'pattern': ['lstm'], 'mixer': {}}, 'train': {'steps': 10}, 'eval': {}}


def changed(**train):
  return {**CONFIG, 'train': {**CONFIG['train'], **train}}


def test_the_same_config_is_accepted_and_more_steps_are_said(tmp_path):
  assert workdirs.check_same_config(tmp_path, CONFIG) == ''
  constant = changed(schedule='constant')
  workdirs.write_config(tmp_path / 'new', constant)
  assert workdirs.read_config(tmp_path / 'new') == constant
  assert workdirs.check_same_config(tmp_path / 'new', constant, step=10) == ''
  more = workdirs.check_same_config(tmp_path / 'new', changed(steps=20, schedule='constant'), step=10)
  assert more == 'train.steps is raised from 10 to 20'


def test_a_field_that_was_not_there_had_its_default(tmp_path):
  workdirs.write_config(tmp_path, CONFIG)
  now = {**CONFIG, 'task': {'name': 'copying', 'lag': tasks.make('copying', {}).lag}}
  assert workdirs.check_same_config(tmp_path, now, step=10) == ''
  other = {**CONFIG, 'task': {'name': 'copying', 'lag': 3}}
  with pytest.raises(InputError, match=r'task\.lag is \d+ there and 3 now$'):
    workdirs.check_same_config(tmp_path, other, step=10)


def test_what_only_says_how_a_model_is_computed_may_change(tmp_path):
  before = {**changed(schedule='constant'), 'model': {**CONFIG['model'], 'layers': 'unroll', 'width': 8}}
  workdirs.write_config(tmp_path, before)
  scanned = {**before, 'model': {**before['model'], 'layers': 'scan'}}
  assert workdirs.check_same_config(tmp_path, scanned, step=10) == 'model.layers is scan now, before unroll'
  refused_elsewhere = {**before, 'model': {**before['model'], 'bidirectional': True}}  # the default before was False
  assert 'bidirectional is True now' in workdirs.check_same_config(tmp_path, refused_elsewhere, step=10)
  longer = {**scanned, 'train': {'steps': 20, 'schedule': 'constant'}}
  said = 'model.layers is scan now, before unroll; train.steps is raised from 10 to 20'
  assert workdirs.check_same_config(tmp_path, longer, step=10) == said
  wider = {**scanned, 'model': {**scanned['model'], 'width': 16}}
  with pytest.raises(InputError, match=r'made with another config: model.width is 8 there and 16 now$'):
    workdirs.check_same_config(tmp_path, wider, step=10)


def test_more_steps_that_move_the_learning_rate_must_be_allowed(tmp_path):
  workdirs.write_config(tmp_path, changed(learning_rate=0.1))
  longer = changed(learning_rate=0.1, steps=20)
  said = 'train.steps is raised from 10 to 20, which moves the learning rate at step 10 from 0.01 to 0.055'
  with pytest.raises(InputError, match=f'^{said}; allow it with --allow_schedule_change'):
    workdirs.check_same_config(tmp_path, longer, step=10)
  assert workdirs.check_same_config(tmp_path, longer, step=10, allow_schedule_change=True) == said
  with pytest.raises(InputError, match=r'train.steps is 10 there and 5 now'):
    workdirs.check_same_config(tmp_path, changed(learning_rate=0.1, steps=5), step=10, allow_schedule_change=True)


def test_a_start_that_saved_nothing_binds_nobody(tmp_path):
  """A run that failed before its first checkpoint: the corrected command takes its place."""
  workdirs.write_config(tmp_path, changed(batch_size=4096))
  (tmp_path / 'checkpoints').mkdir()
  note = workdirs.check_config(tmp_path, changed(batch_size=32), toy.Toy())
  assert note == f'{tmp_path} holds no checkpoint: its config is replaced (train.batch_size)'
  (tmp_path / 'checkpoints' / '3').mkdir()
  with pytest.raises(InputError, match=r'train.batch_size is 4096 there and 32 now'):
    workdirs.check_config(tmp_path, changed(batch_size=32), toy.Toy())


@dataclasses.dataclass(frozen=True)
class Identified(toy.Toy):
  content: str = 'crc 1'

  def identity(self):
    return {'dataset': 'toy', 'content': self.content}


def test_other_data_is_refused_and_the_run_says_what_produced_it(tmp_path, monkeypatch):
  monkeypatch.setattr('sys.argv', ['main.py', '--mode=train', '--config=a b'])
  model = toy.model()
  workdirs.write_provenance(tmp_path, model, Identified(), 0)
  workdirs.write_provenance(tmp_path, model, Identified(), 7)
  first, second = workdirs.read_provenance(tmp_path)
  assert (first['step'], second['step']) == (0, 7)
  assert first['model']['width'] == 8
  assert first['model']['parameters'] == sum(leaf.size for leaf in jax.tree.leaves(model.abstract_params))
  assert first['command'].endswith("main.py --mode=train '--config=a b'")
  assert first['versions']['jax'] == jax.__version__
  assert {'commit', 'device', 'device_kind', 'devices', 'host', 'time'} <= first.keys()
  workdirs.check_data(tmp_path, Identified())
  with pytest.raises(InputError, match="the data are not those of the run: content was 'crc 1' and is 'crc 2'"):
    workdirs.check_data(tmp_path, Identified(content='crc 2'))
  (tmp_path / 'provenance.json').write_bytes(b'\xff[')
  assert workdirs.read_provenance(tmp_path) == []
  workdirs.check_data(tmp_path, Identified(content='crc 2'))


def test_a_config_dict_is_what_json_gives_back():
  config = ConfigDict({'model': {'pattern': ('a', 'b')}})
  assert workdirs.plain(config) == {'model': {'pattern': ['a', 'b']}} == json.loads(json.dumps(workdirs.plain(config)))


def test_a_workdir_without_checkpoints(tmp_path):
  config = {**CONFIG, 'model': {'pattern': ['gru'], 'width': 4, 'depth': 1}}
  workdirs.write_config(tmp_path, config)
  with pytest.raises(InputError, match='checkpoints does not exist: nothing has been trained there'):
    workdirs.load(tmp_path)
  (tmp_path / 'checkpoints').mkdir()
  with pytest.raises(InputError, match='holds no checkpoint yet'):
    workdirs.load(tmp_path)


def test_bad_workdirs(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(InputError, match='cannot be written: Not a directory'):
    workdirs.write_config(tmp_path / 'file' / 'run', CONFIG)
  with pytest.raises(InputError, match='cannot be written: it is a file'):
    workdirs.write_config(tmp_path / 'file', CONFIG)
  with pytest.raises(InputError, match='holds no trained model'):
    workdirs.read_config(tmp_path)
  for damaged in (b'{"task"', b'\xff\xfe'):
    (tmp_path / 'config.json').write_bytes(damaged)
    with pytest.raises(InputError, match='is damaged'):
      workdirs.read_config(tmp_path)
  (tmp_path / 'config.json').write_text('{"task": 1, "model": 2, "train": 3, "eval": 4}')
  with pytest.raises(InputError, match='must have the sections task, model, train, eval'):
    workdirs.read_config(tmp_path)
  (tmp_path / 'checkpoints').write_text('')
  with pytest.raises(InputError, match='checkpoints is in the way: it must be a folder'):
    workdirs.check_entries(tmp_path)
  (tmp_path / 'config.json').write_text('{"task": {}}')
  with pytest.raises(InputError, match='must have the sections task, model, train, eval'):
    workdirs.read_config(tmp_path)
