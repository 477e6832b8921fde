"""LSTM and GRU by Newton's method: results and gradients of the sequential cell, also where nothing converges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.errors import InputError
from seqmodels.kernels import recurrent
from seqmodels.kernels.auto import AUTO
from seqmodels.kernels.newton import recurrent as newton
from seqmodels.kernels.newton.recurrent import TOLERANCE, Method
from seqmodels.kernels.xla import recurrent as xla

B, D, E = 2, 3, 4
GATES = {'lstm': 4, 'gru': 3}
METHODS = ('newton', 'quasi_newton')
WILD = 8.0  # times orthogonal weights: the gates switch, and the trajectories are chaotic


def draw(cell, length, scale=1.0, seed=0):
  """Inputs, carry and weights as a mixer draws them: recurrent ones orthogonal gate by gate, times `scale`."""
  random = np.random.default_rng(seed)
  normal = lambda *shape: random.normal(size=shape).astype(np.float32)
  orthogonal = np.concatenate([np.linalg.qr(normal(E, E))[0] for _ in range(GATES[cell])], axis=1)
  weights = (normal(D, GATES[cell] * E) * D**-0.5, scale * orthogonal, normal(GATES[cell] * E))
  weights += (normal(E),) if cell == 'gru' else ()
  carry = tuple(normal(B, E) for _ in range(2 if cell == 'lstm' else 1))
  return normal(B, length, D), carry, weights


def draw_documents(length, flagged=True):
  if not flagged:
    return ONE_DOCUMENT
  random = np.random.default_rng(1)
  return Documents(random.random((B, length)) < 0.2, random.random((B, length)) < 0.8)


def layer(cell, backend, x, carry, weights, documents=ONE_DOCUMENT, dtype='float32'):
  """(outputs, *last carry)."""
  by_gate = [a.reshape(*a.shape[:-1], GATES[cell], -1) for a in weights[:3]]
  return getattr(recurrent, cell)(
    x, *carry, *by_gate, *weights[3:], documents=documents, kernels=backend, dtype=jnp.dtype(dtype)
  )


@functools.partial(jax.jit, static_argnums=(0, 1))
def both(cell, backend, x, carry, weights, documents=ONE_DOCUMENT):
  """(results, gradients of the mean of a function of all results)."""

  def loss(x, carry, weights):
    results = layer(cell, backend, x, carry, weights, documents)
    return sum(jnp.mean(jnp.sin(3 * a)) for a in results), results

  gradients, results = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(x, carry, weights)
  return results, gradients


@functools.partial(jax.jit, static_argnames=('cell', 'whole', 'iterations', 'dtype', 'tolerance'))
def progress(cell, *arrays, whole, iterations=None, dtype='float32', tolerance=TOLERANCE):
  return newton.progress(cell, *arrays, whole=whole, iterations=iterations, dtype=dtype, tolerance=tolerance)


def close(actual, expected, tolerance=1e-5):
  """In relation to the largest number of each array."""
  for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    assert a.shape == e.shape
    assert np.isfinite(e).all()
    assert np.abs(e).max() > 0
    np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * float(np.abs(e).max()))


@functools.cache
def sequential(cell, length, flagged):
  return both(cell, 'reference', *draw(cell, length), draw_documents(length, flagged))


@pytest.mark.parametrize(('length', 'flagged'), [(1, False), (2, False), (33, True), (2048, False)])
@pytest.mark.parametrize('backend', METHODS)
@pytest.mark.parametrize('cell', GATES)
def test_equals_the_sequential_cell_with_its_gradients(cell, backend, length, flagged):
  arrays = *draw(cell, length), draw_documents(length, flagged)
  close(both(cell, backend, *arrays), sequential(cell, length, flagged))
  if flagged:  # of long rows without flags, the test below says so
    assert bool(progress(cell, *arrays, whole=backend == 'newton').has_converged)


def float64_lstm(x, carry, weights):
  """All (h, c), time first."""
  x, (h, c), (w, u, bias) = jax.tree.map(lambda a: np.asarray(a, np.float64), (x, carry, weights))
  sigmoid = lambda a: 1 / (1 + np.exp(-a))
  states = []
  for t in range(x.shape[1]):
    i, f, g, o = np.split(x[:, t] @ w + h @ u + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    states.append((h, c))
  return [np.stack(a) for a in zip(*states, strict=True)]


@pytest.mark.parametrize('backend', METHODS)
def test_the_errors_are_those_of_the_scan_where_little_is_forgotten(backend):
  """A residual at one position is an error at the hundreds that follow."""
  x, carry, (w, u, bias) = draw('lstm', 2048)
  bias[E : 2 * E] = 6
  weights = w, u, bias
  found = progress('lstm', x, carry, weights, whole=backend == 'newton')
  assert bool(found.has_converged)

  @jax.jit
  def scan_states(x, carry, weights):
    z, u, _ = xla.projections(x, weights, None, np.dtype('float32'))
    _, (*_, hs, cs, _) = xla.lstm_forward(z, *carry, u, ONE_DOCUMENT, jnp.float32)
    return hs, cs

  hs, cs = scan_states(x, carry, weights)
  for state, scan, exact in zip(found.states, (hs, cs), float64_lstm(x, carry, weights), strict=True):
    assert 0 < np.abs(state - exact).max() <= 3 * np.abs(scan - exact).max()


@pytest.mark.parametrize('whole', [True, False])
def test_one_correction_follows_when_the_residuals_are_within_the_tolerance(whole):
  coarse = 1e-3
  found, *earlier = (
    progress('lstm', *draw('lstm', 33), whole=whole, iterations=count, tolerance=coarse)
    for count in ((None, 3, 2) if whole else (None, 5, 4))
  )
  assert bool(found.has_converged)
  one, two = earlier
  assert found.iterations == one.iterations + 1
  assert two.residuals.max() > coarse >= one.residuals.max() > found.residuals.max()
  assert not bool(one.has_converged)


@pytest.mark.parametrize('whole', [True, False])
@pytest.mark.parametrize('cell', GATES)
def test_converges_from_the_weights_of_a_new_model(cell, whole):
  """So that the test above is one of the method."""
  found = progress(cell, *draw(cell, 2048), whole=whole)
  assert found.residuals.shape == (B,)
  assert (found.residuals <= TOLERANCE).all()
  assert bool(found.has_converged)
  assert 3 <= found.iterations <= Method(cell, whole).iterations * 3 // 4


@pytest.mark.parametrize('backend', METHODS)
@pytest.mark.parametrize('cell', GATES)
def test_what_does_not_converge_is_computed_by_the_scan_and_the_residuals_say_so(cell, backend):
  arrays = draw(cell, 256, WILD)
  found = progress(cell, *arrays, whole=backend == 'newton')
  assert found.residuals.max() > 1e-2
  assert found.iterations == Method(cell, backend == 'newton').iterations
  results, gradients = both(cell, backend, *arrays)
  expected, of_scan = both(cell, 'xla', *arrays)
  close(results, expected)
  close(gradients, of_scan, 1e-4)


@pytest.mark.parametrize('whole', [True, False])
@pytest.mark.parametrize('cell', GATES)
def test_each_iteration_settles_one_position_more_whatever_the_weights(cell, whole):
  x, carry, weights = draw(cell, 33, WILD)
  count = 5
  found = progress(cell, x, carry, weights, whole=whole, iterations=count)
  assert not bool(found.has_converged)
  exact, _ = both(cell, 'reference', x, carry, weights)
  # One by the guess, one by each iteration, one by the cell after the last.
  close(found.states[0].swapaxes(0, 1)[:, : count + 2], exact[0][:, : count + 2])


@pytest.mark.parametrize('whole', [True, False])
def test_without_recurrent_weights_one_solution_is_exact(whole):
  """The cell state is then a linear recurrence; the outputs follow from it in the next iteration."""
  found = progress('lstm', *draw('lstm', 33, 0.0), whole=whole)
  assert bool(found.has_converged)
  assert found.iterations <= 3


@pytest.mark.parametrize('whole', [True, False])
@pytest.mark.parametrize('cell', GATES)
def test_documents_and_bfloat16_converge(cell, whole):
  found = progress(cell, *draw(cell, 33), draw_documents(33), whole=whole, dtype='bfloat16')
  assert bool(found.has_converged)


@pytest.mark.parametrize('scale', [1.0, WILD])
@pytest.mark.parametrize('backend', METHODS)
@pytest.mark.parametrize('cell', GATES)
def test_with_bfloat16_the_gradient_of_the_weights_is_that_of_rounded_ones_in_float32(cell, backend, scale):
  """By Newton's method and by the scan; inputs and W are such that bfloat16 changes nothing else."""
  arrays = draw(cell, 33, scale)
  rounded = lambda a: np.asarray(jnp.asarray(a).astype(jnp.bfloat16).astype(jnp.float32))
  x, carry, (w, u, *others) = rounded(arrays[0]), *arrays[1:]

  def loss(u, rest, dtype):
    x, carry, w, others = rest
    # The last carry is float32 whatever the dtype.
    return sum(jnp.sum(a) for a in layer(cell, backend, x, carry, (w, u, *others), dtype=dtype)[1:])

  gradient = jax.jit(jax.grad(loss), static_argnums=2)
  rest = x, carry, rounded(w), others
  found, expected = gradient(u, rest, 'bfloat16'), gradient(rounded(u), rest, 'float32')
  assert found.dtype == jnp.float32
  close(found, expected)  # rounded to bfloat16 it would be off by 4e-3
  assert (rounded(found) != found).mean() > 0.5


