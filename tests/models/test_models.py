"""The contract holds for whole models, however the layers are run; widths meet their budget."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.config import ModelConfig, from_dict
from seqmodels.context import Context, StateSpec
from seqmodels.errors import InputError
from seqmodels.mixers import MIXERS
from seqmodels.mixers.base import Mixer
from seqmodels.models import build, count_parameters, solve_width
from seqmodels.spec import Spec, Tokens, Vectors

SPEC = Spec('causal', Tokens(11), Tokens(11), 24)
TRANSFORMER = ModelConfig(pattern=('attention',), width=16, depth=2, feedforward=2.0, position='rotary')
SINUSOIDAL = TRANSFORMER.replace(position='sinusoidal')
STACKED = ModelConfig(pattern=('gru',), width=12, depth=2, block='plain', feedforward=0.0)
HYBRID = ModelConfig(pattern=('lstm', 'attention'), width=16, depth=4, feedforward=1.0, position='rotary')


def tokens(b: int, t: int) -> jax.Array:
  return jax.random.randint(jax.random.key(1), (b, t), 0, 11)


@pytest.mark.parametrize('config', [SINUSOIDAL, STACKED, HYBRID], ids=['transformer', 'stacked', 'hybrid'])
def test_one_call_is_any_split_with_resets_and_padding(config):
  model = build(config, SPEC)
  params = model.init(jax.random.key(0))
  x = tokens(2, 9)
  reset = jnp.zeros((2, 9), bool).at[0, 5].set(True)
  mask = jnp.ones((2, 9), bool).at[1, 3].set(False)
  apply = jax.jit(model.apply)
  whole, _ = apply(params, x, model.init_state(2, 9), Context(reset, mask))
  state, parts = model.init_state(2, 9), []
  for i in range(0, 9, 3):
    context = Context(reset[:, i : i + 3], mask[:, i : i + 3])
    part, state = apply(params, x[:, i : i + 3], state, context)
    parts.append(part)
  valid = np.asarray(mask)
  np.testing.assert_allclose(np.concatenate(parts, 1)[valid], np.asarray(whole)[valid], atol=2e-6)
  # After its reset, row 0 is a document of its own; without its padding, row 1 is a shorter one.
  fresh, _ = apply(params, x[:1, 5:])
  np.testing.assert_allclose(whole[:1, 5:], fresh, atol=2e-6)
  short, _ = apply(params, jnp.delete(x[1:], 3, axis=1))
  np.testing.assert_allclose(whole[1:][mask[1:]], short[0], atol=2e-6)


def silence(params, *layers):
  """Return parameters with zeros in the layers whose names have one of these parts."""

  def silenced(path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    return jnp.zeros_like(leaf) if any(part in name for part in layers) else leaf

  return jax.tree_util.tree_map_with_path(silenced, params)


@pytest.mark.parametrize('block', ['residual', 'unskipped'])
def test_without_skips_nothing_passes_beside_a_branch(block):
  """With the last layer of every branch at zero, only a skip can carry the input."""
  model = build(TRANSFORMER.replace(block=block), SPEC)
  assert model.axes == build(TRANSFORMER, SPEC).axes  # the same parameters
  params = model.init(jax.random.key(0))
  outputs, _ = model.apply(silence(params, 'mlp/down', 'mixer/output'), tokens(1, 8))
  assert np.ptp(outputs, axis=1).max() == pytest.approx(0.0, abs=1e-6) or block == 'residual'
  assert np.ptp(outputs, axis=1).max() > 1e-3 or block == 'unskipped'
  outputs, _ = model.apply(params, tokens(1, 8))
  assert np.ptp(outputs, axis=1).max() > 1e-3


@pytest.mark.parametrize(('block', 'is_carried'), [('residual', True), ('unskipped', False), ('plain', True)])
def test_what_passes_beside_cross_attention(block, is_carried):
  """Without a feed-forward, and with cross-attention alone at zero, only its skip carries what the decoder reads."""
  spec = Spec('seq2seq', Tokens(11), Tokens(11), 8, source=Tokens(9), source_length=5)
  model = build(TRANSFORMER.replace(block=block, depth=1, feedforward=0.0, position='sinusoidal'), spec)
  params = model.init(jax.random.key(0))
  variation = lambda params: np.ptp(model.apply(params, tokens(1, 8), source=tokens(1, 5) % 9)[0], axis=1).max()
  assert variation(params) > 1e-4
  assert (variation(silence(params, 'cross/output')) > 1e-4) == is_carried
  assert (variation(silence(params, 'cross/output', 'mixer/output')) > 1e-4) == (block == 'residual')


def test_scanned_layers_are_the_unrolled_ones():
  unrolled = build(HYBRID.replace(layers='unroll', dropout=0.2), SPEC)
  scanned = build(HYBRID.replace(layers='scan', remat='block', dropout=0.2), SPEC)
  params = unrolled.init(jax.random.key(0))
  x = tokens(2, 8)

  def loss(model, params):
    outputs, _ = model.apply(params, x, context=Context(key=jax.random.key(7)))
    return jnp.sum(jnp.square(outputs)), outputs

  gradients, outputs = jax.jit(jax.grad(lambda p: loss(unrolled, p), has_aux=True))(params)
  gradients_scan, outputs_scan = jax.jit(jax.grad(lambda p: loss(scanned, p), has_aux=True))(params)
  np.testing.assert_allclose(outputs, outputs_scan, atol=2e-6)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4), gradients, gradients_scan)
  first, state = scanned.apply(params, x[:, :5], scanned.init_state(2, 8))
  second, _ = scanned.apply(params, x[:, 5:], state)
  whole, _ = unrolled.apply(params, x)
  np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, atol=2e-6)


def test_what_is_computed_again_changes_no_gradient_and_stores_less():
  x = tokens(2, 8)
  key = Context(key=jax.random.key(7))
  gradients, temporaries = {}, {}
  for remat in ('none', 'dots', 'block'):
    model = build(TRANSFORMER.replace(depth=2, layers='scan', remat=remat, dropout=0.2, kernels='xla'), SPEC)
    if remat == 'none':
      params = model.init(jax.random.key(0))
    loss = lambda p, model=model: jnp.sum(jnp.square(model.apply(p, x, context=key)[0]))
    residuals = jax.eval_shape(lambda p, loss=loss: jax.vjp(loss, p)[1], params)
    temporaries[remat] = sum(leaf.size for leaf in jax.tree.leaves(residuals))
    gradients[remat] = jax.jit(jax.grad(loss))(params)
  for remat in ('dots', 'block'):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4), gradients['none'], gradients[remat]
    )
  assert temporaries['none'] > temporaries['dots'] > temporaries['block']


def test_remat_was_true_or_false():
  """In config.json of older workdirs."""
  assert [from_dict({'remat': value}).remat for value in (True, False, 'dots')] == ['block', 'none', 'dots']
  with pytest.raises(InputError, match=r"model.remat='all' is not known; .*allowed: block, dots, none"):
    from_dict({'remat': 'all'})


def test_dropout_needs_a_key_and_changes_with_it():
  model = build(TRANSFORMER.replace(dropout=0.5), SPEC)
  params = model.init(jax.random.key(0))
  apply = jax.jit(model.apply)
  quiet, again = apply(params, tokens(1, 6))[0], apply(params, tokens(1, 6))[0]
  noisy = [apply(params, tokens(1, 6), context=Context(key=jax.random.key(i)))[0] for i in (0, 1)]
  np.testing.assert_array_equal(quiet, again)
  assert float(jnp.abs(noisy[0] - noisy[1]).max()) > 1e-3


def test_readout_last_reads_the_last_position_that_is_not_padding():
  model = build(STACKED, Spec('causal', Vectors(3), Vectors(5), 8, readout='last'))
  params = model.init(jax.random.key(0))
  x = jax.random.normal(jax.random.key(2), (2, 8, 3))
  mask = jnp.arange(8)[None, :] < jnp.array([8, 4])[:, None]
  outputs, _ = model.apply(params, x, context=Context(mask=mask))
  assert outputs.shape == (2, 5)
  np.testing.assert_allclose(outputs[1:], model.apply(params, x[1:, :4])[0], atol=1e-6)


@pytest.mark.parametrize('config', [SINUSOIDAL, STACKED, HYBRID], ids=['transformer', 'stacked', 'hybrid'])
def test_nan_in_padding_reaches_neither_outputs_nor_gradients(config):
  model = build(config, Spec('causal', Vectors(3), Vectors(2), 6))
  params = model.init(jax.random.key(0))
  x = jax.random.normal(jax.random.key(1), (2, 6, 3))
  mask = jnp.ones((2, 6), bool).at[1, 2:4].set(False)

  def loss(params, x):
    outputs, _ = model.apply(params, x, context=Context(mask=mask))
    return jnp.sum(jnp.where(mask[..., None], jnp.square(outputs), 0))

  clean = jax.jit(jax.value_and_grad(loss))(params, x)
  poisoned = jax.jit(jax.value_and_grad(loss))(params, jnp.where(mask[..., None], x, jnp.nan))
  jax.tree.map(np.testing.assert_array_equal, clean, poisoned)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(poisoned))


def test_readout_mean_is_the_mean_over_what_is_not_padding():
  fields = {'input': Vectors(3), 'output': Vectors(5), 'length': 8}
  model = build(STACKED, Spec('encode', **fields, readout='mean'))
  every = build(STACKED, Spec('encode', **fields))
  params = model.init(jax.random.key(0))
  x = jax.random.normal(jax.random.key(2), (2, 8, 3))
  mask = jnp.arange(8)[None, :] < jnp.array([8, 4])[:, None]
  pooled, _ = jax.jit(model.apply)(params, x, context=Context(mask=mask))
  outputs = np.asarray(jax.jit(every.apply)(params, x, context=Context(mask=mask))[0], np.float64)
  # The output layer of a plain stack is affine, so that the mean of its outputs is its output of the mean.
  np.testing.assert_allclose(pooled, [outputs[0].mean(0), outputs[1, :4].mean(0)], atol=1e-6)
  with pytest.raises(InputError, match='readout=mean needs kind=encode'):
    Spec('causal', **fields, readout='mean')


def test_learned_positions_refuse_what_their_table_does_not_hold():
  model = build(TRANSFORMER.replace(position='learned'), SPEC)
  with pytest.raises(InputError, match=r'length=25 .*24 tokens'):
    jax.eval_shape(model.apply, model.abstract_params, tokens(1, 25))
  for refused in (lambda: model.init_state(1, 25), lambda: model.grow_state(model.init_state(1, 8), 25)):
    with pytest.raises(InputError, match=r'max_length=25 .*24 tokens'):
      refused()
  seq2seq = build(model.config, Spec('seq2seq', Tokens(11), Tokens(11), 24, source=Tokens(11), source_length=30))
  with pytest.raises(InputError, match=r'max_length=25 .*24 tokens'):
    jax.eval_shape(functools.partial(seq2seq.start, max_length=25), seq2seq.abstract_params, tokens(1, 30))


def test_a_grown_state_has_the_shapes_of_a_longer_one():
  seq2seq = Spec('seq2seq', Tokens(11), Tokens(11), 24, source=Tokens(11), source_length=7)
  for config, spec in ((HYBRID.replace(layers='scan'), SPEC), (SINUSOIDAL, seq2seq)):
    model = build(config, spec)
    short, long = (jax.eval_shape(functools.partial(model.init_state, 3, n, 5)) for n in (4, 9))
    assert short != long
    for start, length, end in ((short, 9, long), (long, 4, long)):
      assert jax.eval_shape(functools.partial(model.grow_state, max_length=length), start) == end


@pytest.mark.parametrize(
  'config', [SINUSOIDAL, STACKED, HYBRID.replace(layers='scan')], ids=['position', 'stack', 'scan']
)
def test_a_state_of_another_batch_is_refused(config):
  model = build(config, SPEC)
  state = jax.eval_shape(lambda: model.init_state(3, 8))
  with pytest.raises(InputError, match=r'state is for a batch of 3.*batch of 2'):
    jax.eval_shape(model.apply, model.abstract_params, tokens(2, 4), state)


def test_a_segment_longer_than_the_cache_is_refused():
  model = build(TRANSFORMER, SPEC)
  with pytest.raises(InputError, match=r'segment of 9 tokens.*max_length=8'):
    jax.eval_shape(model.apply, model.abstract_params, tokens(2, 9), model.init_state(2, 8))


def test_what_cannot_be_causal_is_refused_in_a_causal_model():
  pattern = ('attention', 'linformer:rank=4')
  with pytest.raises(InputError, match=r'model.pattern names linformer, which cannot be causal'):
    build(TRANSFORMER.replace(pattern=pattern), SPEC)
  assert build(TRANSFORMER.replace(pattern=pattern), Spec('encode', Tokens(11), Tokens(11), 24))


def test_linformer_is_as_long_as_the_task():
  config = ModelConfig(pattern=('linformer',), width=8, depth=1, mixer={'rank': 4})
  spec = lambda length: Spec('encode', Tokens(11), Tokens(11), length)
  for length, option, expected in ((24, 0, 24), (600, 0, 600), (24, 30, 30)):
    model = build(config.replace(mixer={'rank': 4, 'length': option}), spec(length))
    assert model.abstract_params['stack']['group_0']['mixer']['key_mixture'].shape == (1, expected, 4)
  with pytest.raises(InputError, match=r'mixer.length=30 of linformer must be at least 31'):
    build(config.replace(pattern=('linformer:length=30',)), spec(31))
  sources = Spec('seq2seq', Tokens(11), Tokens(11), 24, source=Tokens(11), source_length=40)
  model = build(config.replace(pattern=('gru',), encoder_pattern=('linformer',)), sources)
  assert model.abstract_params['encoder']['stack']['group_0']['mixer']['key_mixture'].shape == (1, 40, 4)


@pytest.mark.parametrize(
  ('config', 'target'),
  [(HYBRID, 3e5), (TRANSFORMER.replace(heads=4), 5e4), (TRANSFORMER, 1e7), (STACKED, 1e7)],
  ids=['hybrid', 'heads', 'transformer', 'gru'],
)
def test_widths_meet_the_budget_within_two_percent(config, target):
  solved = solve_width(config.replace(params=target), SPEC)
  count = count_parameters(build(solved, SPEC), embedding=False)
  assert abs(count / target - 1) <= 0.02
  assert config.heads == 0 or solved.width % (2 * config.heads) == 0


def test_a_budget_that_no_width_meets_is_refused():
  with pytest.raises(InputError, match=r'model.params=100 cannot be met within 2 %; the nearest is \d+'):
    solve_width(STACKED.replace(params=100), SPEC)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'widht': 3}, "model field='widht' is not known; nearest: width"),
    ({'width': 'wide'}, "model.width='wide' must be a whole number"),
    ({'width': 0}, 'model.width=0 must be at least 1'),
    ({'dropout': 1.0}, 'model.dropout=1.0 must be in'),
    ({'position': 'rotory'}, "model.position='rotory' is not known; nearest: rotary"),
    ({'pattern': ('lstm', 'attention'), 'depth': 3}, 'model.depth=3 must be a multiple'),
    ({'width': 10, 'heads': 4}, 'model.heads=4 must divide model.width=10'),
    ({'pattern': 'gru*x'}, "model.pattern entry 'gru*x' must repeat a mixer a whole number of times"),
  ],
)
def test_bad_fields_are_one_clear_line(fields, message):
  with pytest.raises(InputError) as caught:
    from_dict(fields)
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_position_that_no_mixer_takes_is_refused():
  with pytest.raises(InputError, match=r'model.position=alibi acts inside attention, .*; the pattern gru has none'):
    build(STACKED.replace(position='alibi'), SPEC)
  with pytest.raises(InputError, match=r'model.position=rotary acts inside .*the pattern transformer_xl has none'):
    build(ModelConfig(pattern=('transformer_xl',), position='rotary'), SPEC)
  assert build(ModelConfig(pattern=('lstm', 'attention'), width=8, position='t5'), SPEC).config.position == 't5'
  # An entry of the pattern may have a position of its own, and then it is not the model's that acts there.
  with pytest.raises(InputError, match=r'position=t5 acts .*alibi, lstm has none of them without a position of'):
    build(ModelConfig(pattern=('attention:position=alibi', 'lstm'), width=8, position='t5'), SPEC)


def test_a_position_that_one_mixer_of_a_mixed_pattern_cannot_take_is_refused():
  pattern = ('attention', 'linear_attention')
  with pytest.raises(InputError, match=r'alibi does not act inside linear_attention, .*linear_attention:position=none'):
    build(ModelConfig(pattern=pattern, width=8, position='alibi'), SPEC)
  assert build(ModelConfig(pattern=('attention', 'linear_attention:position=none'), width=8, position='alibi'), SPEC)


class CausalOnly(Mixer):
  """y_t = x_{t-1}."""

  can_be_bidirectional = False

  def state_spec(self, batch, max_length):
    del max_length
    return {'x': StateSpec((batch, 1, self.width), ('batch', 'time', 'embed'))}

  def mix(self, x, state, context):
    raise NotImplementedError


def test_what_cannot_be_bidirectional_is_refused_where_a_task_reads_both_ways(monkeypatch):
  monkeypatch.setitem(MIXERS, 'shift', CausalOnly)
  config = ModelConfig(pattern=('gru', 'shift'), width=8)
  with pytest.raises(InputError, match='names shift, which cannot be bidirectional'):
    build(config, Spec('encode', Tokens(11), Tokens(11), 24))
  seq2seq = Spec('seq2seq', Tokens(11), Tokens(11), 24, source=Tokens(11), source_length=7)
  with pytest.raises(InputError, match="encoder's pattern names shift, which cannot be bidirectional"):
    build(config, seq2seq)
  assert build(config, SPEC)


@pytest.mark.parametrize('tied', [False, True])
def test_logits_of_a_bfloat16_model_are_float32_sums(tied):
  model = build(TRANSFORMER.replace(dtype='bfloat16', width=64, heads=2, tie_embeddings=tied), SPEC)
  params = jax.tree.map(lambda p: 3 * p, model.init(jax.random.key(0)))
  logits, _ = jax.jit(model.apply)(params, tokens(4, 24))
  assert logits.dtype == jnp.float32
  rounded = logits.astype(jnp.bfloat16).astype(jnp.float32)
  assert float(jnp.mean(logits == rounded)) < 0.1


def test_abstract_models_do_not_take_longer_with_their_depth():
  model = build(STACKED.replace(depth=10_000, layers='scan'), SPEC)
  assert model.abstract_params['stack']['group_0']['mixer']['forward']['recurrent_kernel'].shape == (10_000, 12, 3, 12)
  assert count_parameters(model, embedding=False) == 10_000 * (2 * 12 * 36 + 36 + 12)


def test_a_uniform_start_is_that_of_kernels_and_embeddings_alone():
  params = build(STACKED.replace(depth=1, init_scale=0.05), SPEC).init(jax.random.key(0))
  named = {path[-1].key: leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
  assert named.keys() == {'embedding', 'kernel', 'recurrent_kernel', 'bias', 'recurrent_bias'}
  assert not named['bias'].any()
  kernels = [leaf.ravel() for path, leaf in jax.tree_util.tree_leaves_with_path(params) if 'bias' not in path[-1].key]
  joined = np.concatenate(kernels)
  assert -0.05 <= joined.min() < -0.049 < 0.049 < joined.max() < 0.05
  assert joined.std() == pytest.approx(0.05 / 3**0.5, rel=0.05)
  assert len(np.unique(joined)) > 0.99 * len(joined), 'no two are drawn alike'


def test_a_negative_scale_of_the_start_is_refused():
  with pytest.raises(InputError, match=r'model.init_scale=-0.1 must not be negative'):
    STACKED.replace(init_scale=-0.1)
