"""How gated linear recurrences and the sLSTM start, what they refuse, and gates that are shut or wide open."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.errors import InputError
from seqmodels.kernels import slstm as kernel
from seqmodels.mixers import parse_entry
from tests import contract
from tests.cases import Case, make


def start(name, width=64, **options):
  init = lambda: nnx.to_pure_dict(nnx.state(make(name, width, options=options)))
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
  decay = 1 / (1 + np.exp(-params['decay_logit'].astype(np.float64)))
  assert 0.9 < (decay**8).min() < 0.92 < 0.98 < (decay**8).max() < 0.999
  assert params['gates']['kernel'].shape == (4, 24, 2, 24)
  assert start('rg_lru', 96)['gates']['kernel'].shape == (2, 64, 2, 64)


def test_slstm_forgets_at_many_speeds():
  params = start('slstm')
  forget = params['input_forget']['bias'][:, 1]
  np.testing.assert_allclose(forget[:, [0, -1]], [[5, -7]] * 4, atol=1e-5)
  assert (np.diff(forget) < 0).all()


@pytest.mark.parametrize('backend', ['xla', 'reference'])
def test_slstm_with_gates_far_out(backend):
  """Exponents of ±500, whose exponentials no float holds: outputs are the last wide-open input's, gradients finite."""
  gates = np.zeros((6, 1, 1, 4), np.float32)
  gates[:, 0, 0, 0] = -500, 500, 0, -500, 300, -500
  gates[:, 0, 0, 1] = 500, -500, 500, 500, 500, -500
  gates[:, 0, 0, 2] = 1, -2, 3, 4, 5, -1
  run = lambda gates: kernel.slstm(gates, kernel.empty_carry(1, 1, 1), jnp.zeros((1, 1, 4)), kernels=backend)
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
    ('slstm', {'temporal_width': 10**9}, r'temporal_width=1000000000 must be from 0 to 1024'),
    ('conv', {'kernel_size': 0}, r'kernel_size=0'),
    ('conv', {'kernel_size': 1e9}, r'kernel_size=1000000000 must be from 1 to 1024'),
    ('conv', {'kernel_size': 1000, 'dilation': 60_000}, r'kernel_size=1000 - 1\) \* mixer.dilation=60000.*at most'),
    ('lru', {'r_min': float('nan')}, r'r_min=nan'),
  ],
)
def test_bad_options(name, options, message):
  with pytest.raises(InputError, match=message):
    make(name, 8, options=options)


def test_rg_lru_has_gradients_where_it_forgets_nothing():
  """At a = 1 the root of 1 - a² has no slope."""
  mixer = make('rg_lru', 8)
  mixer.forward.gates.bias[...] = jnp.full_like(mixer.forward.gates.bias[...], -200.0)
  graph, params = nnx.split(mixer)
  x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 8)), jnp.float32)
  gradient = jax.jit(jax.grad(lambda params: nnx.merge(graph, params)(x)[0].sum()))(params)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_an_entry_of_a_pattern_with_a_huge_convolution_is_refused():
  options = parse_entry('conv:kernel_size=1e9')[1]
  with pytest.raises(InputError, match='kernel_size=1000000000 must be from 1 to 1024'):
    make('conv', 8, options=options)


def parity_by_delta(**options):
  """Return a mixer whose one key has the value 10 at the start and -1 times its value after every 1."""
  mixer = make('gated_delta', 4, options={'heads': 1, 'kernel_size': 1, **options})
  cell, everywhere = mixer.forward, jnp.zeros((4, 1, 4)).at[:, 0, 0].set(10.0)
  for layer in (cell.query, cell.key, cell.gate):
    layer.kernel[...] = everywhere
  cell.value.kernel[...] = everywhere.at[1:].set(0.0)
  for convolution in (cell.query_convolution, cell.key_convolution, cell.value_convolution):
    convolution.taps[...] = jnp.ones((1, 1, 4))
  cell.gates.kernel[...] = jnp.zeros((4, 2, 1)).at[:3, 0, 0].set(jnp.array([0.0, -100.0, 100.0]))  # β: 1, 0, 2
  cell.decay.log_rate[...] = jnp.array([-50.0])
  cell.output.kernel[...] = jnp.eye(4)[None]
  return mixer


