"""Chunked linear attention, gated linear attention and the delta rule against NumPy loops over their recurrences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.errors import InputError
from seqmodels.kernels import chunks, delta, gated_linear_attention, linear_attention
from seqmodels.kernels.cpu import library
from seqmodels.kernels.xla.delta import inverse

B, T, H, K, V = 2, 13, 2, 4, 3
BUILT = pytest.mark.skipif(not library.load(), reason='the kernels for CPUs are not built')
FORMS = ('plain', 'decay', 'stabilised', 'vector', 'delta')
# Heads, widths, length, chunk, normaliser: parts of vectors, tiles of one to four vectors, a last chunk that is cut.
SHAPES = ((2, 4, 3, 13, 4, True), (1, 20, 33, 70, 0, True), (1, 64, 64, 64, 32, False), (1, 70, 130, 5, 2, True))


def draw(t=T, seed=0):
  """Arguments by name. Decays reach from none to e^-1000 a token, weights of inputs from e^-20 to e^20."""
  random = np.random.default_rng(seed)
  normal = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
  k = normal(B, t, H, K)
  return {
    'q': normal(B, t, H, K),
    'k': k / jnp.linalg.norm(k, axis=-1, keepdims=True),
    'v': normal(B, t, H, V),
    'log_decay': -jnp.exp(3 * normal(B, t, H)),
    'log_decays': -jnp.exp(3 * normal(B, t, H, K)),
    'log_input': 8 * normal(B, t, H),
    'beta': jax.nn.sigmoid(normal(B, t, H)),
    'documents': Documents(*(jnp.asarray(random.random((B, t)) < share) for share in (0.25, 0.75))),
    's': normal(B, H, K, V),
    'n': normal(B, H, K),
  }


def loop(form, a, flagged=True):
  """One head, one position at a time, in float64: ({y, n}, {s, n}) by name."""
  reset, mask, _ = a['documents']
  a = {name: np.asarray(value, np.float64) for name, value in a.items() if name != 'documents'}
  y, norm = np.zeros(a['v'].shape), np.zeros(a['log_decay'].shape)
  ends = a['s'].copy(), a['n'].copy()
  for b, h in np.ndindex(B, H):
    s, n = (np.zeros_like(e[b, h]) if form == 'stabilised' else e[b, h] for e in ends)
    for t in range(y.shape[1]):
      if flagged and reset[b, t]:
        s, n = np.zeros_like(s), np.zeros_like(n)
      q, k, v = (a[name][b, t, h] for name in 'qkv')
      if not flagged or mask[b, t]:
        if form == 'vector':
          decay = np.exp(a['log_decays'][b, t, h])[:, None]
        else:
          decay = 1.0 if form == 'plain' else np.exp(a['log_decay'][b, t, h])
        put = np.exp(a['log_input'][b, t, h]) if form == 'stabilised' else 1.0
        s = decay * s
        n = (1.0 if form == 'vector' else decay) * n + put * k
        s = s + (np.outer(k, a['beta'][b, t, h] * (v - k @ s)) if form == 'delta' else put * np.outer(k, v))
      if not flagged or mask[b, t]:  # padding reads nothing
        y[b, t, h], norm[b, t, h] = q @ s, q @ n
    ends[0][b, h], ends[1][b, h] = s, n
  return y, norm, *ends


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def run(form, backend, flagged, a):
  """(y, n, s, last n), n being zero where the form has none; sums that are stabilised are scaled back."""
  options = {'documents': a['documents'] if flagged else ONE_DOCUMENT, 'chunk': 4, 'kernels': backend}
  q, k, v = (a[name] for name in 'qkv')
  if form == 'vector':
    return gated_linear_attention.gated_linear_attention(q, k, v, a['log_decays'], a['s'], **options)
  if form == 'delta':
    return delta.gated_delta(q, k, v, a['beta'], a['log_decay'], a['s'], **options)
  if form == 'stabilised':
    state = linear_attention.init_state(B, H, K, V, normalised=True, stabilised=True)
    logs = {'log_decay': a['log_decay'], 'log_input': a['log_input']}
    (y, n, m), end = linear_attention.linear_attention(q, k, v, state, **logs, **options)
    scale, last = jnp.exp(m), jnp.exp(end['m'])
    return y * scale[..., None], end['s'] * last[..., None, None], n * scale, end['n'] * last[..., None]
  log_decay = a['log_decay'] if form == 'decay' else None
  state = {'s': a['s'], 'n': a['n']}
  (y, n, _), end = linear_attention.linear_attention(q, k, v, state, log_decay=log_decay, **options)
  return y, end['s'], n, end['n']


def check(form, backend, a, flagged=True):
  y, n, s, last = loop(form, a, flagged)
  for actual, expected in zip(run(form, backend, flagged, a), (y, s, n, last), strict=False):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize('backend', ['xla', 'reference'])
@pytest.mark.parametrize('form', FORMS)
def test_equals_the_recurrence(form, backend):
  check(form, backend, draw())


@BUILT
def test_the_form_in_cpp_equals_the_recurrence():
  check('plain', 'cpu', draw())
  check('plain', 'cpu', draw(), flagged=False)


@BUILT
@pytest.mark.parametrize(('heads', 'k', 'v', 'length', 'chunk', 'normalised'), SHAPES)
def test_the_form_in_cpp_gradients(heads, k, v, length, chunk, normalised):
  """Of all that is differentiable, through everything that is returned, with documents, as the scan's."""
  random = np.random.default_rng(3)
  normal = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
  arrays = [normal(B, length, heads, width) for width in (k, k, v)]
  state = {'s': normal(B, heads, k, v)} | ({'n': normal(B, heads, k)} if normalised else {})
  documents, results = Documents(jnp.asarray(random.random((B, length)) < 0.1)), []
  weights = None
  for form in ('reference', 'cpu'):
    options = {'documents': documents, 'chunk': chunk, 'kernels': form}
    run = jax.jit(lambda *a, options=options: linear_attention.linear_attention(*a, **options))
    outputs, pullback = jax.vjp(run, *arrays, state)
    weights = weights or jax.tree.map(lambda a: normal(*a.shape), outputs)
    results.append(jax.tree.leaves((outputs, pullback(weights))))
  for expected, actual in zip(*results, strict=True):
    np.testing.assert_allclose(actual, expected, atol=2e-6 * np.abs(expected).max())


