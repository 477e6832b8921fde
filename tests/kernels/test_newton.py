"""LSTM and GRU by Newton's method: results and gradients of the sequential cell, also where nothing converges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import Documents
from seqmodels.errors import InputError
from seqmodels.kernels import recurrent
from seqmodels.kernels.auto import AUTO
from seqmodels.kernels.newton import recurrent as newton
from seqmodels.kernels.newton.recurrent import TOLERANCE, Method

B, D, E = 2, 3, 4
GATES = {'lstm': 4, 'gru': 3}
METHODS = ('newton', 'quasi_newton')
LENGTHS = (1, 2, 33, 256, 2048)
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


@functools.partial(jax.jit, static_argnums=(0, 1))
def both(cell, backend, x, carry, weights):
  """(results, gradients of the mean of a function of all results)."""

  def loss(x, carry, weights):
    by_gate = [a.reshape(*a.shape[:-1], GATES[cell], -1) for a in weights[:3]]
    results = getattr(recurrent, cell)(x, *carry, *by_gate, *weights[3:], backend=backend)
    return sum(jnp.mean(jnp.sin(3 * a)) for a in results), results

  gradients, results = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(x, carry, weights)
  return results, gradients


@functools.partial(jax.jit, static_argnames=('cell', 'whole', 'iterations', 'dtype'))
def progress(cell, *arrays, whole, iterations=None, dtype='float32'):
  return newton.progress(cell, *arrays, whole=whole, iterations=iterations, dtype=dtype)


def close(actual, expected, tolerance=1e-5):
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance), actual, expected)


@functools.cache
def sequential(cell, length):
  return both(cell, 'reference', *draw(cell, length))


@pytest.mark.parametrize('length', LENGTHS)
@pytest.mark.parametrize('backend', METHODS)
@pytest.mark.parametrize('cell', GATES)
def test_equals_the_sequential_cell_with_its_gradients(cell, backend, length):
  close(both(cell, backend, *draw(cell, length)), sequential(cell, length))


@pytest.mark.parametrize('whole', [True, False])
@pytest.mark.parametrize('cell', GATES)
def test_converges_from_the_weights_of_a_new_model(cell, whole):
  """So that the test above is one of the method."""
  found = progress(cell, *draw(cell, 2048), whole=whole)
  assert found.residuals.shape == (B,)
  assert (found.residuals <= TOLERANCE).all()
  assert bool(found.has_converged())
  assert 2 <= found.iterations <= Method(cell, whole).iterations * 3 // 4


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
  assert not bool(found.has_converged())
  exact, _ = both(cell, 'reference', x, carry, weights)
  # One by the guess, one by each iteration, one by the cell after the last.
  close(found.states[0].swapaxes(0, 1)[:, : count + 2], exact[0][:, : count + 2])


@pytest.mark.parametrize('whole', [True, False])
def test_without_recurrent_weights_one_solution_is_exact(whole):
  """The cell state is then a linear recurrence; the outputs follow from it in the next iteration."""
  found = progress('lstm', *draw('lstm', 33, 0.0), whole=whole)
  assert bool(found.has_converged())
  assert found.iterations <= 2


@pytest.mark.parametrize('whole', [True, False])
@pytest.mark.parametrize('cell', GATES)
def test_documents_and_bfloat16_converge(cell, whole):
  random = np.random.default_rng(1)
  documents = Documents(random.random((B, 33)) < 0.2, random.random((B, 33)) < 0.8)
  found = progress(cell, *draw(cell, 33), documents, whole=whole, dtype='bfloat16')
  assert bool(found.has_converged())


def test_nothing_chooses_it_by_itself():
  assert not {line.backend for lines in AUTO.values() for line in lines} & set(METHODS)


@pytest.mark.parametrize('cell', GATES)
def test_whole_jacobians_are_for_small_layers(cell):
  def layer(batch, length, width, backend):
    carry = [jax.ShapeDtypeStruct((batch, width), 'float32')] * (2 if cell == 'lstm' else 1)
    x = jax.ShapeDtypeStruct((batch, length, D), 'float32')
    gates = GATES[cell]
    shapes = (D, gates, width), (width, gates, width), (gates, width), *([(width,)] if cell == 'gru' else [])
    weights = (jax.ShapeDtypeStruct(shape, 'float32') for shape in shapes)
    return jax.eval_shape(functools.partial(getattr(recurrent, cell), backend=backend), x, *carry, *weights)

  with pytest.raises(InputError, match=f'kernels=newton cannot compute {cell}: width=65 .* quasi_newton'):
    layer(1, 8, 65, 'newton')
  with pytest.raises(InputError, match=f'kernels=newton cannot compute {cell}: the Jacobians would take .* GiB'):
    layer(256, 2048, 64, 'newton')
  assert layer(1, 8, 64, 'newton')[0].shape == (1, 8, 64)
  assert layer(256, 2048, 65, 'quasi_newton')[0].shape == (256, 2048, 65)
