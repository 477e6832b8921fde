"""The numbers of the experiments against closed forms and independent formulations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from comparison.experiments import gate, gradient_flow, memory
from comparison.experiments.trained import Trainer, score
from comparison.experiments.variants import Variant, random_params, token_spec
from seqmodels.mixers import MIXERS
from seqmodels.mixers.base import DETERMINISTIC
from seqmodels.mixers.recurrent import RNN
from tasks.recall import Recall
from training.optimizer import make_optimizer
from training.settings import TrainSettings
from training.step import TrainState, make_step


def test_the_gate_lets_a_sound_model_pass_and_names_what_is_broken(monkeypatch):
  class Peeking(RNN):
    """Look one step ahead, which decoding cannot."""

    def __call__(self, x, state=None, context=DETERMINISTIC):
      return super().__call__(x + jnp.roll(x, -1, axis=1), state, context)

  monkeypatch.setitem(MIXERS, 'peeking', Peeking)
  monkeypatch.setattr(gate, '_found', {})
  sound, broken = Variant('rnn'), dataclasses.replace(Variant('rnn', fields={'pattern': ('peeking',)}), block='plain')
  admitted, rows = gate.admit([sound, broken])
  assert admitted == [sound]
  assert [(row['metric'], row['value']) for row in rows] == [('gate', 0)]
  for name in ('recurrent_form', 'future', 'padding'):
    assert name in rows[0]['error']


def test_variants_of_one_name_go_through_the_gate_apart(monkeypatch):
  went = []
  monkeypatch.setattr(gate, '_found', {})
  monkeypatch.setattr(gate, 'of_variant', lambda variant, kind: went.append((kind, variant.fields)) or {'future': 0.0})
  fields = [{}, {'position': 'none'}, {'position': 'rotary'}, {'dropout': 0.2}]
  gate.admit([Variant('transformer', fields=some) for some in fields[:3]])
  gate.admit([Variant('transformer', fields=some) for some in fields])  # dropout changes nothing that is checked
  gate.admit([Variant('transformer')], kind='encode')
  # Those of one call go through side by side.
  assert sorted(went[:3], key=str) == sorted((('causal', some) for some in fields[:3]), key=str)
  assert went[3:] == [('encode', {})]


def test_the_gate_checks_the_padding_of_models_that_read_both_ways(monkeypatch):
  class Summing(RNN):
    """Add the sum of all inputs, those of padding as well."""

    def __call__(self, x, state=None, context=DETERMINISTIC):
      y, state = super().__call__(x, state, context)
      return y + jnp.sum(x, axis=1, keepdims=True), state

  monkeypatch.setitem(MIXERS, 'summing', Summing)
  encoder = Variant('encoder')
  assert gate.of_variant(encoder, 'encode')['padding'] < 1e-5
  broken = dataclasses.replace(encoder, fields={'pattern': ('summing',)})
  assert gate.of_variant(broken, 'encode')['padding'] > 1e-2
  translator = gate.of_variant(Variant('lstm_attention'), 'seq2seq')
  assert set(translator) == {'recurrent_form', 'future', 'padding'}
  assert max(translator.values()) < 1e-5


def test_products_of_jacobians_against_a_linear_recurrence():
  # h' = h A: the norm of the product over k steps is that of A^k
  a = np.array([[0.5, 0.2], [0.0, 0.9]])
  decades = gradient_flow.log_norms(np.stack([a.T] * 30), range(1, 31))
  expected = [np.log10(np.linalg.norm(np.linalg.matrix_power(a, k), 2)) for k in range(1, 31)]
  np.testing.assert_allclose(decades, expected, atol=1e-9)


def test_jacobians_against_the_derivative_of_the_whole_chain():
  model = Variant('rnn').build(token_spec(6, 8), width=4, depth=1)
  params = random_params(model)
  tokens = jnp.array([1, 5, 2, 7, 0, 3])
  jacobians = jax.jit(lambda params, tokens: gradient_flow.jacobians(model, params, tokens))
  steps = np.asarray(jacobians(params, tokens), np.float64)
  first = jax.jit(model.apply)(params, tokens[None, :1], model.init_state(1, 1))[1]
  leaves, tree = jax.tree.flatten(first)

  def chain(h):
    return jax.tree.leaves(model.apply(params, tokens[None, 1:], jax.tree.unflatten(tree, [h]))[1])[0]

  whole = np.asarray(jax.jit(jax.jacobian(chain))(leaves[0])).reshape(4, 4)
  np.testing.assert_allclose(np.linalg.multi_dot(steps[::-1]), whole, atol=1e-5)


@pytest.mark.parametrize(('options', 'numbers'), [({}, 2 * 2 * 24), ({'heads': 4, 'kv_heads': 2}, 2 * 2 * 12)])
def test_the_cache_formula_is_the_state_without_its_counters(options, numbers):
  model = Variant('transformer').build(token_spec(100), width=24, depth=2, **options)
  assert memory.cache_formula(model, 100, 3) == numbers * 100 * 3 * 4
  state = jax.eval_shape(lambda: model.init_state(3, 100))
  floats = sum(leaf.size * 4 for leaf in jax.tree.leaves(state) if leaf.dtype == jnp.float32)
  assert floats == memory.cache_formula(model, 100, 3)


def test_a_learning_rate_in_the_state_is_that_of_the_settings():
  task = Recall(vocabulary=16, pairs=2, length=8, evaluation_examples=20)
  model = Variant('rnn').build(task.spec, width=8, depth=1)
  settings = TrainSettings(steps=3, batch_size=4, learning_rate=3e-2, weight_decay=0.1, warmup_steps=1)
  run = Trainer(model, task, dataclasses.replace(settings, learning_rate=7.0)).run(3e-2, seed=5)
  optimizer = make_optimizer(settings)
  params = model.init(jax.random.key(5))
  state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.transform.init(params), None)
  step, batches = make_step(model, task, optimizer), iter(task.dataset('train', 4, seed=5))
  for _ in range(3):
    state, _ = step(state, next(batches))
  for mine, theirs in zip(jax.tree.leaves(run.params), jax.tree.leaves(state.params), strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
  assert run.finite
  assert len(run.losses) == 3
  scores = [score(model, run.params, task, 'test', size)['loss'] for size in (7, 20)]
  assert scores[0] == pytest.approx(scores[1], rel=1e-6)