@BUILT
def test_decayed_sums_have_no_form_in_cpp():
  """XLA computes them, bit for bit, as with `kernels='xla'`."""
  for form in ('decay', 'stabilised', 'vector', 'delta'):
    jax.tree.map(np.testing.assert_array_equal, run(form, 'cpu', True, draw()), run(form, 'xla', True, draw()))


@pytest.mark.parametrize('form', FORMS)
def test_one_chunk_and_a_zero_state_known_to_the_compiler(form):
  """XLA's CPU compiler has read uninitialised memory where the state was a constant."""
  a = jax.tree.map(np.asarray, draw(4, seed=1)) | {'s': np.zeros((B, H, K, V), np.float32)}
  a['n'] = np.zeros((B, H, K), np.float32)
  constant = lambda **moving: run(form, 'xla', False, moving | {name: jnp.zeros(a[name].shape) for name in 'sn'})
  actual = jax.jit(constant)(**{name: value for name, value in a.items() if name not in 'sn'})
  np.testing.assert_allclose(actual[0], loop(form, a, False)[0], rtol=1e-5, atol=1e-5)


def test_decay_is_exact_beside_a_strong_one():
  """Whatever was forgotten before, 1e-6 of decay after it is seen to its last digit."""
  log_decay = jnp.full((1, 1, 32), -1e-6).at[0, 0, 3].set(-1e6)
  spans, past = jax.jit(chunks.between)(log_decay)
  np.testing.assert_allclose(spans[0, 0, 31, 4], -27e-6, rtol=1e-6)
  np.testing.assert_allclose(spans[0, 0, 3:, 2], -1e6, rtol=1e-6)
  np.testing.assert_allclose(past[0, 0, 2], -3e-6, rtol=1e-6)
  assert (np.asarray(spans[0, 0])[np.triu_indices(32, 1)] == -np.inf).all()


