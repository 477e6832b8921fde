"""Position encodings against their papers' formulas, in complex numbers and loops."""

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.positions import advance, alibi_slopes, compact, rotary, sinusoidal, t5_bucket


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
