"""config.json of a workdir: written at once, compared field by field."""

import json

import pytest
from ml_collections import ConfigDict

from seqmodels.errors import InputError
from training import workdir as workdirs

CONFIG = {'task': {'name': 'copying'}, 'model': {'pattern': ['lstm'], 'mixer': {}}, 'train': {'steps': 10}, 'eval': {}}


def changed(**train):
  return {**CONFIG, 'train': {**CONFIG['train'], **train}}


def test_the_same_config_is_accepted_and_more_steps_are_said(tmp_path):
  assert workdirs.check_same_config(tmp_path, CONFIG) == ''
  workdirs.write_config(tmp_path / 'new', CONFIG)
  assert workdirs.read_config(tmp_path / 'new') == CONFIG
  assert workdirs.check_same_config(tmp_path / 'new', CONFIG) == ''
  assert workdirs.check_same_config(tmp_path / 'new', changed(steps=20)) == 'train.steps raised from 10 to 20'


def test_every_differing_field_is_told(tmp_path):
  workdirs.write_config(tmp_path, CONFIG)
  with pytest.raises(InputError) as caught:
    workdirs.check_same_config(tmp_path, changed(steps=5, seed=1))
  assert str(caught.value) == (
    f"--workdir={tmp_path} was made with another config: train.seed is 'absent' there and 1 now; "
    'train.steps is 10 there and 5 now'
  )


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
