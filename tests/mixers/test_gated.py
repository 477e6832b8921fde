"""How gated linear recurrences and the sLSTM start, what they refuse, and gates that are shut or wide open."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.errors import InputError
from seqmodels.kernels import slstm as kernel
from seqmodels.mixers import make_mixer


def start(name, width=64, **options):
  init = lambda: nnx.to_pure_dict(nnx.state(make_mixer(name, width, rngs=nnx.Rngs(0), options=options)))
  return jax.device_get(jax.jit(init)()['forward'])


def test_lru_starts_on_its_ring():
  params = start('lru', r_min=0.6, r_max=0.9, max_phase=0.5)
  size, phase = np.exp(-np.exp(params['nu_log'])), np.exp(params['theta_log'])
  assert 0.6 < size.min() < 0.65 < 0.85 < size.max() < 0.9
  assert phase.min() < 0.1 < 0.4 < phase.max() < 0.5
  # A state fed with noise of variance one keeps it: Σ |λ|^2t γ² = 1.
  np.testing.assert_allclose(np.exp(params['gamma_log']) ** 2 / (1 - size**2), 1, rtol=1e-4)


def test_rg_lru_starts_slow_and_its_gates_are_blocks():
  params = start('rg_lru', heads=4, expansion=1.5)
  decay = 1 / (1 + np.exp(-params['decay'].astype(np.float64)))
  assert 0.9 < (decay**8).min() < 0.92 < 0.98 < (decay**8).max() < 0.999
  assert params['gates_kernel'].shape == (4, 24, 48)
  assert start('rg_lru', 96)['gates_kernel'].shape == (2, 64, 128)


def test_slstm_forgets_at_many_speeds():
  params = start('slstm')
  forget = params['bias'].reshape(4, 4, 16)[:, 1]
  np.testing.assert_allclose(forget[:, [0, -1]], [[5, -7]] * 4, atol=1e-5)
  assert (np.diff(forget) < 0).all()


@pytest.mark.parametrize('backend', ['xla', 'reference'])
def test_slstm_with_gates_far_out(backend):
  """Exponents of ±500, whose exponentials no float holds: outputs are the last wide-open input's, gradients finite."""
  gates = np.zeros((6, 1, 1, 4), np.float32)
  gates[:, 0, 0, 0] = -500, 500, 0, -500, 300, -500
  gates[:, 0, 0, 1] = 500, -500, 500, 500, 500, -500
  gates[:, 0, 0, 2] = 1, -2, 3, 4, 5, -1
  run = lambda gates: kernel.slstm(gates, kernel.empty_carry(1, 1, 1), jnp.zeros((1, 1, 4)), backend=backend)
  (hs, carry), pullback = jax.jit(lambda gates: jax.vjp(run, gates))(gates)
  # The second forgets the first and outweighs what follows. The last forgets by e^-500 as it takes by e^-500, but
  # what it forgets had outweighed it by e^500.
  np.testing.assert_allclose(hs[:, 0, 0, 0], 0.5 * np.tanh([1, -2, -2, -2, -2, -2]), rtol=1e-5)
  assert all(np.isfinite(a).all() for a in jax.tree.leaves((carry, jax.jit(pullback)((hs, carry)))))


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    ('lru', {'r_min': 0.9, 'r_max': 0.5}, r'r_min=0.9.*r_max=0.5'),
    ('lru', {'max_phase': 7.0}, r'max_phase=7.0'),
    ('lru', {'state_size': -1}, r'state_size=-1'),
    ('rg_lru', {'expansion': 0.0}, r'expansion=0.0'),
    ('rg_lru', {'heads': -2}, r'heads=-2'),
    ('slstm', {'heads': 3}, r'heads=3 must divide width=8'),
    ('slstm', {'temporal_width': -1}, r'temporal_width=-1'),
    ('conv', {'kernel_size': 0}, r'kernel_size=0'),
  ],
)
def test_bad_options(name, options, message):
  with pytest.raises(InputError, match=message):
    make_mixer(name, 8, rngs=nnx.Rngs(0), options=options)


def test_rg_lru_has_gradients_where_it_forgets_nothing():
  """At a = 1 the root of 1 - a² has no slope."""
  mixer = make_mixer('rg_lru', 8, rngs=nnx.Rngs(0))
  mixer.forward.gates_bias[...] = jnp.full_like(mixer.forward.gates_bias[...], -200.0)
  graph, params = nnx.split(mixer)
  x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 8)), jnp.float32)
  gradient = jax.jit(jax.grad(lambda params: nnx.merge(graph, params)(x)[0].sum()))(params)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