def test_inverse_of_what_products_of_powers_would_lose():
  """Equal keys: the powers of L grow to 6e8 and cancel; the inverse has ones and minus ones."""
  lower = jnp.tril(jnp.ones((1, 32, 32)), -1)
  expected = np.eye(32) - np.eye(32, k=-1)
  np.testing.assert_array_equal(jax.jit(inverse)(lower)[0], expected)


def test_gradient_of_the_inverse():
  random, step = np.random.default_rng(0), 1e-6
  weight, lower = random.normal(size=(8, 8)), np.tril(0.5 * random.normal(size=(8, 8)), -1)
  value = lambda a: (np.linalg.inv(np.eye(8) + a) * weight).sum()
  gradient = jax.jit(jax.grad(lambda a: (inverse(a) * weight).sum()))(jnp.asarray(lower, jnp.float32))
  for i, j in zip(*np.tril_indices(8, -1), strict=True):
    moved = np.zeros((8, 8))
    moved[i, j] = step
    expected = (value(lower + moved) - value(lower - moved)) / (2 * step)
    np.testing.assert_allclose(gradient[i, j], expected, rtol=1e-4, atol=1e-4)


def test_whole_documents():
  a = draw(seed=2)
  q, k, v, log_input = (np.asarray(a[name], np.float64) for name in ('q', 'k', 'v', 'log_input'))
  reset, mask, _ = jax.tree.map(np.asarray, a['documents'])
  q = q * mask[:, :, None, None]  # padding reads nothing
  number = np.cumsum(reset, axis=1)
  arrays = [a[name] for name in ('q', 'k', 'v')]
  whole = jax.jit(functools.partial(linear_attention.whole, chunk=4))
  for documents in (a['documents']._replace(reset=None), a['documents']):
    y, n, m = whole(*arrays, log_input=a['log_input'], documents=documents)
    for b, h in np.ndindex(B, H):
      same = (number[b][:, None] == number[b][None, :]) | (documents.reset is None)
      scores = q[b, :, h] @ k[b, :, h].T * np.exp(log_input[b, :, h])[None, :] * same * mask[b][None, :]
      scale = np.exp(-np.maximum(np.asarray(m[b, :, h], np.float64), -100))  # padding alone weighs nothing
      np.testing.assert_allclose(y[b, :, h], scores @ v[b, :, h] * scale[:, None], atol=1e-5)
      np.testing.assert_allclose(n[b, :, h], scores.sum(1) * scale, atol=1e-5)


def temporaries(form, t):
  """Bytes for the gradient of one head."""
  width = {'q': 8, 'k': 8, 'v': 8, 'log_decays': 8}
  shapes = {name: jax.ShapeDtypeStruct((1, t, 1, size), jnp.float32) for name, size in width.items()}
  shapes |= {name: jax.ShapeDtypeStruct((1, t, 1), jnp.float32) for name in ('log_decay', 'beta')}

  def loss(a):
    s = jnp.zeros((1, 1, 8, 8))
    if form == 'plain':
      return linear_attention.linear_attention(a['q'], a['k'], a['v'], {'s': s})[0].y.sum()
    if form == 'vector':
      return gated_linear_attention.gated_linear_attention(a['q'], a['k'], a['v'], a['log_decays'], s)[0].sum()
    return delta.gated_delta(a['q'], a['k'], a['v'], a['beta'], a['log_decay'], s)[0].sum()

  return jax.jit(jax.grad(loss)).lower(shapes).compile().memory_analysis().temp_size_in_bytes


def test_memory_is_linear():
  assert temporaries('plain', 32768) < 8.1 * temporaries('plain', 4096)
  for form in ('vector', 'delta'):
    assert (
      temporaries(form, 32768) < 4 * 32768 * 1024
    )  # at most 1,024 numbers a token, where 32,768 would be its scores


def test_refuses_bad_options():
  a = draw(2)
  arguments = [a[name] for name in ('q', 'k', 'v')]
  with pytest.raises(InputError, match=r"kernels='xal'.*xla"):
    linear_attention.linear_attention(*arguments, {'s': a['s']}, kernels='xal')
  with pytest.raises(InputError, match=r'chunk=12 must be 0.*power of two'):
    linear_attention.linear_attention(*arguments, {'s': a['s']}, chunk=12)
