"""The library in C++: how it is built and chosen, and its products and feed-forward layers against NumPy and JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import InputError
from seqmodels.kernels import native, projection
from seqmodels.kernels.native import feedforward, products

built = pytest.mark.skipif(not native.available(), reason='the native kernels are not built')


def draw(*shapes):
  random = np.random.default_rng(0)
  return [jnp.asarray(random.normal(size=shape), jnp.float32) for shape in shapes]


# Sizes at the edges of every block: one, a vector and one more, more than is packed at a time of rows, depth, columns.
@built
@pytest.mark.parametrize(
  ('rows', 'd', 'n'), [(1, 1, 1), (3, 17, 5), (14, 16, 32), (15, 33, 31), (460, 3, 9), (7, 600, 40), (20, 5, 2100)]
)
def test_products_and_their_gradients(rows, d, n):
  x, kernel, dy = draw((rows, d), (d, n), (rows, n))
  y, back = jax.vjp(products.dot, x, kernel)
  x, kernel, dy64 = (np.asarray(a, np.float64) for a in (x, kernel, dy))
  for actual, expected in zip((y, *back(dy)), (x @ kernel, dy64 @ kernel.T, x.T @ dy64), strict=True):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


@built
@pytest.mark.parametrize(('rows', 'd', 'm', 'n'), [((), 3, 5, 4), ((2, 9), 7, 18, 5), ((3, 160), 20, 40, 20)])
def test_feedforward(rows, d, m, n):
  x, dy, *weights = draw((*rows, d), (*rows, n), (d, m), (m,), (m, n), (n,))

  y, back = jax.vjp(feedforward.feedforward, x, *weights)
  expected = feedforward_loop(*(np.asarray(a, np.float64) for a in (x, *weights, dy)))
  for a, e in zip((y, *back(dy)), expected, strict=True):
    np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5 * max(1, np.abs(e).max()))


def feedforward_loop(x, w1, b1, w2, b2, dy):
  """Output and gradients from the equations of Hendrycks & Gimpel (2016), in float64."""
  flat = lambda a: a.reshape(-1, a.shape[-1])
  slope, cube = np.sqrt(2 / np.pi), 0.044715
  z = x @ w1 + b1
  t = np.tanh(slope * (z + cube * z**3))
  h = 0.5 * z * (1 + t)
  dz = (dy @ w2.T) * (0.5 * (1 + t) + 0.5 * z * (1 - t**2) * slope * (1 + 3 * cube * z**2))
  return h @ w2 + b2, dz @ w1.T, flat(x).T @ flat(dz), flat(dz).sum(0), flat(h).T @ flat(dy), flat(dy).sum(0)


@built
def test_a_mapped_call_is_a_call_for_each():
  x, kernel = draw((4, 3, 6), (6, 5))
  np.testing.assert_allclose(jax.vmap(lambda x: products.dot(x, kernel))(x), x @ kernel, rtol=1e-5, atol=1e-5)


@built
def test_several_devices_and_small_types_have_the_form_in_jax():
  x, kernel = draw((128, 64), (64, 64))
  assert jax.device_count() > 1
  assert not native.suits(x)
  assert 'ffi' not in str(jax.make_jaxpr(lambda x, k: projection.dot(x, k, jnp.float32))(x, kernel))
  with pytest.raises(InputError, match='native computes in float32'):
    native.check(jnp.bfloat16)


@built
def test_one_device_has_the_native_form(monkeypatch):
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  x, kernel, row = draw((1024, 64), (64, 64), (1, 64))
  traced = lambda x, dtype: str(jax.make_jaxpr(lambda x, k: projection.dot(x, k, dtype))(x, kernel))
  assert 'ffi' in traced(x, jnp.float32)
  assert 'ffi' not in traced(row, jnp.float32)
  assert 'ffi' not in traced(x[:512], jnp.float32)
  assert 'ffi' not in traced(x, jnp.bfloat16)


def test_without_the_library_jax_runs(monkeypatch):
  monkeypatch.setattr(native, '_load', lambda: False)
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  (x,) = draw((128, 64))
  assert not native.suits(x)
  with pytest.raises(InputError, match=r'is not built: run|is for CPUs'):
    native.check(x)


def test_without_a_compiler_one_line_says_so(monkeypatch, tmp_path):
  monkeypatch.setattr(native, 'library', lambda: tmp_path / 'none.so')
  monkeypatch.delenv('CXX', raising=False)
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(InputError, match=r'no C\+\+ compiler found'):
    native.build()
  monkeypatch.setenv('CXX', 'false')
  monkeypatch.setenv('PATH', '/usr/bin:/bin')
  with pytest.raises(InputError, match=r'compiler false failed'):
    native.build()
  monkeypatch.setenv('CXX', 'no-such-compiler')
  with pytest.raises(InputError, match='no-such-compiler cannot be run'):
    native.build()
  assert not list(tmp_path.iterdir())
