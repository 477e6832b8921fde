"""Any architecture on any task, from one argument."""

import math
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import configs.base
from configs.architectures import ARCHITECTURES, names
from seqmodels.config import from_dict
from seqmodels.errors import InputError
from seqmodels.layers.heads import choose_heads
from seqmodels.mixers import MIXERS, mixer_options, parse_entry
from seqmodels.models import build, count_parameters
from seqmodels.spec import Spec, Tokens
from tasks import TASKS
from training.settings import eval_settings, train_settings
from training.workdir import make_task

ROOT = pathlib.Path(configs.base.__file__).parent.parent


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
  config = configs.base.make('copying', 'transformer,decode=full')
  assert config.model.mixer.decode == 'full'
  network = build(from_dict(config.model.to_dict()), Spec('causal', Tokens(5), Tokens(5), 8)).network()
  assert network.stack.layer(0).mixer.options.decode == 'full'


def test_an_architecture_that_is_read_both_ways_is_refused_where_a_task_is_not():
  tokens = Tokens(11)
  source = {'source': tokens, 'source_length': 8}
  names = [name for name, fields in ARCHITECTURES.items() if fields.get('bidirectional')]
  assert names == ['encoder', 'linformer_encoder', 'bilstm']
  for name in names:
    config = from_dict(configs.base.make('copying', name).model.to_dict())
    for kind, sources in {'causal': {}, 'seq2seq': source}.items():
      with pytest.raises(InputError, match=f'^model.bidirectional=True is for .* this one is {kind}: name an arch'):
        build(config, Spec(kind, tokens, tokens, 8, **sources))
    assert build(config, Spec('encode', tokens, tokens, 8))


@pytest.fixture
def no_draws(monkeypatch):
  """Parameters that are not drawn are counted in half the time."""
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
    kind = 'seq2seq' if config.encoder_pattern else 'encode' if config.bidirectional else 'causal'
    source = {'source': tokens, 'source_length': 64} if config.encoder_pattern else {}
    spec = Spec(kind, tokens, tokens, 64, **source)
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
  arg = 'lstm,pattern=gru*2+conv:dilation=2,dilation=5,kernel_size=3,kernels=reference'
  with pytest.raises(InputError, match="key='dilation' is not known"):
    configs.base.make('copying', arg)
  config = from_dict(configs.base.make('copying', arg.replace('dilation=5,', '')).model.to_dict())
  assert config.pattern == ('gru', 'gru', 'conv:dilation=2')
  assert config.depth == 3
  network = build(config, Spec('causal', Tokens(5), Tokens(5), 8)).network()
  assert [network.stack.layer(i).mixer.forward.kernels for i in range(2)] == ['reference', 'reference']
  convolution = network.stack.layer(2).mixer
  assert (convolution.options.dilation, convolution.forward.depthwise.taps.shape[0]) == (2, 3)


def test_the_dilation_of_the_tcn_doubles_from_layer_to_layer():
  config = from_dict(configs.base.make('copying', 'tcn,depth=8').model.to_dict())
  network = build(config, Spec('causal', Tokens(5), Tokens(5), 8)).network()
  assert [network.stack.layer(i).mixer.options.dilation for i in range(8)] == [1, 2, 4, 8] * 2


