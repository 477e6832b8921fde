"""Sizes against formulas worked out by hand, and FLOPs against the compiler's count."""

import jax
import jax.numpy as jnp
import pytest

from seqmodels import sizing
from seqmodels.config import ModelConfig
from seqmodels.models import build, count_parameters
from seqmodels.spec import Spec, Tokens

SPEC = Spec('causal', Tokens(50), Tokens(50), 32)


def test_parameters_and_state_of_a_transformer():
  model = build(ModelConfig(width=64, depth=3, feedforward=4.0, position='rotary', heads=4, kv_heads=2), SPEC)
  attention = 64 * 64 * 2 + 2 * 64 * 32  # queries and output; keys and values of half the heads
  feedforward = 64 * 256 * 2 + 256 + 64
  layer = attention + feedforward + 2 * 64
  assert abs(count_parameters(model, embedding=False) - (3 * layer + 64)) <= 3 * 4 * 64  # biases are a mixer's choice
  cache = sizing.state_bytes(model, 2, 100)
  assert abs(cache - 2 * 2 * 3 * 100 * 32 * 4) <= 3 * 2 * 8  # and two counters a row


def test_state_of_an_lstm_does_not_grow():
  model = build(ModelConfig(pattern=('lstm',), width=24, depth=2, block='plain', feedforward=0.0), SPEC)
  assert sizing.state_bytes(model, 1, 10) == sizing.state_bytes(model, 1, 10_000) == 2 * 2 * 24 * 4


@pytest.mark.parametrize('pattern', ['attention', 'gru'])
def test_flops_are_the_compilers(pattern):
  t = 1 if pattern == 'gru' else 32  # the compiler counts a loop's body once
  options = {'implementation': 'materialised'} if pattern == 'attention' else {}
  model = build(ModelConfig(pattern=(pattern,), width=64, depth=2, position='none', mixer=options), SPEC)
  x = jnp.zeros((1, t), jnp.int32)
  cost = jax.jit(model.apply).lower(model.abstract_params, x).compile().cost_analysis()
  # Materialised attention computes the masked half too, so every token has all of them as its context.
  ours = t * sizing.flops_per_token(model, context=t)
  assert ours == pytest.approx(cost['flops'], rel=0.15)


def test_a_pattern_is_told_as_often_as_it_is_there():
  model = build(ModelConfig(pattern=('gru', 'attention'), depth=4, width=16), SPEC)
  assert ('layers', '2 × (gru, attention), residual block') in sizing.table(model)


def test_beyond_a_table_of_learned_positions_there_is_nothing_to_tell():
  rows = dict(sizing.table(build(ModelConfig(width=16, position='learned'), SPEC), positions=(32, 33)))
  assert 'bytes of state' in rows['at position 32']
  assert rows['at position 33'] == 'beyond the table of 32 learned positions'