def parity_by_rg_lru(**options):
  """Return a mixer whose first channel is set at the start and turns its sign at every 1."""
  mixer = make('rg_lru', 4, options={'expansion': 1.0, 'heads': 1, 'temporal_width': 1, **options})
  cell = mixer.forward
  cell.input.kernel[...] = jnp.zeros((4, 2, 4)).at[:, 0].set(jnp.eye(4))
  cell.input.bias[...] = jnp.zeros((2, 4)).at[1].set(1.0)
  cell.convolution.taps[...] = jnp.ones((1, 4))
  half = np.log(2) / 240  # with Λ = -30, log a = -240 r: a is ½ at the start, 1 at 0 and 0 at 1
  logits = jnp.array([np.log(half / (1 - half)), -100.0, 100.0, 0.0])
  cell.decay_logit[...] = jnp.full((4,), -30.0)
  cell.gates.kernel[...] = jnp.zeros((1, 4, 2, 4)).at[0, :, 0, 0].set(logits)
  cell.output.kernel[...] = jnp.eye(4)
  return mixer


def parity_by_min_gru(**options):
  """As by RG-LRU; z is ½ at the start, 0 at 0 and 1 at 1."""
  mixer = make('min_gru', 4, options=options)
  gates = jnp.array([[0.0, 20.0], [-100.0, 0.0], [100.0, 0.0], [0.0, 0.0]])
  mixer.forward.input.kernel[...] = jnp.zeros((4, 2, 4)).at[:, :, 0].set(gates)
  return mixer


def parity_by_min_lstm(**options):
  """As by minGRU, with f and i in place of 1 - z and z."""
  mixer = make('min_lstm', 4, options=options)
  gates = jnp.array([[0.0, 0.0, 20.0], [100.0, -100.0, 0.0], [-100.0, 100.0, 0.0], [0.0, 0.0, 0.0]])
  mixer.forward.input.kernel[...] = jnp.zeros((4, 3, 4)).at[:, :, 0].set(gates)
  return mixer


def parity_by_ssd(**options):
  """As by RG-LRU; exp(Δ A) is ½ at the start, 1 at 0 and 0 at 1."""
  mixer = make('ssd', 4, options={'heads': 1, 'expand': 1, 'state_width': 1, 'kernel_size': 1, **options})
  cell = mixer.forward
  cell.value.kernel[...] = jnp.zeros((4, 1, 4)).at[0, 0, 0].set(10.0)
  for layer in (cell.query, cell.key, cell.gate):
    layer.kernel[...] = jnp.full_like(layer.kernel[...], 10.0)
  for convolution in (cell.query_convolution, cell.key_convolution, cell.value_convolution):
    convolution.taps[...] = jnp.ones_like(convolution.taps[...])
  cell.step.kernel[...] = jnp.array([0.0, -100.0, 100.0, 0.0])[:, None]
  cell.decay.log_rate[...] = cell.decay.bias[...] = jnp.zeros((1,))
  cell.output.kernel[...] = jnp.eye(4)[None]
  return mixer


@pytest.mark.parametrize(
  'build', [parity_by_delta, parity_by_rg_lru, parity_by_min_gru, parity_by_min_lstm, parity_by_ssd]
)
def test_parity_of_every_short_string_needs_negative_eigenvalues(build):
  """States that are only ever multiplied by numbers in (0, 1) cannot count modulo two (Grazzi et al. 2024)."""
  bits = np.array(list(itertools.product((0, 1), repeat=8)))
  x = np.zeros((len(bits), 9, 4), np.float32)
  x[:, 0, 0], x[:, 1:, 1], x[:, 1:, 2] = 1, bits == 0, bits == 1
  signs = 1 - 2 * (np.cumsum(bits, axis=1) % 2)
  reads = lambda mixer: np.asarray(jax.jit(lambda x: mixer(x)[0])(x))[:, 1:, 0]
  y = reads(build(negative_eigenvalues=True))
  np.testing.assert_array_equal(np.sign(y), signs)
  assert np.abs(y).min() > 0.1
  assert (reads(build()) * signs <= 0.1)[bits.any(axis=1), -1].all()


@pytest.mark.parametrize('name', ['gated_delta', 'rg_lru', 'min_gru', 'min_lstm', 'ssd'])
def test_negative_eigenvalues_keep_the_contract(name):
  options = (('heads', 2), ('chunk', 4)) if name in ('gated_delta', 'ssd') else ()
  case = Case(name, (*options, ('negative_eigenvalues', True)))
  contract.check_segments_with_flags(case)
  contract.check_backends_agree(case, 'reference')