@pytest.mark.parametrize(
  ('arg', 'message'),
  [
    ('', 'needs an architecture'),
    ('lsmt', "architecture='lsmt' is not known; nearest: lstm"),
    ('lstm,widht=3', "--config key='widht' is not known; nearest: width"),
    ('lstm,width', "'width' must be key=value"),
    ('lstm,lr=3', "--config key='lr' is not known; nearest: learning_rate"),
    ('lstm,width=8,steps=3,width=9', "--config key='width' is given twice"),
    ('lstm,steps=1.5', 'train.steps=1.5 must be a whole number'),
    ('lstm,steps=1e12', 'train.steps=1000000000000.0 must be a whole number from -2147483648 to 2147483647'),
    (f'lstm,steps={"9" * 5000}', 'must be a whole number'),
    ('lstm,learning_rate=nan', 'train.learning_rate=nan must be a finite number'),
    ('lstm,tie_embeddings=maybe', "model.tie_embeddings='maybe' must be true or false"),
    ('lstm,pattern=lstm*999999999', "model.pattern='lstm*999999999' must have at most 10,000 entries"),
    (f'lstm,pattern=lstm*{"9" * 30}', 'must repeat a mixer a whole number of times'),
    ('lstm,pattern=attention:heads=abc', "entry 'attention:heads=abc': heads='abc' must be a whole number"),
    ('lstm,pattern=attention:kv_heads=0.5', "entry 'attention:kv_heads=0.5': kv_heads=0.5 must be a whole number"),
    ('lstm,pattern=performer:features=0', "entry 'performer:features=0': features=0 must be at least 1"),
    ('lstm,pattern=conv:dilation=2:dilation=3', "'conv:dilation=2:dilation=3' gives dilation twice"),
    ('lstm,width=wide', "model.width='wide' must be a whole number"),
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
  assert len(str(caught.value)) < 1500


OVERRIDES = (
  *(('train.steps', value) for value in ('1e3', '1_000', '0x10', '1.5', '-1', '', ' 7 ')),
  *(('train.learning_rate', value) for value in ('1e-3', '1', 'inf')),
  *(('train.clip', value) for value in ('0', 'None')),
  *(('model.params', value) for value in ('1e5', '100000', '1M')),
  *(('model.dropout', value) for value in ('None', '0.5')),
  *(('model.tie_embeddings', value) for value in ('True', 'true', '1', 'yes', 'FALSE', 'maybe')),
  *(('model.pattern', value) for value in ('gru', 'lstm+gru', 'lstm*2', 'gla', 'retention+lstm', 'conv+gru+lstm')),
  *(('model.pattern', value) for value in ('', 'None', 'conv:dilation=2', 'performer')),
  ('task.length', '64'),
  ('task.dataset', 'ptb'),
  ('eval.streams', '4'),
)


@pytest.mark.parametrize(('field', 'text'), OVERRIDES)
def test_an_override_means_the_same_as_an_argument_and_as_a_flag(field, text):
  key = field.partition('.')[2]

  def configs_of():
    yield lambda: configs.base.make('language', f'lstm,width=16,{key}={text}')

    def as_flag():
      config = configs.base.make('language', 'lstm,width=16')
      configs.base.override(config, {field: text})
      return config

    yield as_flag

  found = []
  for make in configs_of():
    try:
      found.append(make().to_dict())
    except InputError as error:
      found.append(str(error))
  assert found[0] == found[1]
  refused = {'0x10', '1.5', '', 'inf', 'None', '1M', 'maybe'}
  assert isinstance(found[0], str) == (text in refused)


def test_a_pattern_keeps_the_options_that_its_mixers_know():
  config = configs.base.make('language', 'linformer_encoder,objective=masked')
  assert config.model.mixer.rank == 32
  configs.base.override(config, {'model.pattern': 'gla', 'model.mixer.chunk': '16'})
  assert 'rank' not in config.model.mixer
  assert config.model.mixer.chunk == 16
  config = configs.base.make('language', 'transformer,decode=full')
  configs.base.override(config, {'model.pattern': 'sliding_window+lstm+attention'})
  assert (config.model.mixer.decode, config.model.depth) == ('full', 3)


@pytest.mark.parametrize(
  ('overrides', 'message'),
  [
    ({'train.stepz': '3'}, "--config.train field='stepz' is not known; nearest: steps"),
    ({'trian.steps': '3'}, "--config field='trian' is not known; nearest: train"),
    ({'train.lr': '3'}, "--config.train field='lr' is not known; nearest: learning_rate"),
    ({'train': '3'}, '--config.train is a section; name one of its fields: accumulate, '),
    ({'train.steps.more': '3'}, "--config.train.steps field='more' is not known"),
    ({'train.steps': None}, '--config.train.steps needs a value'),
    ({'': '3'}, "--config field='' is not known"),
  ],
)
def test_bad_flags_of_fields_are_one_clear_line(overrides, message):
  with pytest.raises(InputError) as caught:
    configs.base.override(configs.base.make('copying', 'lstm'), overrides)
  assert message in str(caught.value)


def test_a_flag_without_a_value_sets_a_bool_field():
  config = configs.base.make('language', 'transformer')
  configs.base.override(config, {'model.tie_embeddings': None})
  assert config.model.tie_embeddings is True


def test_options_read_from_sources_are_those_of_the_classes():
  """In a process of its own: here the real modules have been imported long ago."""
  code = (
    'import sys; from configs import catalogue; '
    'read = {n: catalogue.mixer_options(n) for n in catalogue.mixers()}; '
    'read |= {f"task {n}": catalogue.task_options(n) for n in catalogue.tasks()}; '
    'lines = {**catalogue.mixer_summaries(), **catalogue.experiment_summaries()}; scales = catalogue.scales(); '
    'print(sorted({"jax", "flax", "grain"} & set(sys.modules))); '
    'import tasks, seqmodels.mixers; from comparison.experiments import EXPERIMENTS, base; '
    'real = {n: catalogue.mixer_options(n) for n in seqmodels.mixers.MIXERS}; '
    'real |= {f"task {n}": catalogue.task_options(n) for n in tasks.TASKS}; '
    'print([n for n in real if list(real[n].items()) != list(read[n].items())], real.keys() == read.keys()); '
    'print(lines.keys() == {*EXPERIMENTS, *seqmodels.mixers.MIXERS}, scales == base.SCALES)'
  )
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT)
  assert done.stdout.splitlines() == ['[]', '[] True', 'True True']


def test_a_mixer_that_is_added_while_running_is_known(monkeypatch):
  monkeypatch.setitem(MIXERS, 'mine', MIXERS['gla'])
  assert configs.base.make('copying', 'mine,chunk=16').model.mixer.chunk == 16


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


def test_an_optimizer_is_chosen_without_resetting_what_it_does_not_read():
  for config in (configs.base.make('language', 'lstm,optimizer=adam'), configs.base.make('language', 'lstm')):
    configs.base.override(config, {'train.optimizer': 'adam'})
    assert train_settings(config.train.to_dict()).weight_decay == 0
  config = configs.base.make('language', 'lstm,optimizer=adam,weight_decay=0.2')
  with pytest.raises(InputError, match=r'train.weight_decay=0.2 has no effect with train.optimizer=adam'):
    train_settings(config.train.to_dict())
  assert configs.base.make('language', 'lstm,optimizer=lion').train.weight_decay == 0.1


def get_config(task, arg):
  return __import__(f'configs.{task}', fromlist=['get_config']).get_config(arg)


@pytest.mark.parametrize('task', sorted(TASKS))
def test_every_task_has_every_scale(task):
  laptop = get_config(task, 'griffin')
  assert get_config(task, 'griffin,scale=laptop') == laptop
  smoke, accelerator = (get_config(task, f'griffin,scale={scale}') for scale in ('smoke', 'accelerator'))
  assert smoke.train.steps <= 50 < laptop.train.steps <= accelerator.train.steps
  assert smoke.model.width <= 32
  assert {config.model.depth % 3 for config in (smoke, accelerator)} == {0}  # whole patterns
  for config in (smoke, accelerator):
    assert config.keys() == laptop.keys()
    assert all(config[section].keys() == laptop[section].keys() for section in laptop)
    from_dict(config.model.to_dict())
    try:
      train_settings(config.train.to_dict()).for_task(make_task(config))
    except InputError as error:
      if 'is in no folder' not in str(error):  # nothing else is wrong than that files are not here
        raise


def test_what_is_written_wins_over_a_scale():
  config = get_config('adding', 'lstm,steps=7,scale=accelerator,length=30')
  assert (config.train.steps, config.task.length, config.model.params) == (7, 30, 7e4)
  config = get_config('adding', 'lstm,scale=accelerator,width=48')
  assert (config.model.width, config.model.params) == (48, 0.0)
  config = get_config('reversal', 'encoder_decoder,scale=smoke,depth=3,encoder_depth=4')
  assert (config.model.depth, config.model.encoder_depth) == (3, 4)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: get_config('adding', 'lstm,scale=pod'), r"scale='pod'|scale=pod"),
    (lambda: configs.base.make('adding', 'lstm,scale=smoke', scales={'smoke': {'lenght': 3}}), 'lenght'),
    (lambda: configs.base.make('adding', 'lstm,scale=smoke', scales={'smoke': {'length': 'x'}}), 'task.length'),
  ],
)
def test_a_scale_that_makes_no_sense_is_refused(make, message):
  with pytest.raises(InputError, match=message):
    make()