def test_gradients_are_finite_where_products_of_jacobians_overflow():
  """All states are zero, from which every step leads away; the loss reads the first of two documents."""
  reset = np.zeros((B, 48), bool)
  reset[:, 6] = True
  x, carry, (w, u, bias) = draw('lstm', 48, 1e4)
  arrays = jnp.zeros_like(x), tuple(jnp.zeros_like(a) for a in carry), (w, u, jnp.zeros_like(bias)), Documents(reset)
  assert bool(progress('lstm', *arrays, whole=True).has_converged)
  loss = lambda backend, *arrays: jnp.sum(layer('lstm', backend, *arrays)[0][:, :6])
  gradient = jax.jit(jax.grad(loss, argnums=(1, 2, 3)), static_argnums=0)
  found, expected = gradient('newton', *arrays), gradient('xla', *arrays)
  assert all(np.isfinite(a).all() for a in jax.tree.leaves((found, expected)))
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5), found, expected)
  assert np.abs(found[0][:, :6]).min() > 0


@pytest.mark.parametrize('cell', GATES)
def test_the_scan_and_the_gradients_have_float32_products_on_every_device(cell):
  """As the iterations have; the input's projection is the same for all, and outside."""
  z, carry = jnp.zeros((8, B, GATES[cell] * E)), (jnp.zeros((B, E)),) * (2 if cell == 'lstm' else 1)
  weights = jnp.zeros((E, GATES[cell] * E)), *((jnp.zeros(E),) if cell == 'gru' else ())

  def loss(*arrays):
    return jnp.sum(newton._run(Method(cell, whole=False), *arrays, ONE_DOCUMENT)[0])

  program = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(z, carry, weights).as_text()
  products = [line for line in program.splitlines() if 'dot_general' in line]
  assert len(products) >= 5  # two of the iterations, one of the scan, two of the backward pass
  assert all('precision = [HIGHEST, HIGHEST]' in line for line in products)


