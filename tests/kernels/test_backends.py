"""Every backend of every op: the results and gradients of the reference, whatever stands in padding, nan as nan."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import Documents
from tests.kernels import cases
from tests.kernels.cases import OTHERS, PAIRS, make, skip_without

LENGTHS = (1, 8, 13, 33)  # one token, one chunk, one that is cut, several parts
# With backward passes of their own.
OWN = [(name, backend) for name, backend in PAIRS if backend in ('xla', 'cpu', 'newton', 'quasi_newton')]
BFLOAT16 = 0.04  # of the largest number: bfloat16 has 8 bits of mantissa


def test_every_op_has_a_case_and_the_two_forms_that_all_have():
  assert set(cases.OPS) <= {name.split()[0] for name in cases.MAKERS}
  for op in cases.OPS.values():
    assert {'reference', 'xla'} <= {name for name, _ in op.forms}, op.name


@functools.cache
def results(name, backend, length, flagged, dtype='float32'):
  """(results, gradients)."""
  case = make(name, length, flagged)
  run = jax.jit(jax.value_and_grad(case.loss(backend, jnp.dtype(dtype)), has_aux=True))
  (_, found), gradients = run(case.arrays, case.flags)
  return found, gradients


def deviation(actual, expected):
  """The largest, in relation to the largest number of its array (of those about zero: to 0.1)."""
  pairs = zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)
  numbers = [(np.asarray(a, np.float64), np.asarray(e, np.float64)) for a, e in pairs]
  return max(np.abs(a - e).max(initial=0) / max(np.abs(e).max(initial=0), 0.1) for a, e in numbers)


@pytest.mark.parametrize('flagged', [False, True])
@pytest.mark.parametrize('length', LENGTHS)
@pytest.mark.parametrize(('name', 'backend'), OTHERS)
def test_equals_the_reference_in_results_and_gradients(name, backend, length, flagged):
  skip_without(backend)
  assert deviation(results(name, backend, length, flagged), results(name, 'reference', length, flagged)) < 1e-5


@pytest.mark.parametrize(('name', 'backend'), [(n, b) for n, b in PAIRS if b != 'cpu' and make(n, 4, False).has_dtype])
def test_bfloat16_is_near_float32(name, backend):
  skip_without(backend)
  half, full = results(name, backend, 33, False, 'bfloat16'), results(name, 'reference', 33, False)
  assert deviation(half[0], full[0]) < BFLOAT16
  assert deviation(half[1], full[1]) < 2 * BFLOAT16


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize(('name', 'backend'), OTHERS)
def test_what_is_not_finite_stays_so(name, backend, value):
  """With one nan or infinity in any array, what is not finite in the reference is not finite here.

  Of infinity, numbers may be finite in one order of sums and not in another: each array is compared as a whole.
  """
  skip_without(backend)
  case = make(name, 13, False)
  reference, other = (jax.jit(jax.value_and_grad(case.loss(b), has_aux=True)) for b in ('reference', backend))
  leaves, tree = jax.tree.flatten(case.arrays)
  for i, leaf in enumerate(leaves):
    spoiled = leaf.copy()
    spoiled[tuple(n // 2 for n in leaf.shape)] = value
    arrays = jax.tree.unflatten(tree, [*leaves[:i], spoiled, *leaves[i + 1 :]])
    expected, actual = (jax.tree.leaves(run(arrays, case.flags)) for run in (reference, other))
    if np.isnan(value):
      assert not all(np.isfinite(e).all() for e in expected)
    for e, a in zip(expected, actual, strict=True):
      e, a = np.isfinite(e), np.isfinite(a)
      assert not (a & ~e).any() if np.isnan(value) else e.all() or not a.all()


@pytest.mark.parametrize(('name', 'backend'), [(n, b) for n, b in OWN if make(n, 4, True).padded])
def test_none_means_no_resets_and_no_padding(name, backend):
  skip_without(backend)
  case = make(name, 13, True)
  reset, mask, _ = case.flags['documents']
  no_reset, no_padding = np.zeros_like(reset), np.ones_like(mask)
  gradient = jax.jit(jax.grad(case.loss(backend), has_aux=True))
  for one, both in ((Documents(reset), (reset, no_padding)), (Documents(mask=mask), (no_reset, mask))):
    actual, expected = (gradient(case.arrays, {'documents': documents}) for documents in (one, Documents(*both)))
    assert deviation(actual, expected) < 1e-5


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e30])
@pytest.mark.parametrize(('name', 'backend'), [(n, b) for n, b in PAIRS if make(n, 4, True).padded])
def test_padding_may_hold_anything(name, backend, value):
  skip_without(backend)
  case = make(name, 13, True)
  mask = case.flags['documents'].mask
  spoiled = dict(case.arrays)
  for array, (of_batch, of_time) in case.padded.items():
    moved = np.moveaxis(spoiled[array].copy(), (of_batch, of_time), (0, 1))
    moved[~mask] = value
    spoiled[array] = np.moveaxis(moved, (0, 1), (of_batch, of_time))
  run = jax.jit(jax.value_and_grad(case.loss(backend), has_aux=True))
  (total, expected), gradients = run(case.arrays, case.flags)
  (same, actual), found = run(spoiled, case.flags)
  keep = lambda tree: [
    case.without_padding(a, axes, mask) for a, axes in zip(jax.tree.leaves(tree), case.of_tokens, strict=True)
  ]
  assert same == total
  jax.tree.map(np.testing.assert_array_equal, keep(actual), keep(expected))
  jax.tree.map(np.testing.assert_array_equal, found, gradients)
  for array, (of_batch, of_time) in case.padded.items():
    assert (np.moveaxis(np.asarray(found[array]), (of_batch, of_time), (0, 1))[~mask] == 0).all()
