"""Recurrent kernels against NumPy loops written from the equations, Flax's cells, and autodiff."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental import rnn as vendor_rnn

from seqmodels.errors import InputError
from seqmodels.kernels import fused_recurrent, native, recurrent, recurrent_columns, vendor_recurrent
from seqmodels.mixers import make_mixer

B, T, D, E = 3, 9, 5, 4


def columns(x, h, c, w, u, b, *, reset, mask, implementation):
  """The LSTM's form for large batches on CPU, at any batch."""
  if implementation == 'scan':
    return recurrent.lstm(x, h, c, w, u, b, reset=reset, mask=mask, implementation=implementation)
  half = fused_recurrent.gate_scale((True, True, False, True), E)
  return recurrent_columns.lstm(x, h, c, w * half[None], u * half[None], b * half, reset, mask, x.dtype)


CELLS = {'rnn': (recurrent.rnn, 1), 'lstm': (recurrent.lstm, 4), 'columns': (columns, 4), 'gru': (recurrent.gru, 3)}
LSTMS = ('lstm', 'columns')


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


STEPS = {'rnn': rnn_step, 'lstm': lstm_step, 'columns': lstm_step, 'gru': gru_step}


def loop(step, x, carry, weights, reset, mask):
  """One example, one position, one equation at a time, in float64."""
  x, carry, weights = jax.tree.map(lambda a: np.asarray(a, np.float64), (x, carry, weights))
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
  carry = tuple(normal(B, E) for _ in range(2 if name in LSTMS else 1))
  reset = jnp.asarray(random.random((B, length)) < 0.3)
  mask = jnp.asarray(random.random((B, length)) < 0.7)
  return normal(B, length, D), carry, weights, reset, mask


def skip_without(implementation):
  if implementation == 'native' and not native.available():
    pytest.skip('the native kernels are not built')


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(name, implementation, x, carry, weights, reset, mask):
  y, *carry = CELLS[name][0](x, *carry, *weights, reset=reset, mask=mask, implementation=implementation)
  return y, tuple(carry)


@pytest.mark.parametrize(
  ('name', 'implementation'),
  [(name, how) for name in CELLS for how in recurrent.IMPLEMENTATIONS if name != 'columns' or how == 'fused'],
)
def test_equals_the_equations(name, implementation):
  skip_without(implementation)
  x, carry, weights, reset, mask = draw(name)
  for flags in ((None, None), (reset, mask)):
    expected = loop(STEPS[name], x, carry, weights, *flags)
    actual = run(name, implementation, x, carry, weights, *flags)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=2e-6), actual, expected)


@pytest.mark.parametrize('name', ['rnn', 'lstm', 'gru'])
def test_one_token_equals_the_equations(name):
  x, carry, weights, _, _ = draw(name, length=1)
  expected = loop(STEPS[name], x, carry, weights, None, None)
  actual = run(name, 'fused', x, carry, weights, None, None)
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=2e-6), actual, expected)


@pytest.mark.parametrize('flagged', [False, True])
@pytest.mark.parametrize(
  ('name', 'implementation'),
  [*((name, 'fused') for name in CELLS), *((name, 'native') for name in STEPS if name != 'columns')],
)
def test_own_backward_equals_autodiff(name, flagged, implementation):
  skip_without(implementation)
  x, carry, weights, reset, mask = draw(name, seed=1)
  flags = (reset, mask) if flagged else (None, None)
  cotangents = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), (x[..., :E], carry))

  def gradient(implementation):
    @jax.jit
    def of(x, carry, weights):
      return jax.vjp(lambda *a: run(name, implementation, *a, *flags), x, carry, weights)[1](cotangents)

    return of(x, carry, weights)

  expected, actual = gradient('scan'), gradient(implementation)
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5), actual, expected)
  assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(actual))


@pytest.mark.parametrize('name', ['rnn', 'lstm', 'gru'])
@pytest.mark.parametrize('batch', [2, recurrent_columns.FEWEST])
def test_gradients_in_bfloat16_are_those_of_float32_but_for_its_rounding(name, batch):
  kernel, gates = CELLS[name]
  draw = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape) / 2
  carry = [draw(1, batch, E)] * (2 if name == 'lstm' else 1)
  weights = [draw(2, D, gates * E), draw(3, E, gates * E), draw(4, gates * E), *([draw(5, E)] if name == 'gru' else [])]

  def loss(x, weights, dtype):
    y = kernel(jnp.square(x.astype(dtype)), *carry, *weights, implementation='fused', dtype=dtype)[0]
    return jnp.square(y.astype(jnp.float32)).mean()

  x = draw(0, batch, T, D)
  half, full = (jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)(x, weights, d) for d in (jnp.bfloat16, jnp.float32))
  near = lambda a, b: np.testing.assert_allclose(a, b, atol=0.03 * np.abs(b).max())
  jax.tree.map(near, half, full)


FLAX_CELLS = {'rnn': nnx.SimpleCell, 'lstm': nnx.OptimizedLSTMCell, 'gru': nnx.GRUCell}


@pytest.mark.parametrize('name', FLAX_CELLS)
def test_equals_flax(name):
  x, carry, (w, u, bias, *_), _, _ = draw(name)
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
  np.testing.assert_allclose(run(name, 'fused', x, carry, weights, None, None)[0], expected, atol=2e-6)


