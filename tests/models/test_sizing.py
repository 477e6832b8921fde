"""Sizes against formulas worked out by hand, and FLOPs against the products of the traced programs."""

import jax
import jax.numpy as jnp
import pytest

from seqmodels.config import ModelConfig
from seqmodels.models import build, count_parameters, sizing
from seqmodels.spec import Spec, Tokens
from tests.contractions import count

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


def test_the_table_names_layers_as_checkpoints_do():
  config = ModelConfig(pattern=('gru', 'gru', 'lstm'), width=8, depth=6, block='plain', feedforward=0.0)
  rows = dict(sizing.table(build(config, SPEC)))
  gru, lstm = 3 * (8 * 8 + 8 * 8 + 8) + 8, 4 * (8 * 8 + 8 * 8 + 8)
  assert rows['layers'] == '2 × (gru, gru, lstm), plain block'
  assert {name: value for name, value in rows.items() if 'block' in name} == {
    '  block_00 to block_01': f'gru, {gru} parameters each',
    '  block_02': f'lstm, {lstm} parameters',
    '  block_03 to block_04': f'gru, {gru} parameters each',
    '  block_05': f'lstm, {lstm} parameters',
  }
  deep = sizing.table(build(config.replace(depth=300), SPEC))
  assert [row for row in deep if row[0] == '  …'] == [('  …', 'to block_299')]
  assert len(deep) < 40


def program(model, length, memory=0, function=lambda model: model.apply):
  """Return a function that runs a model on one row, and its abstract arguments."""
  state = jax.eval_shape(lambda: model.init_state(1, memory)) if memory else None
  x = jax.ShapeDtypeStruct((1, length), jnp.int32)
  return function(model), (model.abstract_params, x, state)


@pytest.mark.parametrize(('pattern', 'length'), [('attention', 32), ('gru', 1), ('linear_attention', 1)])
def test_products_of_the_program_are_most_of_the_compilers_flops(pattern, length):
  """The compiler adds what is done element by element, and counts a loop's body once: here none repeats."""
  model = build(ModelConfig(pattern=(pattern,), width=64, depth=2, position='none', kernels='reference'), SPEC)
  run, arguments = program(model, length)
  cost = jax.jit(run).lower(*arguments).compile().cost_analysis()
  assert 0.85 < count(run, *arguments) / cost['flops'] <= 1


PATTERNS = {
  'attention': {'position': 'rotary'},
  'transformer_xl': {},
  'gru': {'block': 'plain', 'feedforward': 0.0},
  'gated_delta+attention': {'position': 'alibi'},
  'linear_attention': {'tie_embeddings': True, 'kernels': 'xla'},
}


@pytest.mark.parametrize(('pattern', 'fields'), PATTERNS.items(), ids=PATTERNS)
def test_flops_are_the_programs(pattern, fields):
  config = ModelConfig(pattern=tuple(pattern.split('+')), width=128, depth=2, **fields)
  model = build(config, Spec('causal', Tokens(50), Tokens(50), 64))
  for length, memory in ((1, 100), (64, 0), (64, 128)):
    run, arguments = program(model, length, memory)
    masked = 1.0 if length == 1 or pattern in ('gru', 'linear_attention') else 1.25  # masked pairs
    ours = sizing.flops_per_token(model, length, memory)
    assert 0.98 <= count(run, *arguments) / length / ours <= 1.01 * masked


def test_training_is_three_forward_passes():
  model = build(ModelConfig(pattern=('lstm',), width=128, depth=2, block='plain', feedforward=0.0), SPEC)
  gradient = lambda model: jax.grad(lambda params, x, state: model.apply(params, x, state)[0].sum())
  run, arguments = program(model, 32, function=gradient)
  assert count(run, *arguments) / 32 == pytest.approx(sizing.training_flops(model), rel=0.02)


def test_an_output_that_is_read_once_costs_once():
  every, last = (
    build(ModelConfig(width=16), Spec('causal', Tokens(50), Tokens(50), 32, readout=r)) for r in ('every', 'last')
  )
  saved = sizing.sequence_flops(every, 32) - sizing.sequence_flops(last, 32)
  assert saved == pytest.approx(31 * 2 * 16 * 50)


def test_a_pattern_is_told_as_often_as_it_is_there():
  model = build(ModelConfig(pattern=('gru', 'attention'), depth=4, width=16), SPEC)
  assert ('layers', '2 × (gru, attention), residual block') in sizing.table(model)


def test_beyond_a_table_of_learned_positions_there_is_nothing_to_tell():
  rows = dict(sizing.table(build(ModelConfig(width=16, position='learned'), SPEC), positions=(32, 33)))
  assert 'bytes of state' in rows['at position 32']
  assert rows['at position 33'] == 'beyond the table of 32 learned positions'
