"""Diagonal recurrences against NumPy loops, and their backward passes against the adjoint written out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import Documents
from seqmodels.errors import InputError
from seqmodels.kernels.cpu import library
from seqmodels.kernels.diagonal import diagonal, rotating

B, T, E = 3, 11, 4
BUILT = pytest.mark.skipif(not library.load(), reason='the kernels for CPUs are not built')
FORMS = ('reference', 'xla', 'associative', pytest.param('cpu', marks=BUILT), 'auto')


def loop(a, b, h, documents):
  """One position at a time, in complex128: h = a h + b."""
  a, b, h = (np.asarray(value, np.complex128) for value in (a, b, h))
  (reset, mask, _), hs = documents, []
  for t in range(a.shape[0]):
    h = np.where(reset[:, t, None], 0, h)
    h = np.where(mask[:, t, None], a[t] * h + b[t], h)
    hs.append(h)
  return np.stack(hs), h


def adjoint(a, h, hs, d_hs, d_last, documents):
  """(da, db, dh) by hand, from the last position to the first: h' = a h + b has dh = conj(a) dh'."""
  a, d = np.asarray(a, np.complex128), np.asarray(d_last, np.complex128)
  da, db = np.zeros(hs.shape, np.complex128), np.zeros(hs.shape, np.complex128)
  reset, mask, _ = documents
  for t in reversed(range(a.shape[0])):
    d = d + d_hs[t]
    on, off = mask[:, t, None], reset[:, t, None]
    before = np.where(off, 0, hs[t - 1] if t else h)
    da[t], db[t] = np.where(on, d * np.conj(before), 0), np.where(on, d, 0)
    d = np.where(off, 0, np.where(on, np.conj(a[t]) * d, d))
  return da, db, d


@functools.partial(jax.jit, static_argnums=0)
def run(backend, a, b, h, documents):
  return diagonal(a, b, h, documents=documents, kernels=backend)


@functools.partial(jax.jit, static_argnums=0)
def run_rotating(backend, a, b, h, documents):
  return rotating(a, b, h, documents=documents, kernels=backend)


def draw(length, seed=0):
  random = np.random.default_rng(seed)
  normal = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
  reset, mask = random.random((B, length)) < 0.2, random.random((B, length)) < 0.7
  return normal, Documents(reset, mask)


def close(actual, expected):
  for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, e, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize('backend', FORMS)
@pytest.mark.parametrize('length', [1, T])
def test_real_equals_the_loop_and_its_adjoint(length, backend):
  normal, documents = draw(length)
  a, b, h = jax.nn.sigmoid(normal(length, B, E)), normal(length, B, E), normal(B, E)
  (hs, last), pullback = jax.vjp(lambda *x: run(backend, *x, documents), a, b, h)
  expected = loop(a, b, h, documents)
  close((hs, last), [value.real for value in expected])
  d_hs, d_last = normal(length, B, E), normal(B, E)
  by_hand = adjoint(a, h, expected[0], d_hs, d_last, documents)
  close(pullback((d_hs, d_last)), [value.real for value in by_hand])


@BUILT
@pytest.mark.parametrize('channels', [3, 1001, 2048])
def test_the_form_in_cpp_in_slices_of_channels(channels):
  """Fewer channels than a vector holds, several slices whose last ends inside a vector, and whole ones."""
  random = np.random.default_rng(2)
  normal = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
  shape = 7, 1, channels
  arrays = jax.nn.sigmoid(normal(*shape)), normal(*shape), normal(*shape[1:])
  results = []
  for form in ('reference', 'cpu'):
    outputs, pullback = jax.vjp(lambda *x, form=form: diagonal(*x, kernels=form), *arrays)
    results.append((outputs, pullback(outputs)))
  close(*results)


def test_the_form_in_cpp_refuses_complex_numbers():
  a = jnp.zeros((2, 1, 1), jnp.complex64)
  with pytest.raises(InputError, match='float32'):
    diagonal(a, a, a[0], kernels='cpu')


@pytest.mark.parametrize('backend', ['reference', 'xla', 'associative'])
@pytest.mark.parametrize('length', [1, T])
def test_rotating_equals_the_complex_loop_and_its_adjoint(length, backend):
  normal, documents = draw(length, 1)
  a = 0.9 * np.cos(np.arange(E)), 0.9 * np.sin(np.arange(E))
  a = tuple(jnp.asarray(part, jnp.float32) for part in a)
  pair = lambda *shape: (normal(*shape), normal(*shape))
  joined = lambda pair: np.asarray(pair[0]) + 1j * np.asarray(pair[1])
  b, h, d_hs, d_last = pair(length, B, E), pair(B, E), pair(length, B, E), pair(B, E)
  (hs, last), pullback = jax.vjp(lambda *x: run_rotating(backend, *x, documents), a, b, h)
  decay = np.broadcast_to(joined(a), (length, B, E))
  expected = loop(decay, joined(b), joined(h), documents)
  close((joined(hs), joined(last)), expected)
  da, db, dh = adjoint(decay, joined(h), expected[0], joined(d_hs), joined(d_last), documents)
  close([joined(value) for value in pullback((d_hs, d_last))], (da.sum((0, 1)), db, dh))


def test_memory_is_linear_in_time():
  """By the compiler's figures: eight times the length, eight times the temporaries of forward + backward."""

  def temporaries(length, backend):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((length, 2, 64), (length, 2, 64), (2, 64))]
    loss = lambda a, b, h: (diagonal(a, b, h, kernels=backend)[0] ** 2).sum()
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(*arrays).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporaries(2_048, 'xla') < 8.2 * temporaries(256, 'xla')


def test_refuses_an_unknown_backend():
  a = jnp.zeros((2, 1, 1))
  with pytest.raises(InputError, match=r"kernels='refernce'.*reference"):
    diagonal(a, a, a[0], kernels='refernce')
