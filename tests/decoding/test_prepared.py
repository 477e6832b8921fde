"""What is computed once before tokens are drawn one by one changes nothing that is drawn."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels import models
from seqmodels.config import ModelConfig
from seqmodels.decoding.beam import beam_search
from seqmodels.decoding.sampling import Sampling, generate
from seqmodels.models import build
from seqmodels.spec import Spec, Tokens, Vectors

N, LENGTH = 7, 12
CAUSAL = Spec('causal', Tokens(N), Tokens(N), 32)
SEQ2SEQ = Spec('seq2seq', Tokens(N), Tokens(N), 16, source=Tokens(5), source_length=6)
PLAIN = {'width': 12, 'depth': 2, 'block': 'plain', 'feedforward': 0.0}
CONFIGS = {
  'rnn': (CAUSAL, ModelConfig(pattern=('rnn',), **PLAIN)),
  'lstm': (CAUSAL, ModelConfig(pattern=('lstm',), **PLAIN)),
  'gru': (CAUSAL, ModelConfig(pattern=('gru',), **PLAIN)),
  'min_gru': (CAUSAL, ModelConfig(pattern=('min_gru',), **PLAIN)),
  'residual': (CAUSAL, ModelConfig(pattern=('gru', 'attention'), width=16, depth=2, position='rotary')),
  'cross-attention': (SEQ2SEQ, ModelConfig(pattern=('lstm',), **PLAIN)),
  'bottleneck': (SEQ2SEQ, ModelConfig(pattern=('gru',), cross_attention=False, **PLAIN)),
}


@pytest.fixture(scope='module', params=CONFIGS)
def trained(request):
  spec, config = CONFIGS[request.param]
  model = build(config, spec)
  # Larger weights, so that next tokens depend on the past, and biases, which begin at zero.
  params = jax.tree.map(lambda p: 2 * p + (0.3 if p.ndim == 1 else 0.0), model.init(jax.random.key(3)))
  source = {'source': jnp.array([[1, 2, 3], [4, 0, 2]])} if spec.kind == 'seq2seq' else {}
  return model, params, source


def test_tokens_and_beams_are_the_same(trained, monkeypatch):
  model, params, source = trained
  prompt, key = jnp.array([[1, 2], [6, 0]]), jax.random.key(1)

  def draw(model):
    found = [
      np.concatenate(list(generate(model, params, prompt, LENGTH, key=key, chunk=5, sampling=sampling, **source)), 1)
      for sampling in (Sampling(temperature=0), Sampling(temperature=0.8))
    ]
    return *found, *beam_search(model, params, prompt, LENGTH, beams=3, stop=0, **source)

  assert model.prepare(params, LENGTH).projections is not None
  *prepared, scores = draw(model)
  monkeypatch.setattr(models.model, 'LARGEST_TABLE', 0)
  other = build(model.config, model.spec)  # so that nothing is traced already
  assert other.prepare(params, LENGTH).projections is None
  *plain, plain_scores = draw(other)
  for a, b in zip(prepared, plain, strict=True):
    np.testing.assert_array_equal(a, b)
  np.testing.assert_allclose(scores, plain_scores, atol=1e-5)


def test_outputs_and_states_are_the_same_with_resets_and_padding(trained):
  model, params, source = trained
  start = model.start(params, source['source'], 16) if source else model.init_state(2, 16)
  projections = model.prepare(params, LENGTH).projections
  plain = walk(model, params, start, None)
  same(walk(model, params, start, projections), plain)
  same(model.apply(params, TOKENS, start, reset=RESET, mask=MASK, projections=projections), plain)


TOKENS = jnp.array([[1, 2, 3, 4], [6, 5, 0, 1]])
RESET = jnp.array([[False, False, True, False], [False, True, False, True]])
MASK = jnp.array([[True, True, True, True], [True, True, True, False]])


def walk(model, params, state, projections):
  """Outputs and state of TOKENS one by one."""
  found = []
  for t in range(TOKENS.shape[1]):
    flags = {'reset': RESET[:, t : t + 1], 'mask': MASK[:, t : t + 1]}
    outputs, state = model.apply(params, TOKENS[:, t : t + 1], state, projections=projections, **flags)
    found.append(outputs)
  return jnp.concatenate(found, axis=1), state


def same(one, other):
  np.testing.assert_allclose(one[0][MASK], other[0][MASK], atol=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one[1], other[1])


@pytest.mark.parametrize(
  ('spec', 'changes', 'tokens'),
  [
    (CAUSAL, {}, N - 1),  # more tokens in the vocabulary than are drawn
    (CAUSAL, {'position': 'learned'}, 100),
    (CAUSAL, {'position': 'sinusoidal'}, 100),
    (CAUSAL, {'pattern': ('conv',)}, 100),
    (CAUSAL, {'layers': 'scan'}, 100),
    (Spec('causal', Vectors(3), Tokens(N), 32), {}, 100),
    (Spec('encode', Tokens(N), Tokens(N), 32), {}, 100),
  ],
)
def test_where_there_is_nothing_to_prepare(spec, changes, tokens):
  model = build(ModelConfig(pattern=('lstm',), **PLAIN).replace(**changes), spec)
  params = model.init(jax.random.key(0))
  assert model.prepare(params, tokens).projections is None


def test_the_table_is_made_once_for_the_same_parameters_and_forgotten_with_them():
  spec, config = CONFIGS['lstm']
  model = build(config, spec)
  params, others = (model.init(jax.random.key(seed)) for seed in (0, 1))
  table = model.prepare(params, LENGTH).projections
  assert model.prepare(dict(params), LENGTH).projections is table
  assert not np.allclose(model.prepare(others, LENGTH).projections, table)
  again = model.prepare(params, LENGTH).projections
  np.testing.assert_array_equal(again, table)
  inside = jax.jit(lambda params: model.prepare(params, LENGTH).projections)(others)
  assert not np.allclose(inside, table)
  assert model._table[1] is again
  del params, others
  gc.collect()
  assert model._table == ([], None)
