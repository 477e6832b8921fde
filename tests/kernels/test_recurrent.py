"""Recurrent kernels against NumPy loops written from the equations, Flax's cells, and autodiff."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental import rnn as vendor_rnn

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.errors import InputError
from seqmodels.kernels import recurrent
from seqmodels.kernels.cpu import library
from seqmodels.kernels.gpu import recurrent as gpu

B, T, D, E = 3, 9, 5, 4


CELLS = {'rnn': (recurrent.rnn, 1), 'lstm': (recurrent.lstm, 4), 'gru': (recurrent.gru, 3)}
BACKENDS = ('reference', 'xla', 'cpu', 'auto')


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def rnn_step(x, carry, w, u, b):
  return (np.tanh(x @ w + carry[0] @ u + b),)


def lstm_step(x, carry, w, u, b):
  h, c = carry
  i, f, g, o = np.split(x @ w + h @ u + b, 4)
  c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
  return sigmoid(o) * np.tanh(c), c


def gru_step(x, carry, w, u, b, b_n):
  (h,) = carry
  (w_r, w_z, w_n), (u_r, u_z, u_n), (b_r, b_z, b_in) = (np.split(a, 3, axis=-1) for a in (w, u, b))
  r = sigmoid(x @ w_r + h @ u_r + b_r)
  z = sigmoid(x @ w_z + h @ u_z + b_z)
  n = np.tanh(x @ w_n + b_in + r * (h @ u_n + b_n))
  return ((1 - z) * n + z * h,)


STEPS = {'rnn': rnn_step, 'lstm': lstm_step, 'gru': gru_step}


def loop(step, x, carry, weights, documents=ONE_DOCUMENT):
  """One example, one position, one equation at a time, in float64."""
  x, carry, weights = jax.tree.map(lambda a: np.asarray(a, np.float64), (x, carry, weights))
  reset, mask, _ = documents
  ys = np.zeros((*x.shape[:2], carry[0].shape[-1]))
  ends = [a.copy() for a in carry]
  for row in range(x.shape[0]):
    now = tuple(a[row] for a in carry)
    for t in range(x.shape[1]):
      if reset is not None and reset[row, t]:
        now = tuple(np.zeros_like(a) for a in now)
      if mask is None or mask[row, t]:
        now = step(x[row, t], now, *weights)
      ys[row, t] = now[0]
    for end, a in zip(ends, now, strict=True):
      end[row] = a
  return ys, tuple(ends)


def draw(name, length=T, seed=0):
  random = np.random.default_rng(seed)
  gates = CELLS[name][1]
  normal = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
  weights = (normal(D, gates * E), normal(E, gates * E) * 0.7, normal(gates * E))
  if name == 'gru':
    weights = (*weights, normal(E))
  carry = tuple(normal(B, E) for _ in range(2 if name == 'lstm' else 1))
  reset = jnp.asarray(random.random((B, length)) < 0.3)
  mask = jnp.asarray(random.random((B, length)) < 0.7)
  return normal(B, length, D), carry, weights, Documents(reset, mask)


def skip_without(backend):
  if backend == 'cpu' and not library.load():
    pytest.skip('the kernels for CPUs are not built')


def by_gate(name, weights):
  """Weights with an axis of gates."""
  gates = CELLS[name][1]
  return *(a.reshape(*a.shape[:-1], gates, -1) for a in weights[:3]), *weights[3:]


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(name, backend, x, carry, weights, documents=ONE_DOCUMENT):
  y, *carry = CELLS[name][0](x, *carry, *by_gate(name, weights), documents=documents, kernels=backend)
  return y, tuple(carry)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('name', CELLS)
def test_equals_the_equations(name, backend):
  skip_without(backend)
  x, carry, weights, drawn = draw(name)
  for documents in (ONE_DOCUMENT, drawn):
    expected = loop(STEPS[name], x, carry, weights, documents)
    actual = run(name, backend, x, carry, weights, documents)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=2e-6), actual, expected)


@pytest.mark.parametrize('name', ['rnn', 'lstm', 'gru'])
def test_one_token_equals_the_equations(name):
  x, carry, weights, _ = draw(name, length=1)
  expected = loop(STEPS[name], x, carry, weights)
  actual = run(name, 'xla', x, carry, weights)
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=2e-6), actual, expected)


@pytest.mark.parametrize('flagged', [False, True])
@pytest.mark.parametrize('backend', BACKENDS[1:])
@pytest.mark.parametrize('name', CELLS)
def test_own_backward_equals_autodiff(name, flagged, backend):
  skip_without(backend)
  x, carry, weights, documents = draw(name, seed=1)
  documents = documents if flagged else ONE_DOCUMENT
  cotangents = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), (x[..., :E], carry))

  def gradient(backend):
    @jax.jit
    def of(x, carry, weights):
      return jax.vjp(lambda *a: run(name, backend, *a, documents), x, carry, weights)[1](cotangents)

    return of(x, carry, weights)

  expected, actual = gradient('reference'), gradient(backend)
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5), actual, expected)
  assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(actual))


@pytest.mark.parametrize('name', ['rnn', 'lstm', 'gru'])
def test_gradients_in_bfloat16_are_those_of_float32_but_for_its_rounding(name):
  kernel, gates = CELLS[name]
  draw = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape) / 2
  batch = 2
  carry = [draw(1, batch, E)] * (2 if name == 'lstm' else 1)
  weights = [draw(2, D, gates * E), draw(3, E, gates * E), draw(4, gates * E), *([draw(5, E)] if name == 'gru' else [])]

  def loss(x, weights, dtype):
    y = kernel(jnp.square(x.astype(dtype)), *carry, *by_gate(name, weights), kernels='xla', dtype=dtype)[0]
    return jnp.square(y.astype(jnp.float32)).mean()

  x = draw(0, batch, T, D)
  half, full = (jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)(x, weights, d) for d in (jnp.bfloat16, jnp.float32))
  near = lambda a, b: np.testing.assert_allclose(a, b, atol=0.03 * np.abs(b).max())
  jax.tree.map(near, half, full)


FLAX_CELLS = {'rnn': nnx.SimpleCell, 'lstm': nnx.OptimizedLSTMCell, 'gru': nnx.GRUCell}


@pytest.mark.parametrize('name', FLAX_CELLS)
def test_equals_flax(name):
  x, carry, (w, u, bias, *_), _ = draw(name)
  cell = FLAX_CELLS[name](D, E, rngs=nnx.Rngs(0))
  cell.dense_i.kernel[...], cell.dense_h.kernel[...] = w, u
  # Flax has one bias a gate: beside the input (GRU, simple cell) or beside the carry (LSTM).
  (cell.dense_h if name == 'lstm' else cell.dense_i).bias[...] = bias

  graph, variables = nnx.split(cell)

  @jax.jit
  def flax_loop(variables, carry):
    cell = nnx.merge(graph, variables)
    ys = []
    for t in range(T):
      carry, y = cell(carry, x[:, t])
      ys.append(y)
    return jnp.stack(ys, 1)

  expected = flax_loop(variables, carry[::-1] if name == 'lstm' else carry[0])
  weights = (w, u, bias, jnp.zeros(E)) if name == 'gru' else (w, u, bias)
  np.testing.assert_allclose(run(name, 'xla', x, carry, weights)[0], expected, atol=2e-6)


def test_bfloat16_carries_float32():
  x, carry, weights, _ = draw('lstm')
  y, h, c = recurrent.lstm(x, *carry, *by_gate('lstm', weights), dtype=jnp.bfloat16)
  assert (y.dtype, h.dtype, c.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)


@pytest.mark.parametrize('length', [1, 5])
@pytest.mark.parametrize('name', CELLS)
@pytest.mark.parametrize('backend', ['auto', 'xla', 'reference'])
def test_outputs_have_the_dtype_of_the_computation(name, length, backend):
  """Whatever the dtype of the inputs."""
  x, carry, weights, _ = draw(name, length)
  for inputs in (x, x.astype(jnp.bfloat16)):
    layer = functools.partial(CELLS[name][0], dtype=jnp.bfloat16, kernels=backend)
    y, *carries = jax.eval_shape(layer, inputs, *carry, *by_gate(name, weights))
    assert y.dtype == jnp.bfloat16
    assert all(a.dtype == jnp.float32 for a in carries)


def test_refuses_what_it_does_not_have():
  x, carry, weights, _ = draw('rnn')
  layer = functools.partial(recurrent.rnn, x, *carry, *by_gate('rnn', weights))
  with pytest.raises(
    InputError, match=r"kernels='xlaa'.*allowed: associative, auto, cpu, cudnn, newton, quasi_newton, reference, xla"
  ):
    layer(kernels='xlaa')
  if library.load():
    with pytest.raises(InputError, match=r'kernels=cpu cannot compute rnn: .* float32, not bfloat16'):
      layer(kernels='cpu', dtype=jnp.bfloat16)


def test_refuses_kernels_that_are_not_built(monkeypatch):
  x, carry, weights, _ = draw('rnn')
  monkeypatch.setattr(library, 'load', lambda: False)
  with pytest.raises(InputError, match=r'kernels=cpu cannot compute rnn: .* not built; run `python'):
    recurrent.rnn(x, *carry, *by_gate('rnn', weights), kernels='cpu')


def test_the_vendors_packed_weights_mean_the_same_lstm():
  x, (h, c), weights, _ = draw('lstm')
  unpacked = vendor_rnn.unpack_lstm_weights(gpu.pack(*weights), D, E, 1, False)
  lengths = jnp.full((B,), T, jnp.int32)
  y, h_last, c_last = vendor_rnn.lstm_ref(x, h[None], c[None], *unpacked, lengths, D, E, 1, 0.0, False)
  expected = loop(lstm_step, x, (h, c), weights)
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=2e-6), (y, (h_last[0], c_last[0])), expected)


@pytest.mark.skipif(jax.default_backend() != 'gpu', reason='cuDNN is for GPUs')
def test_the_vendors_lstm_is_ours_with_its_gradients():
  x, carry, weights, _ = draw('lstm')

  def total(x, carry, weights, backend):
    y, h, c = recurrent.lstm(x, *carry, *by_gate('lstm', weights), kernels=backend)
    return jnp.sum(jnp.sin(y)) + jnp.sum(jnp.cos(h)) + jnp.sum(jnp.sin(2 * c))

  gradient = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)), static_argnums=3)
  actual, expected = (gradient(x, carry, weights, backend) for backend in ('cudnn', 'reference'))
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5), actual, expected)


@pytest.mark.skipif(jax.default_backend() == 'gpu', reason='it is refused where there is no GPU')
def test_the_vendors_lstm_is_refused_elsewhere():
  x, carry, weights, documents = draw('lstm')
  layer = functools.partial(recurrent.lstm, x, *carry, *by_gate('lstm', weights), kernels='cudnn')
  with pytest.raises(InputError, match=r'kernels=cudnn (cannot compute lstm: this host|is for cuda; the program)'):
    jax.jit(layer)()
  with pytest.raises(InputError, match=r'kernels=cudnn cannot compute lstm: .* not bfloat16'):
    layer(dtype=jnp.bfloat16)
  # With resets cuDNN has no LSTM, and XLA computes it.
  layer = functools.partial(layer, documents=documents.without_padding())
  jax.tree.map(np.testing.assert_array_equal, layer(), layer(kernels='xla'))
