"""Exports: the model that is read back computes the same bits; anything else than a whole file of ours is one line."""

import json
import pathlib
import pickle
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

import main
from seqmodels import models
from seqmodels.errors import InputError
from tests.training import toy
from training import exports
from training import workdir as workdirs
from training.checkpoint import Checkpoints
from training.run import build_run
from training.workdir import read_config

ROOT = pathlib.Path(main.__file__).parent
TINY = 'width=8,depth=2,length=8,batch_size=2,steps=2,warmup_steps=0'
SERIES = 'width=8,depth=2,lookback=8,horizon=2,batch_size=2,steps=2,warmup_steps=0'
CONFIGS = {
  'transformer': f'{ROOT}/configs/language.py:transformer,{TINY},unit=character',
  'lstm': f'{ROOT}/configs/language.py:lstm,{TINY},unit=byte,dtype=bfloat16',
  'forecasting': f'{ROOT}/configs/forecasting.py:gru,{SERIES}',
}
CHEAP = ('--config.eval.batch_size=512', '--config.train.eval_every=0')


def train(config, workdir, *flags):
  return main.main(['main.py', '--mode=train', f'--config={config}', f'--workdir={workdir}', *flags])


@pytest.fixture(scope='module', params=CONFIGS)
def exported(request, tmp_path_factory) -> tuple[str, pathlib.Path, pathlib.Path]:
  """The name of a config, the workdir of a run of it, and the file of its parameters."""
  folder = tmp_path_factory.mktemp('export')
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr('train.possible_evaluations', lambda model, task: {})
    assert train(CONFIGS[request.param], folder / 'W', *CHEAP) == 0
  file = folder / 'model.safetensors'
  assert main.main(['main.py', '--mode=export', f'--workdir={folder}/W', f'--output={file}']) == 0
  return request.param, folder / 'W', file


def inputs(spec):
  rng = np.random.default_rng(0)
  if hasattr(spec.input, 'size') and type(spec.input).__name__ == 'Tokens':
    return rng.integers(0, spec.input.size, (2, spec.length)).astype(np.int32)
  return rng.normal(size=(2, spec.length, spec.input.size)).astype(np.float32)


def test_the_logits_are_equal_bit_for_bit(exported):
  name, workdir, file = exported
  loaded, found = workdirs.load(workdir), exports.read_model(file)
  assert found.model.config == loaded.model.config
  assert found.model.spec == loaded.model.spec
  x = inputs(found.model.spec)
  outputs = [
    np.asarray(jax.jit(m.apply)(p, x)[0]) for m, p in ((loaded.model, loaded.params), (found.model, found.params))
  ]
  assert outputs[0].tobytes() == outputs[1].tobytes()
  names = set(safetensors.numpy.load_file(file))
  assert {name.split('/')[1] for name in names if name.startswith('stack/')} == {'block_00', 'block_01'}
  units = found.description['units']
  if name == 'transformer':
    assert len(units['vocabulary']) == found.model.spec.input.size
    assert ''.join(units['vocabulary'][i] for i in loaded.task.encode('The ')) == 'The '
  elif name == 'lstm':
    assert units == {'vocabulary': None}
  else:
    assert np.shape(units['mean']) == np.shape(units['deviation']) == (1, found.model.spec.input.size)


@pytest.mark.parametrize('exported', ['transformer'], indirect=True)
def test_a_run_starts_from_a_file_and_goes_on_without_it(exported, tmp_path):
  name, workdir, file = exported
  config, copy = CONFIGS[name].replace('steps=2', 'steps=1,learning_rate=1e-30'), tmp_path / 'copy.safetensors'
  shutil.copy(file, copy)
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr('train.possible_evaluations', lambda model, task: {})
    assert train(config, tmp_path / 'new', f'--init_from={copy}', *CHEAP) == 0
    copy.unlink()
    longer = config.replace('steps=1', 'steps=2')
    assert train(longer, tmp_path / 'new', f'--init_from={copy}', '--allow_schedule_change', *CHEAP) == 0
  assert read_config(tmp_path / 'new')['train']['init_from'] == str(copy)
  states = []
  for folder in (workdir, tmp_path / 'new'):
    like = build_run(read_config(folder)).abstract_state()
    states.append(Checkpoints(folder / 'checkpoints', read_only=True).restore(2, like).tree.params)
  jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.fixture(scope='module')
def file(tmp_path_factory) -> pathlib.Path:
  """An export of the toy model."""
  model = toy.model(depth=2)
  path = tmp_path_factory.mktemp('toy') / 'model.safetensors'
  config = {'task': {}, 'model': {}, 'train': {}, 'eval': {}}
  exports.write(path, workdirs.Loaded(config, toy.Toy(), model, jax.device_get(model.init(jax.random.key(0))), 7))
  assert sorted(other.name for other in path.parent.iterdir()) == ['model.json', 'model.safetensors']
  return path


def test_every_flipped_byte_is_noticed(file, tmp_path):
  """In the header, which describes the arrays, and in the arrays. None is executed or read as something else."""
  data, model = file.read_bytes(), toy.model(depth=2)
  whole = exports.read_params(file, model)
  noticed = 0
  for position in np.random.default_rng(0).choice(len(data), 60, replace=False):
    (tmp_path / 'x.safetensors').write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
    found, message = None, ''
    try:
      found = exports.read_params(tmp_path / 'x.safetensors', model)
    except InputError as error:
      message = str(error)
    assert '\n' not in message
    noticed += found is None
    if found is not None:  # a byte without a meaning, such as the step in the metadata
      jax.tree.map(np.testing.assert_array_equal, found, whole)
  assert noticed >= 50


