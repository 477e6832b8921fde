"""Any architecture on any task, from one argument."""

import pytest

import configs.base
from configs.architectures import ARCHITECTURES, names
from seqmodels.config import from_dict
from seqmodels.errors import InputError
from tasks import TASKS


@pytest.mark.parametrize('task', sorted(TASKS))
def test_every_architecture_makes_a_config_for_every_task(task):
  module = __import__(f'configs.{task}', fromlist=['get_config'])
  for name in names():
    config = module.get_config(name)
    assert config.task.name == task
    from_dict(config.model.to_dict())


def test_keys_need_no_prefix_and_take_the_type_of_the_field():
  config = configs.base.make(
    'language', 'lstm,params=1e6,steps=5,length=64,batch_size=8,learning_rate=1,tie_embeddings=True'
  )
  assert (config.model.params, config.train.steps, config.task.length) == (1e6, 5, 64)
  assert (config.train.batch_size, config.train.learning_rate, config.model.tie_embeddings) == (8, 1.0, True)
  config = configs.base.make('copying', 'transformer,pattern=lstm+attention,heads=2')
  assert config.model.pattern == ('lstm', 'attention')


def test_a_mixers_own_option_reaches_the_mixer():
  config = configs.base.make('copying', 'lstm,implementation=scan')
  assert config.model.mixer.implementation == 'scan'


@pytest.mark.parametrize(
  ('arg', 'message'),
  [
    ('', 'needs an architecture'),
    ('lsmt', "architecture='lsmt' is not known; nearest: lstm"),
    ('lstm,widht=3', "--config key='widht' is not known; nearest: width"),
    ('lstm,width', "'width' must be key=value"),
    ('lstm,width=wide', "--config width='wide' must be of type int"),
    ('lstm,pattern=lstm+atention', "model.pattern='atention' is not known; nearest: attention"),
  ],
)
def test_bad_arguments_are_one_clear_line(arg, message):
  with pytest.raises(InputError) as caught:
    configs.base.make('copying', arg)
  assert message in str(caught.value)


def test_controls_differ_only_in_the_block():
  for name in ('rnn', 'lstm', 'gru'):
    classical, residual = ARCHITECTURES[name], ARCHITECTURES[f'{name}_residual']
    assert classical['pattern'] == residual['pattern']
    assert (classical['block'], residual['block']) == ('plain', 'residual')
