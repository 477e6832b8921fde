"""Position encodings against their formulas, anywhere in a stream, and mixers that use them there."""

import decimal
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels import positions
from seqmodels.context import Documents
from seqmodels.positions import advance, alibi_slopes, compact, rotary, sinusoidal, t5_bucket
from tests.cases import make

PI = decimal.Decimal('3.14159265358979323846264338327950288419716939937510582097494')
LATE = 19_200_000  # tokens; a multiple of SLOTS, so that a ring's slots hold the same distances as at 0
SLOTS, WIDTH = 64, 32


def exact_angle(position: int, i: int, half: int) -> float:
  """Return position · 10,000^(-i/half) modulo 2π, from 60 decimal digits."""
  with decimal.localcontext(prec=60):
    angle = position * decimal.Decimal(10_000) ** (-decimal.Decimal(i) / half)
    return float(angle - (angle / (2 * PI)).to_integral_value() * 2 * PI)


@pytest.mark.parametrize('half', [1, 5, 32])
def test_angles_are_exact_at_any_position(half):
  places = [0, 1, -1, 7, -130, 65_535, 65_536, 1_000_003, -LATE, LATE, 2**31 - 1, -(2**31 - 1)]
  actual = jax.jit(lambda position: positions.angles(position, half))(jnp.array([places], jnp.int32))[0]
  expected = np.array([[exact_angle(place, i, half) for i in range(half)] for place in places])
  distance = np.abs(np.asarray(actual, np.float64) - expected)
  assert np.minimum(distance, np.abs(distance - 2 * math.pi)).max() < 4e-7


def test_sinusoids_are_exact_late_in_a_stream():
  actual = positions.sinusoidal(jnp.array([[LATE]], jnp.int32), 7)[0, 0]
  angles = [exact_angle(LATE, i, 4) for i in range(4)]
  np.testing.assert_allclose(actual, [*np.sin(angles), *np.cos(angles)][:7], atol=1e-6)


@pytest.mark.parametrize(
  ('name', 'options'),
  [
    ('attention', {}),
    ('attention', {'decode': 'full'}),
    ('sliding_window', {'window': 32}),
    ('sparse', {'stride': 16}),
    ('retention', {}),
    ('linear_attention', {}),
  ],
)
def test_rotary_mixers_do_not_change_late_in_a_stream(name, options):
  """The same tokens give the same outputs from position 19 million on as from 0 on, in segments and one by one."""
  mixer = make(name, WIDTH, options={'position': 'rotary', 'heads': 2, **options})
  graph, params = nnx.split(mixer)
  apply = jax.jit(lambda params, x, state: nnx.merge(graph, params)(x, state))
  x = np.random.default_rng(3).normal(size=(1, 2 * SLOTS, WIDTH)).astype(np.float32)

  def outputs(start: int) -> np.ndarray:
    state = mixer.init_state(1, SLOTS)
    state['end' if 'end' in state else 'position'] = jnp.full((1,), start, jnp.int32)
    ys, first = [], 0
    for length in (32, 32, 32, *(1,) * 32):  # behind SLOTS tokens a ring holds nothing older
      y, state = apply(params, x[:, first : first + length], state)
      ys.append(y)
      first += length
    return np.concatenate(ys, axis=1)[:, SLOTS:]

  early = outputs(0)
  assert np.abs(outputs(LATE) - early).max() < 1e-5 * np.sqrt(np.mean(early**2))


def test_advance_counts_like_a_loop():
  draw = np.random.default_rng(0)
  start = draw.integers(0, 5, 6).astype(np.int32)
  reset, mask = draw.random((6, 12)) < 0.2, draw.random((6, 12)) < 0.7
  expected, after = np.zeros((6, 12), int), np.zeros(6, int)
  for b in range(6):
    count = start[b]
    for t in range(12):
      if mask[b, t]:
        count = 0 if reset[b, t] else count
        expected[b, t] = count
        count += 1
    after[b] = count
  position, end = advance(jnp.asarray(start), 12, Documents(jnp.asarray(reset), jnp.asarray(mask)))
  np.testing.assert_array_equal(np.asarray(position)[mask], expected[mask])
  np.testing.assert_array_equal(end, after)
  plain, end = advance(jnp.asarray(start), 12, Documents())
  np.testing.assert_array_equal(plain, start[:, None] + np.arange(12))
  np.testing.assert_array_equal(end, start + 12)


def test_sinusoidal_is_the_formula():
  table = np.asarray(sinusoidal(jnp.arange(50)[None], 8))[0]
  for p in (0, 1, 49):
    for i in range(4):
      angle = p / 10_000 ** (2 * i / 8)
      np.testing.assert_allclose(table[p, [i, 4 + i]], [np.sin(angle), np.cos(angle)], atol=2e-6)


def test_rotary_is_a_complex_rotation_and_depends_on_distance_only():
  x = np.asarray(jax.random.normal(jax.random.key(0), (1, 6, 2, 8)))
  position = np.array([[0, 1, 2, 5, 9, 30]], np.int32)
  rotated = np.asarray(rotary(jnp.asarray(x), jnp.asarray(position)))
  theta = 10_000.0 ** (-2 * np.arange(4) / 8)
  turned = (x[..., :4] + 1j * x[..., 4:]) * np.exp(1j * position[..., None, None] * theta)
  np.testing.assert_allclose(rotated, np.concatenate([turned.real, turned.imag], -1), atol=1e-5)
  shifted = np.asarray(rotary(jnp.asarray(x), jnp.asarray(position + 17)))
  np.testing.assert_allclose(
    np.einsum('bthk,bshk->bhts', rotated, rotated), np.einsum('bthk,bshk->bhts', shifted, shifted), atol=1e-4
  )


def test_alibi_slopes_are_the_papers():
  np.testing.assert_allclose(alibi_slopes(8), 0.5 ** np.arange(1, 9), rtol=1e-6)
  np.testing.assert_allclose(alibi_slopes(16), 0.5 ** np.arange(0.5, 8.5, 0.5), rtol=1e-6)
  between = alibi_slopes(12)  # those of 8, and of 16 the first, third, fifth and seventh
  np.testing.assert_allclose(between, [*0.5 ** np.arange(1, 9), *0.5 ** np.arange(0.5, 4.5, 1)], rtol=1e-6)
  assert [len(alibi_slopes(heads)) for heads in range(1, 40)] == list(range(1, 40))


def test_t5_buckets():
  """Exact to 15, then at the powers of 8^(1/16), the last from 128 on; both ways half as many each."""
  distance = jnp.array([-5, 0, 1, 15, 16, 17, 18, 19, 31, 32, 45, 46, 64, 90, 113, 128, 5000])
  expected = [0, 0, 1, 15, 16, 16, 16, 17, 21, 21, 23, 24, 26, 29, 31, 31, 31]
  np.testing.assert_array_equal(t5_bucket(distance), expected)
  both = t5_bucket(jnp.array([-5000, -8, -1, 0, 7, 8, 11, 12, 128]), ahead=True)
  np.testing.assert_array_equal(both, [31, 24, 17, 0, 7, 8, 8, 9, 15])


def test_compacting_moves_padding_to_the_end():
  mask = np.random.default_rng(1).random((5, 9)) < 0.5
  mask[0], mask[1] = False, True
  source, place, real = compact(jnp.asarray(mask))
  for row in range(5):
    kept = np.flatnonzero(mask[row])
    np.testing.assert_array_equal(np.asarray(source)[row, : len(kept)], kept)
    np.testing.assert_array_equal(np.asarray(place)[row, kept], np.arange(len(kept)))
    assert np.asarray(real)[row].sum() == len(kept)
