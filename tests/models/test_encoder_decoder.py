"""Encoder–decoders: teacher forcing is stepwise decoding, padding of the source is nothing, and beams find the best."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.config import ModelConfig
from seqmodels.decoding.beam import beam_search
from seqmodels.decoding.sampling import Sampling, generate
from seqmodels.errors import InputError
from seqmodels.layers import CrossAttention
from seqmodels.models import build, count_parameters, sizing
from seqmodels.spec import Spec, Tokens, Vectors
from tasks.reversal import Reversal
from tests.contractions import count
from training.evaluate import evaluate
from training.optimizer import make_optimizer
from training.settings import EvalSettings, TrainSettings
from training.step import init_train_state, make_step

SPEC = Spec('seq2seq', Tokens(5), Tokens(5), 6, source=Tokens(9), source_length=7)
PLAIN = {'block': 'plain', 'feedforward': 0.0, 'width': 12}
TRANSFORMER = ModelConfig(width=16, depth=1, feedforward=1.0, position='sinusoidal')
CONFIGS = {
  'transformer': TRANSFORMER.replace(depth=2, heads=4, kv_heads=2, layers='scan'),
  'transformer encoder, recurrent decoder': ModelConfig(
    pattern=('gru',), encoder_pattern=('attention',), depth=1, width=8
  ),
  'recurrent encoder, transformer decoder': TRANSFORMER.replace(encoder_pattern=('lstm',), encoder_depth=2),
  'last states': ModelConfig(pattern=('lstm',), depth=2, cross_attention=False, **PLAIN),
}


def sharpened(model, seed=3):
  """Parameters larger than those of `init`: outputs that depend on everything."""
  return jax.tree.map(lambda p: 2 * p, model.init(jax.random.key(seed)))


def drawn(b: int, t: int, s: int):
  draws = np.random.default_rng(0)
  mask = np.arange(s)[None, :] < np.array([[s], [s - 3]])
  return jax.tree.map(jnp.asarray, (draws.integers(0, 5, (b, t)), draws.integers(0, 9, (b, s)), mask))


@pytest.mark.parametrize('config', CONFIGS.values(), ids=CONFIGS)
def test_teacher_forcing_is_decoding_token_by_token_and_padding_is_nothing(config):
  model = build(config, SPEC)
  params = sharpened(model)
  inputs, source, mask = drawn(2, 6, 7)

  @jax.jit
  def both(source):
    whole, state = model.apply(params, inputs, source=source, source_mask=mask)
    assert state is None

    def step(state, token):
      outputs, state = model.apply(params, token[:, None], state)
      return state, outputs[:, 0]

    start = model.start(params, source, 6, source_mask=mask)
    assert jax.tree.map(jnp.shape, start) == jax.tree.map(jnp.shape, jax.eval_shape(lambda: model.init_state(2, 6)))
    return whole, jax.lax.scan(step, start, inputs.T)[1].swapaxes(0, 1)

  whole, steps = both(source)
  scale = np.abs(whole).max()
  np.testing.assert_allclose(steps, whole, atol=1e-5 * scale)
  np.testing.assert_array_equal(both(jnp.where(mask, source, 8))[0], whole)
  assert np.abs(both((source + 1) % 9)[0] - whole).max() > 0.01 * scale
  alone, _ = jax.jit(lambda x, s: model.apply(params, x, source=s))(inputs[1:], source[1:, :4])
  np.testing.assert_allclose(alone, whole[1:], atol=1e-5 * scale)


def test_cross_attention_is_its_equations():
  """softmax(q kᵀ / √k) v head by head in float64, heads in groups, padded keys left out (Vaswani et al. 2017)."""
  layer = CrossAttention(8, rngs=nnx.Rngs(0), heads=4, kv_heads=2)
  draws = np.random.default_rng(1)
  x, encoded = (draws.normal(size=(2, n, 8)).astype(np.float32) for n in (3, 5))
  mask = np.array([[1, 1, 1, 1, 1], [0, 1, 1, 0, 0]], bool)
  actual = jax.jit(lambda x, e, mask: layer(x, layer.read(e), mask))(x, encoded, mask)
  kernels = (np.float64(part.kernel[...]) for part in (layer.query, layer.key_value, layer.output))
  wq, wkv, wo = (kernel.reshape(shape) for kernel, shape in zip(kernels, [(8, 8), (8, 8), (8, 8)], strict=True))
  for b, i in itertools.product(range(2), range(3)):
    query, seen = x[b, i] @ wq, encoded[b][mask[b]] @ wkv
    heads = []
    for h in range(4):
      g = slice(2 * (h // 2), 2 * (h // 2) + 2)
      scores = seen[:, :4][:, g] @ query[2 * h : 2 * h + 2] / np.sqrt(2)
      weights = np.exp(scores) / np.exp(scores).sum()
      heads.append(weights @ seen[:, 4:][:, g])
    np.testing.assert_allclose(actual[b, i], np.concatenate(heads) @ wo, atol=1e-5)


@pytest.fixture(scope='module')
def reverser():
  """A small Transformer after some seconds of training on reversal."""
  task = Reversal(symbols=4, length=4, evaluation_examples=200)
  model = build(TRANSFORMER.replace(width=32, feedforward=2.0), task.spec)
  # A rate that ends low: at a constant one, which example is still wrong depends on the last bits of the arithmetic.
  settings = TrainSettings(learning_rate=1e-2, schedule='cosine', steps=300, weight_decay=0.0, batch_size=32)
  optimizer = make_optimizer(settings)
  step, batches = make_step(model, task, optimizer), iter(task.dataset('train', 32))
  state = jax.jit(lambda: init_train_state(model, optimizer, 0))()
  for _ in range(settings.steps):
    state, _ = step(state, next(batches))
  return task, model, state.params


def test_reversal_is_learned_with_cross_attention(reverser):
  task, model, params = reverser
  assert evaluate(model, params, task, task.evaluations()['test'], EvalSettings())['accuracy'] > 0.9


def test_greedy_answers_and_beams_are_those_of_full_forward_passes(reverser):
  task, model, params = reverser
  source, mask = jnp.array([[1, 2, 3, 4], [3, 2, 0, 0]]), jnp.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)
  prompt, options = jnp.zeros((2, 1), jnp.int32), {'source': source, 'source_mask': mask}
  greedy = Sampling(temperature=0.0, stop=0)
  made = np.concatenate(
    list(generate(model, params, prompt, 5, key=jax.random.key(0), sampling=greedy, chunk=2, **options)), axis=1
  )
  assert [task.decode(row) for row in made] == ['dcba', 'bc']
  # Less sure of itself, the model has many continuations to tell apart.
  blurred = params | {
    'decoder': params['decoder'] | {'output': jax.tree.map(lambda p: 0.3 * p, params['decoder']['output'])}
  }
  tokens, scores = beam_search(model, blurred, prompt, 2, beams=25, **options)
  every = np.array(list(itertools.product(range(5), repeat=2)), np.int32)
  x = np.concatenate([np.zeros((25, 1), np.int32), every[:, :1]], axis=1)
  apply = jax.jit(model.apply)
  for row in range(2):
    repeated = {name: jnp.repeat(value[row : row + 1], 25, axis=0) for name, value in options.items()}
    logs = np.asarray(jax.nn.log_softmax(apply(blurred, jnp.asarray(x), **repeated)[0]))
    likely = np.take_along_axis(logs, every[:, :, None], axis=2)[:, :, 0].sum(axis=1)
    np.testing.assert_allclose(scores[row], np.sort(likely)[::-1], atol=1e-4)
    np.testing.assert_array_equal(tokens[row, 0], every[np.argmax(likely)])


def test_the_budget_and_the_flops_count_both_parts():
  spec = Spec('seq2seq', Tokens(50), Tokens(50), 32, source=Vectors(6), source_length=16)
  for config in (TRANSFORMER.replace(depth=4, encoder_depth=2), CONFIGS['last states']):
    model = build(config.replace(params=2e5), spec)
    assert count_parameters(model, embedding=False) == pytest.approx(2e5, rel=0.02)
  model = build(TRANSFORMER.replace(width=128, kernels='reference'), spec)
  x, source = jnp.zeros((1, 32), jnp.int32), jnp.zeros((1, 16, 6))
  counted = count(lambda p, x, s: model.apply(p, x, source=s), model.abstract_params, x, source)
  masked = 4 * 128 * (32 * 31 / 2)  # masked scores
  assert sizing.sequence_flops(model, 32) + masked == pytest.approx(counted, rel=0.01)
  rows = dict(sizing.table(model))
  assert rows['decoder layers'] == '1 × (attention), residual block, cross-attention'
  assert 'encoder layers' in rows


def test_attention_maps_are_those_of_every_layer_that_has_some():
  model = build(CONFIGS['transformer'], SPEC)
  params, (inputs, source, mask) = sharpened(model), drawn(2, 6, 7)
  found = jax.jit(model.attention_maps)(params, inputs, source=source, source_mask=mask)
  ends = [f'block_0{i}/{kind}' for i in range(2) for kind in ('cross', 'mixer')]
  assert list(found) == [f'decoder/{end}' for end in ends] + [f'encoder/block_0{i}/mixer' for i in range(2)]
  assert found['decoder/block_01/cross'].shape == (2, 4, 6, 7)
  np.testing.assert_allclose(found['decoder/block_01/cross'].sum(-1), 1, atol=1e-5)
  assert not found['decoder/block_01/cross'][1, ..., 4:].any()
  unrolled = build(CONFIGS['transformer'].replace(layers='unroll', kernels='reference'), SPEC)
  other = jax.jit(unrolled.attention_maps)(params, inputs, source=source, source_mask=mask)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, other)
  with pytest.raises(InputError, match='need a source'):
    model.attention_maps(params, inputs)


def test_a_map_of_the_second_layer_follows_from_the_outputs_of_the_first():
  """A map is a function of what its layer reads: tokens that come later change no row before them."""
  model = build(CONFIGS['transformer'], SPEC)
  params, (inputs, source, mask) = sharpened(model), drawn(2, 6, 7)
  maps = jax.jit(lambda inputs: model.attention_maps(params, inputs, source=source, source_mask=mask))
  before, after = maps(inputs), maps(inputs.at[:, 3].add(1) % 5)
  for name in ('decoder/block_01/mixer', 'decoder/block_01/cross'):
    np.testing.assert_allclose(before[name][:, :, :3], after[name][:, :, :3], atol=1e-6)
    assert np.abs(before[name] - after[name])[:, :, 3:].max() > 1e-3


def test_only_models_with_softmax_attention_attend():
  attends = {name: build(config, SPEC).attends for name, config in CONFIGS.items()}
  assert attends == {name: name != 'last states' for name in CONFIGS}
  causal = Spec('causal', Tokens(5), Tokens(5), 6)
  assert build(ModelConfig(pattern=('lstm', 'sparse'), depth=2, width=8), causal).attends
  assert not build(ModelConfig(pattern=('linear_attention',), depth=1, width=8), causal).attends
  last = build(CONFIGS['last states'], SPEC)
  params, (inputs, source, mask) = last.init(jax.random.key(0)), drawn(2, 6, 7)
  assert last.attention_maps(params, inputs, source=source, source_mask=mask) == {}


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'cross_attention': False}, 'of one shape and fixed size'),
    ({'cross_attention': False, 'pattern': ('sliding_window',), 'mixer': {'window': 4}}, 'of one shape and fixed size'),
    ({'cross_attention': False, 'pattern': ('lstm',), 'encoder_pattern': ('gru',)}, 'of one shape and fixed size'),
    ({'cross_attention': False, 'pattern': ('lstm',), 'encoder_depth': 2}, 'of one shape and fixed size'),
    ({'encoder_pattern': ('lstm', 'gru'), 'encoder_depth': 3}, 'model.encoder_depth=3 must be a multiple of 2'),
    ({'heads': 4, 'kv_heads': 3, 'pattern': ('lstm',)}, 'kv_heads=3 must divide heads=4'),
  ],
)
def test_parts_that_do_not_fit_are_one_line(fields, message):
  with pytest.raises(InputError, match=message) as caught:
    build(ModelConfig(**{'width': 16, 'depth': 1, **fields}), SPEC)
  assert '\n' not in str(caught.value)


def test_a_source_belongs_to_seq2seq():
  causal = Spec('causal', Tokens(5), Tokens(5), 6)
  with pytest.raises(InputError, match='this one is causal'):
    build(TRANSFORMER.replace(encoder_pattern=('lstm',)), causal)
  model, other = build(TRANSFORMER, causal), build(TRANSFORMER, SPEC)
  x = jnp.zeros((1, 2), jnp.int32)
  for call in (
    lambda: model.apply(model.abstract_params, x, source=x),
    lambda: model.start(model.abstract_params, x, 4),
  ):
    with pytest.raises(InputError, match='kind=causal'):
      call()
  with pytest.raises(InputError, match='either a source'):
    jax.eval_shape(other.apply, other.abstract_params, x)
  with pytest.raises(InputError, match='this one is seq2seq'):
    next(generate(other, other.abstract_params, x, 3, key=jax.random.key(0)))
  encoder = build(TRANSFORMER, Spec('encode', Tokens(5), Tokens(5), 6))
  with pytest.raises(InputError, match='encoder sees its whole input'):
    next(generate(encoder, encoder.abstract_params, x, 3, key=jax.random.key(0)))
