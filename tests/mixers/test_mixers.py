"""Looking mixers up, their options, and how the recurrent ones start."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.errors import InputError
from seqmodels.mixers import MIXERS, make_mixer, mixer_options
from seqmodels.mixers.base import Form, Mixer
from tests.cases import make


def test_unknown_mixer_names_the_nearest():
  with pytest.raises(InputError, match=r"'ltsm'.*nearest: lstm"):
    make('ltsm')


def test_a_mixer_takes_the_options_it_knows():
  assert mixer_options('lstm') == ()
  assert mixer_options('sliding_window') == ('heads', 'kv_heads', 'position', 'decode', 'window')
  options = {'window': 3, 'heads': 4, 'stride': 7}
  assert nnx.eval_shape(lambda: make('sliding_window', options=options)).options.window == 3
  assert nnx.eval_shape(lambda: make('sliding_window:window=5', options=options)).options.window == 5


@pytest.mark.parametrize('name', MIXERS)
def test_options_are_frozen_and_have_defaults(name):
  options = MIXERS[name].Options()
  for option in dataclasses.fields(options):
    with pytest.raises(dataclasses.FrozenInstanceError):
      setattr(options, option.name, None)


@pytest.mark.parametrize(
  ('entry', 'options', 'message'),
  [
    ('attention:heads=abc', {}, r'heads.*abc'),
    ('attention', {'kv_heads': 0.5}, r'mixer.kv_heads=0.5'),
    ('attention', {'heads': '2'}, r'mixer.heads=.2.'),
    ('lstm:heads=2', {}, r"'heads'"),
  ],
)
def test_refuses_options_of_another_type(entry, options, message):
  with pytest.raises(InputError, match=message):
    make(entry, options=options)


@pytest.mark.parametrize(('name', 'per_unit'), [('rnn', 1), ('lstm', 4), ('gru', 3)])
def test_parameters_and_state(name, per_unit):
  width = 6
  mixer = nnx.eval_shape(lambda: make(name, width))
  biases = per_unit * width + (width if name == 'gru' else 0)
  leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(mixer, nnx.Param)))
  assert sum(leaf.size for leaf in leaves) == 2 * per_unit * width**2 + biases
  assert all(leaf.dtype == jnp.float32 for leaf in leaves)
  assert mixer.state_spec(3, 10) == mixer.state_spec(3, 10_000)
  assert {(spec.shape, spec.axes) for spec in jax.tree.leaves(mixer.state_spec(3, 10))} == {
    ((3, width), ('batch', 'hidden'))
  }


def test_recurrent_weights_start_orthogonal_and_the_lstm_remembers():
  for name, gates in (('rnn', 1), ('lstm', 4), ('gru', 3)):
    forward = jax.jit(lambda name=name: nnx.to_pure_dict(nnx.state(make(name, 6))))()['forward']
    assert forward['recurrent_kernel'].shape == (6, gates, 6)
    for gate in np.moveaxis(np.asarray(forward['recurrent_kernel']), 1, 0):
      np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-5)
    expected = np.zeros((gates, 6))
    expected[1 : 2 if name == 'lstm' else 1] = 1
    np.testing.assert_array_equal(forward['input']['bias'], expected)


@pytest.mark.parametrize('name', ['rnn', 'lstm', 'gru'])
def test_no_batched_qr(name):
  """On CPU two batched QRs at once can wait for each other for ever, so each gate has one of its own."""
  init = lambda key: nnx.state(make_mixer(name, Form(8), rngs=nnx.Rngs(key)))
  text = jax.jit(init).lower(jax.random.key(0)).as_text()
  shapes = re.findall(r'geqrf\w*\(.*?\) .*?: \(tensor<([\dx]+)xf32>', text)
  assert set(shapes) == {'8x8'}


def test_bidirectional_has_half_the_width_each_way_and_no_state():
  for width in (6, 7):
    both = nnx.eval_shape(lambda width=width: make('lstm', width, causal=False))
    assert both.forward.size + both.backward.size == width
  with pytest.raises(InputError, match='no state'):
    both(jnp.zeros((1, 3, 7)), both.init_state(1, 3))
  with pytest.raises(InputError, match='at least 2'):
    make('lstm', 1, causal=False)


def test_refuses_a_state_of_another_batch():
  for name in ('rnn', 'attention'):
    mixer = make(name, 4)
    with pytest.raises(InputError, match=r'batch of 3.*batch of 2'):
      mixer(jnp.zeros((2, 3, 4)), mixer.init_state(3, 500))


def test_a_mixer_for_encoders_only_is_refused_in_a_causal_model():
  class Encoder(Mixer):
    can_be_causal = False

  assert not Encoder(Form(4, causal=False), rngs=nnx.Rngs(0)).causal
  with pytest.raises(InputError, match='Encoder cannot be causal'):
    Encoder(Form(4), rngs=nnx.Rngs(0))


def test_a_causal_mixer_is_refused_where_a_model_reads_both_ways(monkeypatch):
  class Decoder(Mixer):
    can_be_bidirectional = False

  monkeypatch.setitem(MIXERS, 'decoder', Decoder)
  assert make('decoder').causal
  with pytest.raises(InputError, match='Decoder cannot be bidirectional'):
    make('decoder', causal=False)
