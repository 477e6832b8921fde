"""The product of a few rows in native code against NumPy, with its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.kernels import native, projection

BUILT = pytest.mark.skipif(not native.available(), reason='native kernels are not built')


@BUILT
@pytest.mark.parametrize(('rows', 'd', 'n'), [(1, 3, 5), (2, 21, 100), (1, 256, 1024), (8, 515, 301)])
def test_few_rows(rows, d, n):
  """Parts of vectors, rows that no block divides, one thread and several."""
  random = np.random.default_rng(0)
  x, kernel, dy = (random.normal(size=shape).astype(np.float32) for shape in ((rows, d), (d, n), (rows, n)))
  y, pullback = jax.vjp(projection.few_rows, jnp.asarray(x), jnp.asarray(kernel))
  expected = x.astype(np.float64) @ kernel
  np.testing.assert_allclose(y, expected, atol=1e-6 * np.abs(expected).max())
  for actual, exact in zip(pullback(jnp.asarray(dy)), (dy @ kernel.T, x.T @ dy), strict=True):
    np.testing.assert_allclose(actual, exact, atol=1e-5 * np.abs(exact).max())


@BUILT
def test_one_token_takes_it(monkeypatch):
  """On one device; more rows and larger weights are XLA's."""
  monkeypatch.setattr(native, 'suits', lambda *arrays: True)
  program = lambda rows, n: (
    jax.jit(projection.dot, static_argnums=2)
    .lower(jnp.zeros((rows, 1, 256)), jnp.zeros((256, n)), jnp.float32)
    .as_text()
  )
  assert 'few_rows' in program(1, 512)
  assert 'few_rows' not in program(3, 512) + program(1, 8192) + program(1, 8)
