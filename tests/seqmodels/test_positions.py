"""Position encodings against their papers' formulas, in complex numbers and loops."""

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.positions import advance, rotary, sinusoidal


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
  position, end = advance(jnp.asarray(start), 12, jnp.asarray(reset), jnp.asarray(mask))
  np.testing.assert_array_equal(np.asarray(position)[mask], expected[mask])
  np.testing.assert_array_equal(end, after)
  plain, end = advance(jnp.asarray(start), 12, None, None)
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