def damaged(path, how, data):
  arrays = safetensors.numpy.load(data)
  if how == 'empty':
    path.write_bytes(b'')
  elif how == 'truncated':
    path.write_bytes(data[: len(data) // 2])
  elif how == 'a pickle':
    path.write_bytes(pickle.dumps(Executed()))
  elif how == 'foreign':
    safetensors.numpy.save_file(arrays, path)
  elif how == 'a header of 2^60 bytes':
    path.write_bytes((2**60).to_bytes(8, 'little') + data[8:])
  elif how == 'a folder':
    path.mkdir()


class Executed:
  def __reduce__(self):
    return (pytest.fail, ('a file was executed',))


DAMAGES = {
  'empty': 'is damaged or no safetensors file',
  'truncated': 'is damaged or no safetensors file',
  'a pickle': 'is damaged or no safetensors file',
  'foreign': 'was not written by --mode=export',
  'a header of 2^60 bytes': 'is damaged or no safetensors file',
  'a folder': 'cannot be read',
  'missing': 'cannot be read: No such file or directory',
}


@pytest.mark.parametrize('how', DAMAGES)
def test_a_damaged_or_foreign_file_is_one_line(file, tmp_path, how):
  path = tmp_path / 'x.safetensors'
  damaged(path, how, file.read_bytes())
  with pytest.raises(InputError) as caught:
    exports.read_params(path, toy.model(depth=2))
  assert str(caught.value).startswith(f'train.init_from={path} ')
  assert DAMAGES[how] in str(caught.value)
  assert '\n' not in str(caught.value)


def test_another_model_is_one_line(file):
  with pytest.raises(InputError, match=r'has no array stack/block_02/\S+ and \d+ more: it is of another model$'):
    exports.read_params(file, toy.model(depth=3))
  with pytest.raises(InputError, match=r'has an array stack/block_01/\S+ and \d+ more, which the model does not have'):
    exports.read_params(file, toy.model(depth=1))
  with pytest.raises(
    InputError, match=r'has \S+ as float32\[.*\], the model has float32\[.*\]: it is of another model'
  ):
    exports.read_params(file, toy.model(depth=2, width=16))


def test_a_description_that_is_damaged_is_one_line(file, tmp_path):
  shutil.copy(file, tmp_path / 'model.safetensors')
  with pytest.raises(InputError, match=r'model.json cannot be read: No such file'):
    exports.read_model(tmp_path / 'model.safetensors')
  whole = json.loads(file.with_suffix('.json').read_text())
  for text in ('', '[]', '{}', '{"spec": 3}', json.dumps(whole | {'model': {'pattern': ['lstmm']}}), '\x00'):
    (tmp_path / 'model.json').write_text(text)
    with pytest.raises(InputError, match=r'model.json is not the description of an exported model') as caught:
      exports.read_model(tmp_path / 'model.safetensors')
    assert '\n' not in str(caught.value)
  (tmp_path / 'model.json').write_text(json.dumps(whole))
  found = exports.read_model(tmp_path / 'model.safetensors')
  assert models.count_parameters(found.model) == whole['parameters']


def test_what_the_command_refuses(tmp_path, capsys, monkeypatch):
  def refused(*flags):
    assert main.main(['main.py', *flags]) == 2
    return capsys.readouterr().err

  monkeypatch.chdir(tmp_path)
  assert '--workdir=nowhere holds no trained model' in refused(
    '--mode=export', '--workdir=nowhere', '--output=x.safetensors'
  )
  assert '--output=x.bin must end in .safetensors' in refused(
    '--mode=export', f'--workdir={tmp_path}', '--output=x.bin'
  )
  folder = refused('--mode=export', f'--workdir={tmp_path}', '--output=nope/x.safetensors')
  assert folder == (
    'error: --output=nope/x.safetensors cannot be written: there is no folder nope; allowed: a file in a folder that '
    'exists\n'
  )
  missing = refused('--mode=train', f'--config={CONFIGS["lstm"]}', '--workdir=W', '--init_from=x.safetensors')
  assert missing == 'error: train.init_from=x.safetensors cannot be read: No such file or directory\n'
  both = ('--init_from=x', '--config.train.init_from=x')
  assert 'are the same' in refused('--mode=train', f'--config={CONFIGS["lstm"]}', '--workdir=W', *both)
  assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_leaves_none(file, tmp_path):
  model = toy.model(depth=2)
  loaded = workdirs.Loaded({}, toy.Toy(), model, exports.read_params(file, model), 7)
  (tmp_path / 'model.json').mkdir()  # in the way of the description
  with pytest.raises(InputError, match='cannot be written'):
    exports.write(tmp_path / 'model.safetensors', loaded)
  assert [path.name for path in tmp_path.iterdir()] == ['model.json']
  with pytest.raises(InputError, match='cannot be written'):
    exports.write(tmp_path / 'nowhere' / 'model.safetensors', loaded)
