"""Stacked layers: the parameters of one layer after the other, one split in a program, checkpoints and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.config import ModelConfig
from seqmodels.layers.draws import Draws
from seqmodels.models import build, layout
from seqmodels.models.block import Block
from seqmodels.spec import Spec, Tokens

SPEC = Spec('causal', Tokens(11), Tokens(11), 24)
CONFIGS = {
  'transformer': ModelConfig(pattern=('attention',), width=16, depth=3, feedforward=2.0, position='rotary'),
  'stacked': ModelConfig(pattern=('gru',), width=12, depth=2, block='plain', feedforward=0.0),
  'hybrid': ModelConfig(pattern=('lstm', 'attention'), width=16, depth=4, feedforward=1.0),
}


@pytest.mark.parametrize('name', CONFIGS)
def test_layers_are_drawn_one_after_the_other(name):
  config = CONFIGS[name]
  params = build(config, SPEC).init(jax.random.key(3))
  draws = Draws(jax.random.key(3), 1)  # number 0 is the embedding's
  for i, layer in enumerate(layout.split_layers(params['stack'], config.depth)):
    block = Block(config.pattern[i % len(config.pattern)], config, rngs=draws, causal=True, length=24)
    expected = nnx.to_pure_dict(nnx.state(block))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), layer, expected)


def test_draws_are_those_of_nnx():
  ours, theirs = Draws(jax.random.key(5)), nnx.Rngs(jax.random.key(5))
  for _ in range(3):
    assert jax.random.key_data(ours.params()).tolist() == jax.random.key_data(theirs.params()).tolist()
  assert ours.skip(4) == 3
  later = Draws(jax.random.key(5), jnp.uint32(7))
  assert jax.random.key_data(ours.params()).tolist() == jax.random.key_data(later.params()).tolist()


def test_names_are_split_by_layer_and_joined_again():
  flat = {
    'params/stack/group_0/kernel': np.arange(6.0).reshape(3, 2),
    'params/stack/group_1/kernel': np.arange(3.0).reshape(3, 1) + 10,
    'params/stack/group_0/mixer/group_1/bias': np.arange(3.0),  # a name that a mixer may use
    'opt/0/mu/stack/group_0/kernel': np.arange(18.0).reshape(3, 6),  # its optimizer leaves out group 1
    'opt/1/v_row/stack/group_0/kernel': np.zeros(1),  # a placeholder that is not stacked
    'opt/1/count/stack/group_0/kernel': np.int32(3),
    'params/encoder/stack/group_0/kernel': np.arange(2.0),
    'carry/stack/group_0/h': np.arange(6.0).reshape(3, 2),
    'step': np.int32(7),
  }
  split = layout.split_names(flat)
  assert sorted(name for name in split if name.startswith('params/stack') and name.endswith('kernel')) == [
    f'params/stack/block_0{i}/kernel' for i in range(6)
  ]
  assert [name for name in split if name.endswith('bias')] == [
    f'params/stack/block_0{i}/mixer/group_1/bias' for i in (0, 2, 4)
  ]
  assert [name for name in split if 'encoder' in name] == [f'params/encoder/stack/block_0{i}/kernel' for i in (0, 1)]
  np.testing.assert_array_equal(split['params/stack/block_02/kernel'], [2.0, 3.0])  # layer 1 of group 0
  np.testing.assert_array_equal(split['params/stack/block_05/kernel'], [12.0])  # layer 2 of group 1
  np.testing.assert_array_equal(split['opt/0/mu/stack/block_02/kernel'], np.arange(6.0) + 6)
  np.testing.assert_array_equal(split['carry/stack/block_04/h'], [4.0, 5.0])
  shapes = layout.split_names(jax.eval_shape(lambda: flat))
  assert shapes.keys() == split.keys()
  assert all(shapes[name].shape == np.shape(split[name]) for name in split)
  joined = layout.join_names(split, flat)
  assert joined.keys() == flat.keys()
  for name, array in flat.items():
    np.testing.assert_array_equal(joined[name], array)
  del split['params/stack/block_03/kernel']
  assert 'params/stack/group_1/kernel' not in layout.join_names(split, flat)


def test_the_gradient_of_unstacking_is_one_concatenation():
  def loss(stacked):
    return sum(jnp.sum(jnp.sin(layer['w']) * i) for i, layer in enumerate(layout.unstack(stacked, 5), start=1))

  stacked = {'w': jax.random.normal(jax.random.key(0), (5, 3))}
  gradient = jax.grad(loss)(stacked)
  np.testing.assert_allclose(gradient['w'], np.cos(stacked['w']) * np.arange(1, 6)[:, None], rtol=1e-6)
  text = str(jax.make_jaxpr(jax.grad(loss))(stacked))
  assert text.count(' concatenate') == 1
  assert ' pad' not in text


@pytest.mark.parametrize('layers', ['scan', 'unroll'])
def test_axes_and_specs_have_the_structure_of_parameters_and_states(layers):
  model = build(CONFIGS['hybrid'].replace(layers=layers), SPEC)
  is_axes = lambda node: isinstance(node, tuple)
  ranks = jax.tree.map(len, model.axes, is_leaf=is_axes)
  assert ranks == jax.tree.map(lambda leaf: leaf.ndim, model.abstract_params)
  kernel = model.axes['stack']['group_0']['mixer']['forward']['input']['kernel']
  assert kernel == ('layers', 'embed', 'gate', 'hidden')
  state, specs = jax.eval_shape(lambda: model.init_state(2, 70)), model.state_spec(2, 70)
  assert jax.tree.structure(state) == jax.tree.structure(specs)
  for leaf, spec in zip(jax.tree.leaves(state), jax.tree.leaves(specs), strict=True):
    assert (leaf.shape, leaf.dtype) == (spec.shape, spec.dtype)
