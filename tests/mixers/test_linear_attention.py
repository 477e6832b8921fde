"""What linear mixers promise beyond the contract: Linformer's documents, Performer's draws, and clear errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.context import Context
from seqmodels.errors import InputError
from seqmodels.mixers import parse_entry, performer
from tests.cases import B, Case, T, draw_input, make
from tests.independent.linear import linformer

LINEAR = ('linear_attention', 'performer', 'retention', 'ssd', 'gla', 'gated_delta', 'mlstm')


def test_linformer_packs_documents_as_if_each_stood_alone():
  case, x = Case('linformer', (('heads', 2), ('length', 14), ('rank', 3)), causal=False), draw_input()
  reset, mask = np.zeros((B, T), bool), np.ones((B, T), bool)
  reset[:, [0, 5]], mask[:, [2, 6, 11]] = True, False
  actual = np.asarray(case.run(x, None, reset, mask)[0])
  params = jax.tree.map(lambda a: np.asarray(a, np.float64), case.params)
  for row, document in np.ndindex(B, 2):
    place = np.flatnonzero(mask[row] & ((np.arange(T) >= 5) == document))
    expected = linformer(params, np.asarray(x[row, place], np.float64))
    np.testing.assert_allclose(actual[row, place], expected, atol=1e-5)


def test_performer_directions_are_orthogonal_and_as_long_as_gaussian_vectors():
  drawn = jax.jit(lambda key: performer.draw_directions(key, 256, 8))(jax.random.key(0))
  for directions in (performer.fixed_directions(3, 256, 8), np.asarray(drawn)):
    for block in directions.reshape(-1, 8, 8):
      lengths = np.linalg.norm(block, axis=1)
      np.testing.assert_allclose(block @ block.T, np.diag(lengths**2), atol=1e-4)
    assert np.mean(directions**2) == pytest.approx(1.0, abs=0.1)  # 2,048 squares of variance 2
  assert np.abs(performer.fixed_directions(3, 256, 8) - performer.fixed_directions(4, 256, 8)).max() > 1


def test_performer_redraws_in_training_steps_only():
  x = jnp.asarray(draw_input())
  mixer = make('performer', options={'redraw': True, 'features': 4})
  graph, params = nnx.split(mixer)

  @jax.jit
  def outputs(key):
    mixer = nnx.merge(graph, params)
    state = mixer.init_state(B, T)
    step, again = (mixer(x, None, Context(key=jax.random.fold_in(key, i)))[0] for i in (0, 1))
    return mixer(x)[0], mixer(x, state, Context(key=key))[0], step, again

  fixed, with_state, step, again = outputs(jax.random.key(1))
  np.testing.assert_allclose(with_state, fixed, atol=1e-6)
  assert np.abs(step - fixed).max() > 0.01
  assert np.abs(step - again).max() > 0.01


def test_features_are_chosen_by_the_key_width():
  assert [performer.choose_features(width) for width in (1, 8, 64)] == [1, 16, 256]


@pytest.mark.parametrize('name', LINEAR)
def test_state_does_not_grow(name):
  mixer = nnx.eval_shape(lambda: make(name, 16, options={'heads': 2}))
  states = [jax.eval_shape(lambda n=n: mixer.init_state(3, n)) for n in (10, 10_000)]
  assert states[0] == states[1]
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(states[0]))


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    *((name, {'heads': 3}, 'heads=3 must divide') for name in LINEAR),
    *((name, {'chunk': 12}, r'mixer.chunk=12 must be 0 \(chosen\) or a power of two') for name in LINEAR),
    ('linear_attention', {'position': 'alibi'}, "position='alibi' is not known; .*rotary"),
    ('retention', {'position': 'rotary', 'heads': 8}, 'even head_dim'),
    ('performer', {'features': -1}, 'features=-1'),
    ('performer', {'features': 10**6}, 'features=1000000 must be from 0 to 65536'),
    ('performer', {'features': 3, 'position': 'rotary'}, 'features=3 must be even'),
    ('performer', {'feature_seed': -1}, 'feature_seed=-1'),
    ('linear_attention', {'heads': -1}, 'heads=-1'),
    ('ssd', {'state_width': 0}, 'state_width=0'),
    ('retention', {'expand': 10**6}, 'expand=1000000'),
    ('gla', {'gate_rank': 0}, 'gate_rank=0'),
  ],
)
def test_bad_options_are_one_clear_line(name, options, message):
  with pytest.raises(InputError, match=message):
    make(name, 8, options=options)


def test_an_entry_of_a_pattern_cannot_ask_for_no_features():
  with pytest.raises(InputError, match='features=0 must be at least 1'):
    parse_entry('performer:features=0')


def test_linformer_is_as_long_as_training_where_no_length_is_set():
  mixer = nnx.eval_shape(lambda: make('linformer', causal=False, length=T))
  assert mixer.key_mixture.shape == (T, 64)


def test_linformer_refuses_longer_inputs_and_causal_models():
  mixer = nnx.eval_shape(lambda: make('linformer', causal=False, options={'length': 5}))
  with pytest.raises(InputError, match=r'mixer.length=5 of linformer must be at least 12'):
    mixer(jnp.asarray(draw_input()))
  with pytest.raises(InputError, match=r'mixer.length=0 of linformer must be greater than 0'):
    make('linformer', causal=False)
  with pytest.raises(InputError, match='cannot be causal'):
    make('linformer')
