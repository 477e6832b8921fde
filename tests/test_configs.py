"""Any architecture on any task, from one argument."""

import math

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import configs.base
from configs.architectures import ARCHITECTURES, names
from seqmodels.config import from_dict
from seqmodels.errors import InputError
from seqmodels.mixers import mixer_options, parse_entry
from seqmodels.mixers.attention import choose_heads
from seqmodels.models import build, count_parameters
from seqmodels.spec import Spec, Tokens
from tasks import TASKS
from training.settings import eval_settings, train_settings
from training.workdir import make_task


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
  config = configs.base.make('copying', 'lstm,implementation=reference')
  assert config.model.mixer.implementation == 'reference'


ENCODERS = ('bilstm', 'encoder', 'linformer_encoder')


@pytest.fixture
def no_draws(monkeypatch):
  """Parameters that nobody draws are counted in half the time."""
  zeros = lambda key, shape=(), dtype=jnp.float32, **_: jnp.zeros(shape, jnp.float32)
  for draw in ('normal', 'uniform'):
    monkeypatch.setattr(jax.random, draw, zeros)
  for make in ('lecun_normal', 'orthogonal'):
    monkeypatch.setattr(nnx.initializers, make, lambda: zeros)


@pytest.mark.usefixtures('no_draws')
@pytest.mark.parametrize('name', ARCHITECTURES)
def test_every_named_architecture_meets_a_budget_at_a_friendly_width(name):
  tokens = Tokens(11)
  for budget in (1e5, 1e7):
    config = from_dict(configs.base.make('copying', f'{name},params={budget:g}').model.to_dict())
    kind = 'seq2seq' if config.encoder_pattern else 'encode' if name in ENCODERS else 'causal'
    more = {'source': tokens, 'source_length': 64} if config.encoder_pattern else {}
    spec = Spec(kind, tokens, tokens, 64, **more)
    off = lambda model, budget=budget: abs(count_parameters(model, embedding=False) / budget - 1)
    model = build(config, spec)
    assert off(model) <= 0.02
    width = model.config.width
    if config.feedforward:
      assert width % 8 == 0
      assert abs(math.log(model.config.feedforward / config.feedforward)) <= math.log(1.6)
      if any('heads' in mixer_options(parse_entry(entry)[0]) for entry in config.pattern):
        assert width // choose_heads(width) % 8 == 0
    elif width % 8:  # then neither of the multiples next to it meets the budget
      for near in (width // 8 * 8, width // 8 * 8 + 8):
        assert off(build(config.replace(params=0.0, width=near), spec)) > 0.02


def test_patterns_repeat_entries_and_fix_options_of_their_mixers():
  arg = 'lstm,pattern=gru*2+conv:dilation=2,dilation=5,kernel_size=3,implementation=reference'
  with pytest.raises(InputError, match="key='dilation' is not known"):
    configs.base.make('copying', arg)
  config = from_dict(configs.base.make('copying', arg.replace('dilation=5,', '')).model.to_dict())
  assert config.pattern == ('gru', 'gru', 'conv:dilation=2')
  assert config.depth == 3
  network = build(config, Spec('causal', Tokens(5), Tokens(5), 8)).network()
  assert [network.stack.block(i).mixer.forward.implementation for i in range(2)] == ['reference', 'reference']
  convolution = network.stack.block(2).mixer.forward
  assert (convolution.dilation, convolution.taps.shape[0]) == (2, 3)


def test_the_dilation_of_the_tcn_doubles_from_layer_to_layer():
  config = from_dict(configs.base.make('copying', 'tcn,depth=8').model.to_dict())
  network = build(config, Spec('causal', Tokens(5), Tokens(5), 8)).network()
  assert [network.stack.block(i).mixer.forward.dilation for i in range(8)] == [1, 2, 4, 8] * 2


@pytest.mark.parametrize(
  ('arg', 'message'),
  [
    ('', 'needs an architecture'),
    ('lsmt', "architecture='lsmt' is not known; nearest: lstm"),
    ('lstm,widht=3', "--config key='widht' is not known; nearest: width"),
    ('lstm,width', "'width' must be key=value"),
    ('lstm,width=wide', "--config width='wide' must be of type int"),
    ('lstm,pattern=lstm+atention', "model.pattern='atention' is not known; nearest: attention"),
    ('lstm,pattern=conv:dilatation=2', "option of conv='dilatation' is not known; nearest: dilation"),
    ('lstm,pattern=conv:dilation', "'conv:dilation' must be mixer:option=value"),
    ('lstm,pattern=', 'model.pattern is empty'),
  ],
)
def test_bad_arguments_are_one_clear_line(arg, message):
  with pytest.raises(InputError) as caught:
    configs.base.make('copying', arg)
  assert message in str(caught.value)


def test_transformer_xl_reads_segments_with_a_memory_where_sequences_go_on():
  for arg, expected in (
    ('transformer_xl,length=32', (32, 32)),
    ('transformer_xl,length=32,memory=96', (32, 96)),
    ('transformer_xl,length=32,segment=8', (8, 32)),
    ('transformer_xl,segment=0', (0, 0)),
    ('transformer_xl,objective=masked', (0, 0)),
    ('transformer', (0, 0)),
  ):
    config = configs.base.make('language', arg).to_dict()
    task = make_task(config)
    train = train_settings(config['train']).for_task(task)
    assert (train.segment, train.memory) == expected
    reads = eval_settings(config['eval']).for_task(task).segment
    assert reads == (task.length if train.segment or arg.endswith('segment=0') else 0)
  config = configs.base.make('copying', 'transformer_xl').to_dict()
  assert train_settings(config['train']).for_task(make_task(config)).segment == 0


def test_controls_differ_only_in_the_block():
  for name in ('rnn', 'lstm', 'gru'):
    classical, residual = ARCHITECTURES[name], ARCHITECTURES[f'{name}_residual']
    assert classical['pattern'] == residual['pattern']
    assert (classical['block'], residual['block']) == ('plain', 'residual')
