"""Looking mixers up, and how the recurrent ones start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.errors import InputError
from seqmodels.kernels.cpu import library
from seqmodels.mixers import GRU, LSTM, MIXERS, RNN, make_mixer, mixer_options
from seqmodels.mixers.base import Mixer


def test_unknown_mixer_names_the_nearest():
  with pytest.raises(InputError, match=r"'ltsm'.*nearest: lstm"):
    make_mixer('ltsm', 8, rngs=nnx.Rngs(0))


def test_a_mixer_takes_the_options_it_knows():
  assert mixer_options('lstm') == ('implementation',)
  options = {'implementation': 'reference', 'heads': 3}
  lstm = nnx.eval_shape(lambda: make_mixer('lstm', 8, rngs=nnx.Rngs(0), options=options))
  assert lstm.forward.implementation == 'reference'


@pytest.mark.parametrize('name', [name for name, mixer in MIXERS.items() if mixer.implementations])
def test_refuses_an_unknown_implementation(name):
  with pytest.raises(InputError, match=r'kernels.*allowed'):
    make_mixer(name, 8, rngs=nnx.Rngs(0), options={'implementation': 'nonsense'})


@pytest.mark.parametrize('name', [name for name, mixer in MIXERS.items() if 'cpu' in mixer.implementations])
def test_refuses_kernels_that_are_not_there_before_anything_is_computed(name, monkeypatch):
  make = lambda dtype: make_mixer(name, 8, rngs=nnx.Rngs(0), dtype=dtype, options={'implementation': 'cpu'})
  with pytest.raises(InputError, match='compute in float32'):
    make('bfloat16')
  monkeypatch.setattr(library, 'load', lambda: False)
  with pytest.raises(InputError, match=r'kernels=cpu: .* not built'):
    make('float32')


@pytest.mark.parametrize(('name', 'per_unit'), [('rnn', 1), ('lstm', 4), ('gru', 3)])
def test_parameters_and_state(name, per_unit):
  width = 6
  mixer = nnx.eval_shape(lambda: make_mixer(name, width, rngs=nnx.Rngs(0)))
  biases = per_unit * width + (width if name == 'gru' else 0)
  leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(mixer, nnx.Param)))
  assert sum(leaf.size for leaf in leaves) == 2 * per_unit * width**2 + biases
  assert all(leaf.dtype == jnp.float32 for leaf in leaves)
  states = [jax.eval_shape(lambda n=n: mixer.init_state(3, n)) for n in (10, 10_000)]
  assert states[0] == states[1]
  assert {s.shape for s in jax.tree.leaves(states[0])} == {(3, width)}


def test_recurrent_weights_start_orthogonal_and_the_lstm_remembers():
  for mixer, gates in ((RNN, 1), (LSTM, 4), (GRU, 3)):
    forward = jax.jit(lambda mixer=mixer: nnx.to_pure_dict(nnx.state(mixer(6, rngs=nnx.Rngs(0)))))()['forward']
    for gate in np.split(np.asarray(forward['recurrent_kernel']), gates, axis=1):
      np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-5)
    bias = [set(gate) for gate in np.split(np.asarray(forward['bias']), gates)]
    assert bias == ([{0.0}, {1.0}, {0.0}, {0.0}] if mixer is LSTM else [{0.0}] * gates)


def test_bidirectional_has_half_the_width_each_way_and_no_state():
  for width in (6, 7):
    both = nnx.eval_shape(lambda width=width: LSTM(width, rngs=nnx.Rngs(0), causal=False))
    assert both.forward.size + both.backward.size == width
  with pytest.raises(InputError, match='no state'):
    both(jnp.zeros((1, 3, 7)), both.init_state(1, 3))
  with pytest.raises(InputError, match='at least 2'):
    LSTM(1, rngs=nnx.Rngs(0), causal=False)


def test_refuses_a_state_of_another_batch():
  rnn = nnx.eval_shape(lambda: RNN(4, rngs=nnx.Rngs(0)))
  with pytest.raises(InputError, match=r'batch of 3.*batch of 2'):
    rnn(jnp.zeros((2, 3, 4)), rnn.init_state(3, 5))


def test_a_mixer_for_encoders_only_is_refused_in_a_causal_model():
  class Encoder(Mixer):
    can_be_causal = False

  assert not Encoder(4, rngs=nnx.Rngs(0), causal=False).causal
  with pytest.raises(InputError, match='cannot be causal'):
    Encoder(4, rngs=nnx.Rngs(0))
