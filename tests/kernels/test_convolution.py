"""The causal convolution against a NumPy loop over documents and taps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import Documents
from seqmodels.errors import InputError
from seqmodels.kernels.convolution import causal_depthwise

B, T, D, TAPS = 3, 12, 4, 3


def loop(x, weights, history, documents, dilation):
  """Row by row: a list of the inputs so far, which a reset empties; padding is never put on it."""
  x, weights, history = (np.asarray(a, np.float64) for a in (x, weights, history))
  y, after = np.zeros_like(x), np.zeros_like(history)
  reach, (reset, mask, _) = history.shape[1], documents
  for row in range(x.shape[0]):
    past = list(history[row])
    for t in range(x.shape[1]):
      if reset is not None and reset[row, t]:
        past = [np.zeros(x.shape[2])] * reach
      if mask is not None and not mask[row, t]:
        continue
      past.append(x[row, t])
      for i in range(weights.shape[0]):
        y[row, t] += weights[-1 - i] * past[-1 - i * dilation]
    after[row] = past[len(past) - reach :]
  return y, after


@functools.partial(jax.jit, static_argnames='dilation')
def run(x, weights, history, documents, dilation):
  return causal_depthwise(x, weights, history, documents=documents, dilation=dilation)


@pytest.mark.parametrize('length', [1, T])
@pytest.mark.parametrize('dilation', [1, 3])
def test_equals_the_equation(length, dilation):
  random = np.random.default_rng(length)
  normal = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
  arrays = normal(B, length, D), normal(TAPS, D), normal(B, (TAPS - 1) * dilation, D)
  reset, mask = random.random((B, length)) < 0.3, random.random((B, length)) < 0.6
  for documents in (Documents(), Documents(reset), Documents(mask=mask), Documents(reset, mask)):
    y, history = run(*arrays, documents, dilation=dilation)
    expected, expected_history = loop(*arrays, documents, dilation)
    seen = np.ones((B, length), bool) if documents.mask is None else mask
    np.testing.assert_allclose(y[seen], expected[seen], atol=2e-6)
    np.testing.assert_array_equal(history, expected_history.astype(np.float32))


def test_one_tap_has_no_history():
  x, weights = jnp.arange(12.0).reshape(2, 3, 2), jnp.array([[2.0, 3.0]])
  documents = Documents(np.zeros((2, 3), bool), np.ones((2, 3), bool))
  y, history = run(x, weights, jnp.zeros((2, 0, 2)), documents, dilation=1)
  np.testing.assert_array_equal(y, x * weights[0][None, None, :])
  assert history.shape == (2, 0, 2)


def test_refuses_a_history_of_another_length():
  with pytest.raises(InputError, match='must be'):
    causal_depthwise(jnp.zeros((1, 2, 3)), jnp.zeros((4, 3)), jnp.zeros((1, 2, 3)))
