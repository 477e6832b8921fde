"""A decoder computes token by token what the model computes at once, whatever it precomputes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.config import ModelConfig
from seqmodels.decoding.beam import beam_search
from seqmodels.decoding.sampling import Sampling, generate
from seqmodels.errors import InputError
from seqmodels.models import Decoder, build
from seqmodels.models import decoder as decoders
from seqmodels.spec import Spec, Tokens, Vectors

N, LENGTH = 7, 12
CAUSAL = Spec('causal', Tokens(N), Tokens(N), 32)
SEQ2SEQ = Spec('seq2seq', Tokens(N), Tokens(N), 16, source=Tokens(5), source_length=6)
PLAIN = {'width': 12, 'depth': 2, 'block': 'plain', 'feedforward': 0.0}
CONFIGS = {
  'rnn': (CAUSAL, ModelConfig(pattern=('rnn',), **PLAIN)),
  'lstm': (CAUSAL, ModelConfig(pattern=('lstm',), **PLAIN)),
  'gru, scanned': (CAUSAL, ModelConfig(pattern=('gru',), layers='scan', **PLAIN)),
  'residual': (CAUSAL, ModelConfig(pattern=('gru', 'attention'), width=16, depth=4, position='rotary')),
  'learned': (CAUSAL, ModelConfig(pattern=('attention',), width=16, depth=2, position='learned')),
  'cross-attention': (SEQ2SEQ, ModelConfig(pattern=('lstm',), **PLAIN)),
  'bottleneck': (SEQ2SEQ, ModelConfig(pattern=('gru',), cross_attention=False, **PLAIN)),
}
HAS_TABLE = {'rnn', 'lstm', 'gru, scanned', 'residual', 'cross-attention', 'bottleneck'}


@functools.cache
def trained(name):
  spec, config = CONFIGS[name]
  model = build(config, spec)
  # Larger weights, so that next tokens depend on the past, and biases, which begin at zero.
  params = jax.tree.map(lambda p: 2 * p + (0.3 if p.ndim <= 2 else 0.0), model.init(jax.random.key(3)))
  source = {'source': jnp.array([[1, 2, 3], [4, 0, 2]])} if spec.kind == 'seq2seq' else {}
  return model, params, source


@pytest.mark.parametrize('name', CONFIGS)
def test_tokens_one_by_one_are_one_call(name):
  model, params, source = trained(name)
  tokens = jax.random.randint(jax.random.key(1), (2, LENGTH), 0, N)
  whole, _ = jax.jit(model.apply)(params, tokens, **source)
  decoder = model.decoder(params)
  assert (decoder.table is not None) == (name in HAS_TABLE)
  logits, state = jax.jit(Decoder.prefill, static_argnames='max_length')(
    decoder, tokens[:, :4], max_length=LENGTH, **source
  )
  step, found = jax.jit(Decoder.step), [logits]
  for i in range(4, LENGTH):
    logits, state = step(decoder, tokens[:, i], state)
    found.append(logits)
  np.testing.assert_allclose(jnp.stack(found, 1), whole[:, 3:], atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize('name', sorted(HAS_TABLE))
def test_the_table_changes_nothing_that_is_drawn(name, monkeypatch):
  model, params, source = trained(name)
  prompt, key = jnp.array([[1, 2], [6, 0]]), jax.random.key(1)

  def draw():
    found = [
      np.concatenate(list(generate(model, params, prompt, LENGTH, key=key, chunk=5, sampling=sampling, **source)), 1)
      for sampling in (Sampling(temperature=0), Sampling(temperature=0.8))
    ]
    return *found, *beam_search(model, params, prompt, LENGTH, beams=3, stop=0, **source)

  *with_table, scores = draw()
  monkeypatch.setattr(decoders, 'LARGEST_TABLE', 0)
  assert model.decoder(params).table is None
  *without, scores_without = draw()
  for a, b in zip(with_table, without, strict=True):
    np.testing.assert_array_equal(a, b)
  np.testing.assert_allclose(scores, scores_without, atol=1e-5)


@pytest.mark.parametrize(
  ('spec', 'changes', 'tokens'),
  [
    (CAUSAL, {}, N - 1),  # fewer tokens are drawn than the vocabulary has
    (CAUSAL, {'position': 'learned'}, 100),
    (CAUSAL, {'position': 'sinusoidal'}, 100),
    (CAUSAL, {'pattern': ('attention',)}, 100),
    (Spec('causal', Vectors(3), Tokens(N), 32), {}, 100),
  ],
)
def test_there_is_no_table_where_it_would_not_help(spec, changes, tokens):
  model = build(ModelConfig(pattern=('lstm',), **PLAIN).replace(**changes), spec)
  assert model.decoder(model.init(jax.random.key(0)), tokens).table is None


def test_a_grown_state_goes_on_as_if_made_longer():
  model, params, _ = trained('residual')
  decoder = model.decoder(params)
  tokens = jax.random.randint(jax.random.key(1), (2, 8), 0, N)
  _, short = decoder.prefill(tokens, max_length=8)
  _, long = decoder.prefill(tokens, max_length=100)
  grown = decoder.grow(short, 100)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), grown, long)


def test_rows_of_a_state_are_taken_along_its_batch_axes():
  model, params, source = trained('cross-attention')
  decoder = model.decoder(params)
  tokens = jnp.array([[1, 2], [6, 0]])
  _, state = decoder.prefill(tokens, max_length=8, **source)
  taken = decoder.take(state, jnp.array([1, 1, 0]))
  after, _ = decoder.step(jnp.array([3, 3, 3]), taken)
  expected, _ = decoder.step(jnp.array([3, 3]), state)
  np.testing.assert_allclose(after, expected[jnp.array([1, 1, 0])], atol=1e-6)


def test_a_decoding_loop_copies_no_cache():
  """One token of attention updates its cache in place: the program holds no second array of the cache's size."""
  model = build(
    ModelConfig(pattern=('attention',), width=32, depth=3, heads=2), Spec('causal', Tokens(N), Tokens(N), 8)
  )
  decoder = model.decoder(model.init(jax.random.key(0)))
  state = decoder.init_state(1, 16_384)
  cache = sum(leaf.nbytes for leaf in jax.tree.leaves(state))

  def loop(decoder, token, state):
    def step(carry, _):
      logits, state = decoder.step(*carry)
      return (jnp.argmax(logits, -1).astype(jnp.int32), state), None

    return jax.lax.scan(step, (token, state), None, length=4)[0]

  compiled = jax.jit(loop, donate_argnums=2).lower(decoder, jnp.zeros((1,), jnp.int32), state).compile()
  assert compiled.memory_analysis().temp_size_in_bytes < cache / 3


def test_an_encoder_has_no_decoder():
  model = build(ModelConfig(pattern=('lstm',), **PLAIN), Spec('encode', Tokens(N), Tokens(N), 32))
  with pytest.raises(InputError, match='cannot go on from a prompt'):
    model.decoder(model.init(jax.random.key(0)))