def test_bfloat16_carries_float32():
  x, carry, weights, _, _ = draw('lstm')
  y, h, c = recurrent.lstm(x, *carry, *weights, dtype=jnp.bfloat16)
  assert (y.dtype, h.dtype, c.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)


def test_refuses_an_unknown_implementation():
  x, carry, weights, _, _ = draw('rnn')
  with pytest.raises(InputError, match=r"'fusd'.*fused"):
    recurrent.rnn(x, *carry, *weights, implementation='fusd')


def test_the_vendors_packed_weights_mean_the_same_lstm():
  x, (h, c), weights, _, _ = draw('lstm')
  unpacked = vendor_rnn.unpack_lstm_weights(vendor_recurrent.pack(*weights), D, E, 1, False)
  lengths = jnp.full((B,), T, jnp.int32)
  y, h_last, c_last = vendor_rnn.lstm_ref(x, h[None], c[None], *unpacked, lengths, D, E, 1, 0.0, False)
  expected = loop(lstm_step, x, (h, c), weights, None, None)
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=2e-6), (y, (h_last[0], c_last[0])), expected)


@pytest.mark.skipif(jax.default_backend() != 'gpu', reason='cuDNN is for GPUs')
def test_the_vendors_lstm_is_ours_with_its_gradients():
  x, carry, weights, _, _ = draw('lstm')

  def total(x, carry, weights, implementation):
    y, h, c = recurrent.lstm(x, *carry, *weights, implementation=implementation)
    return jnp.sum(jnp.sin(y)) + jnp.sum(jnp.cos(h)) + jnp.sum(jnp.sin(2 * c))

  gradient = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)), static_argnums=3)
  actual, expected = (gradient(x, carry, weights, implementation) for implementation in ('vendor', 'scan'))
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5), actual, expected)


@pytest.mark.skipif(jax.default_backend() == 'gpu', reason='it is refused where there is no GPU')
def test_the_vendors_lstm_is_refused_elsewhere():
  x, carry, weights, _, _ = draw('lstm')
  with pytest.raises(InputError, match='vendor needs an NVIDIA GPU; this is cpu'):
    recurrent.lstm(x, *carry, *weights, implementation='vendor')
  with pytest.raises(InputError, match='vendor needs an NVIDIA GPU'):
    make_mixer('lstm', 8, rngs=nnx.Rngs(0), options={'implementation': 'vendor'})
  with pytest.raises(InputError, match=r"'vendor'.*fused, native, scan"):
    make_mixer('gru', 8, rngs=nnx.Rngs(0), options={'implementation': 'vendor'})


@pytest.mark.skipif(not native.available(), reason='the native kernels are not built')
@pytest.mark.parametrize('name', ['rnn', 'lstm', 'gru'])
@pytest.mark.parametrize(
  ('layers', 'rows', 'units'), [(1, 1, 1), (2, 2, 5), (3, 1, 40), (1, 2, 131), (2, 1, 300), (3, 2, 160)]
)
@pytest.mark.parametrize('how', ['plain', 'ahead'])
def test_one_token_through_some_layers(name, layers, rows, units, how):
  """Parts of vectors, halves without rows, one thread and several; twice, since the halves change places."""
  random = np.random.default_rng(0)
  gates, carries = {'rnn': (1, 1), 'lstm': (4, 2), 'gru': (3, 1)}[name]
  normal = lambda *shape: random.normal(size=shape).astype(np.float32)
  sizes = (units, gates * units), (units, gates * units), (gates * units,), (units,)
  weights = [tuple(units**-0.5 * normal(*size) for size in sizes[: 4 if name == 'gru' else 3]) for _ in range(layers)]
  before = [tuple(normal(rows, units) for _ in range(carries)) for _ in range(layers)]
  projected, tangent = normal(rows, gates * units), normal(rows, gates * units)
  step = jax.jit(functools.partial(recurrent.step, name))
  head = None if how == 'plain' else (normal(units, 19), normal(19))
  ahead = None if how == 'plain' else before[0][0] @ weights[0][1]
  (found, next_ahead, out), again = (step(projected, ahead, before, weights, head) for _ in range(2))
  jax.tree.map(np.testing.assert_array_equal, (found, next_ahead, out), again)
  if ahead is None:
    assert next_ahead is out is None
  else:
    np.testing.assert_allclose(out, np.asarray(found[-1][0], np.float64) @ head[0] + head[1], atol=2e-5)
    np.testing.assert_allclose(next_ahead, np.asarray(found[0][0], np.float64) @ weights[0][1], atol=4e-6)
  for row in range(rows):
    # The first input's share is given: as if its weights were one and its bias zero.
    x, given = projected[row].astype(np.float64), (np.eye(gates * units), 0.0)
    for i in range(layers):
      own = tuple(np.asarray(a, np.float64) for a in weights[i])
      if i == 0:
        own = (given[0], own[1], np.zeros(gates * units), *own[3:])
      expected = STEPS[name](x, [np.asarray(a[row], np.float64) for a in before[i]], *own)
      for actual, exact in zip(found[i], expected, strict=True):
        np.testing.assert_allclose(actual[row], exact, atol=2e-6)
      x = expected[0]
  output = lambda z: step(z, ahead, before, weights)[0][-1][0]
  _, derivative = jax.jvp(output, (projected,), (tangent,))
  change = [output(projected + s * 1e-2 * tangent) for s in (1, -1)]
  np.testing.assert_allclose(derivative, (change[0] - change[1]) / 2e-2, atol=2e-3 * np.abs(derivative).max() + 1e-4)