def test_nothing_chooses_it_by_itself():
  assert not {line.backend for lines in AUTO.values() for line in lines} & set(METHODS)


@pytest.mark.parametrize('cell', GATES)
def test_whole_jacobians_are_for_small_layers(cell):
  def shaped(batch, length, width, backend):
    carry = [jax.ShapeDtypeStruct((batch, width), 'float32')] * (2 if cell == 'lstm' else 1)
    x = jax.ShapeDtypeStruct((batch, length, D), 'float32')
    gates = GATES[cell]
    shapes = (D, gates, width), (width, gates, width), (gates, width), *([(width,)] if cell == 'gru' else [])
    weights = (jax.ShapeDtypeStruct(shape, 'float32') for shape in shapes)
    return jax.eval_shape(functools.partial(getattr(recurrent, cell), kernels=backend), x, *carry, *weights)

  with pytest.raises(InputError, match=f'kernels=newton cannot compute {cell}: width=65 .* quasi_newton'):
    shaped(1, 8, 65, 'newton')
  size, most = ('32.0', 16384) if cell == 'lstm' else ('8.0', 65536)
  expected = (
    f'kernels=newton cannot compute {cell}: batch=256, length=2048 and width=64 make {size} GiB of Jacobians, .* '
    f'about 3 times that; at most 1 GiB .* batch × length up to {most}; quasi_newton'
  )
  with pytest.raises(InputError, match=expected):
    shaped(256, 2048, 64, 'newton')
  assert shaped(most // 2048, 2048, 64, 'newton')[0].shape == (most // 2048, 2048, 64)
  assert shaped(1, 8, 64, 'newton')[0].shape == (1, 8, 64)
  assert shaped(256, 2048, 65, 'quasi_newton')[0].shape == (256, 2048, 65)
