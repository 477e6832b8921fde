"""Layers: sums over named axes, one norm, and parameters that name every axis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.context import Context, StateSpec, batch_axes, zeros
from seqmodels.layers import (
  MLP,
  CausalConvolution,
  CrossAttention,
  Dense,
  Embed,
  HeadDense,
  Norm,
  axes_of,
  normalize,
  parameter,
)
from seqmodels.layers.convolution import draw_taps
from seqmodels.layers.dense import batch_major, time_major


def draw(*shape: int, seed: int = 0) -> jax.Array:
  return jax.random.normal(jax.random.key(seed), shape)


def test_a_dense_layer_sums_over_all_of_its_input_axes():
  layer = Dense({'heads': 2, 'head_dim': 3}, {'gate': 4, 'hidden': 5}, rngs=nnx.Rngs(0), bias=True)
  layer.bias[...] = draw(4, 5, seed=1)
  x = draw(7, 11, 2, 3)
  expected = np.einsum('bthk,hkgz->btgz', np.float64(x), np.float64(layer.kernel[...])) + np.float64(layer.bias[...])
  np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_a_dense_layer_accumulates_half_precision_in_the_dtype_asked_for():
  layer = Dense({'embed': 64}, {'hidden': 8}, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
  x = draw(2, 3, 64)
  assert layer(x).dtype == jnp.bfloat16
  wide = layer(x, jnp.float32)
  assert wide.dtype == jnp.float32
  assert not np.array_equal(wide, wide.astype(jnp.bfloat16).astype(jnp.float32))


def test_layers_name_every_axis():
  rngs = nnx.Rngs(0)
  assert axes_of(Dense({'embed': 2}, {'gate': 4, 'hidden': 3}, rngs=rngs, bias=True)) == {
    'kernel': ('embed', 'gate', 'hidden'),
    'bias': ('gate', 'hidden'),
  }
  for module in (
    MLP(8, 16, rngs=rngs),
    CrossAttention(8, rngs=rngs),
    Embed(5, 8, rngs=rngs),
    Norm({'embed': 8}, 'layer'),
    Norm({'embed': 8}, 'layer', bias=False),
    HeadDense(2, 4, {'gate': 2}, rngs=rngs, bias=True),
    CausalConvolution({'heads': 2, 'head_dim': 3}, draw_taps(rngs, 4, 6), bias=True),
  ):
    shapes = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    is_axes = lambda node: isinstance(node, tuple)
    ranks = jax.tree.map(len, axes_of(module), is_leaf=is_axes)
    assert ranks == jax.tree.map(lambda leaf: leaf.ndim, shapes)


def test_a_layer_reads_and_writes_time_first():
  rngs, x, scale = nnx.Rngs(0), draw(2, 3, 8), draw(5, seed=2)
  first = Dense({'embed': 8}, {'gate': 4, 'hidden': 5}, rngs=rngs, bias=True)
  last = Dense({'gate': 4, 'hidden': 5}, {'embed': 8}, rngs=rngs)
  for context in (Context(), Context(constrain=lambda x, names: x)):  # one device, and a mesh
    turned = time_major(x, first, context)
    np.testing.assert_allclose(turned.swapaxes(0, 1), first(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(batch_major(turned, last, context), last(first(x)), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
    first(x, scale=scale[None, None]), first(x) * scale[None, None, None], rtol=1e-4, atol=1e-6
  )


def test_a_layer_for_each_head_is_a_block_diagonal_matrix():
  layer = HeadDense(3, 4, {'gate': 2, 'head_dim': 5}, rngs=nnx.Rngs(0), bias=True)
  layer.bias[...] = draw(3, 2, 5, seed=1)
  x = draw(7, 3, 4)
  expected = [np.tensordot(x[:, head], layer.kernel[head], 1) + np.asarray(layer.bias[head]) for head in range(3)]
  np.testing.assert_allclose(layer(x), np.stack(expected, axis=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('kernel_size', 'dilation'), [(1, 1), (3, 2)])
def test_a_causal_convolution_is_the_same_in_segments(kernel_size, dilation):
  channels = {'heads': 2, 'head_dim': 3}
  taps = draw_taps(nnx.Rngs(0), kernel_size, 2, 3)
  layer = CausalConvolution(channels, taps, bias=True, dilation=dilation)
  layer.bias[...] = draw(2, 3, seed=1)
  x, start = draw(2, 7, 2, 3), layer.state_spec(2).zeros()
  whole, _ = layer(x, start, Context())
  padded = np.pad(x, ((0, 0), ((kernel_size - 1) * dilation, 0), (0, 0), (0, 0)))
  expected = sum(np.asarray(layer.taps[i]) * padded[:, i * dilation : i * dilation + 7] for i in range(kernel_size))
  np.testing.assert_allclose(whole, expected + np.asarray(layer.bias[...]), rtol=1e-5, atol=1e-5)
  first, history = layer(x[:, :4], start, Context())
  second, _ = layer(x[:, 4:], history, Context())
  assert history.shape == layer.state_spec(2).shape
  np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('axes', [('embed',), ('embed', 'embed'), ('embed', 'hidden', 'gate')])
def test_a_parameter_needs_a_name_of_its_own_for_every_axis(axes):
  with pytest.raises(ValueError, match='different names'):
    parameter(jnp.zeros((2, 3)), axes)


def test_norms_agree_with_their_formulas():
  x = np.float64(draw(2, 3, 4, 5))
  rms = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6)
  np.testing.assert_allclose(Norm({'head_dim': 5})(jnp.float32(x)), rms, rtol=1e-5)
  mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
  group = Norm({'heads': 4, 'head_dim': 5}, 'layer', axes=1)
  group.scale[...], group.bias[...] = draw(4, 5, seed=1), draw(4, 5, seed=2)
  expected = (x - mean) / np.sqrt(variance + 1e-6) * np.float64(group.scale[...]) + np.float64(group.bias[...])
  np.testing.assert_allclose(group(jnp.float32(x)), expected, rtol=1e-4, atol=1e-5)
  no_bias = Norm({'heads': 4, 'head_dim': 5}, 'layer', axes=1, bias=False)(jnp.float32(x))
  np.testing.assert_allclose(no_bias, (x - mean) / np.sqrt(variance + 1e-6), rtol=1e-4, atol=1e-5)
  both = x / np.sqrt(np.mean(x**2, axis=(-2, -1), keepdims=True) + 1e-6)
  np.testing.assert_allclose(normalize(jnp.float32(x), 2), both, rtol=1e-5)


def test_tied_logits_are_float32_sums():
  embed = Embed(7, 16, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
  logits = embed.logits(draw(2, 3, 16))
  assert logits.dtype == jnp.float32
  assert not np.array_equal(logits, logits.astype(jnp.bfloat16).astype(jnp.float32))


def test_specs_of_states_know_their_axes():
  spec = StateSpec((2, 4, 9, 3), ('batch', 'kv_heads', 'cache', 'head_dim'))
  assert (spec.axis('cache'), spec.axis('layers'), spec.stacked(5).axis('batch')) == (2, None, 1)
  tree = {'k': spec.stacked(5), 'shared': StateSpec((3,), ('head_dim',))}
  assert batch_axes(tree) == {'k': 1, 'shared': -1}
  assert zeros(tree)['k'].shape == (5, 2, 4, 9, 3)
  with pytest.raises(ValueError, match='must name'):
    StateSpec((2, 3), ('batch',))


def test_a_context_without_a_key_stays_deterministic():
  context = Context(reset=jnp.array([[True, True]]), mask=jnp.array([[True, False]]))
  assert context.deterministic
  assert all(part.deterministic for part in (context.fold_in(3), *context.split(2)))
  keys = [part.key for part in Context(key=jax.random.key(0)).split(3)]
  assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 3
