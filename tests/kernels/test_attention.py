"""Attention kernels against a float64 NumPy loop, autodiff of the materialised form, and the compiler's byte counts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import InputError
from seqmodels.kernels import attention
from seqmodels.kernels.cpu import library
from seqmodels.kernels.reference.attention import materialised
from seqmodels.kernels.relative import Relative
from seqmodels.kernels.xla import attention as xla

B, T, H, G, K = 2, 11, 4, 2, 6
built = pytest.mark.skipif(not library.load(), reason='python -m seqmodels.kernels.cpu')
CPU = pytest.param('cpu', marks=built)
FORMS = ('reference', 'xla', CPU, 'auto')


def loop(q, k, v, causal, bounds):
  """One query at a time, in float64."""
  q, k, v = (np.asarray(a, np.float64) for a in (q, k, v))
  out = np.zeros((*q.shape[:3], v.shape[-1]))
  for b, t, h in np.ndindex(*q.shape[:3]):
    g = h // (q.shape[2] // k.shape[2])
    seen = []
    for s in range(k.shape[1]):
      if causal and s > t:
        continue
      if bounds is not None and not bounds[0][b, t] <= bounds[2][b, s] <= bounds[1][b, t]:
        continue
      seen.append(s)
    if seen:
      scores = k[b, seen, g] @ q[b, t, h] / np.sqrt(q.shape[-1])
      weights = np.exp(scores - scores.max())
      out[b, t, h] = weights / weights.sum() @ v[b, seen, g]
  return out


def draw(t=T, s=T, seed=0):
  random = np.random.default_rng(seed)
  normal = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
  position = np.broadcast_to(np.arange(s, dtype=np.int32), (B, s)).copy()
  position[:, random.integers(0, s, 2)] = -1
  lower = random.integers(0, s // 2, (B, t)).astype(np.int32)
  upper = (lower + random.integers(-1, s // 2, (B, t))).astype(np.int32)
  lower[0, 1], upper[0, 1] = 3, 2  # a query that sees nothing
  bounds = tuple(jnp.asarray(a) for a in (lower, upper, position))
  return normal(B, t, H, K), normal(B, s, G, K), normal(B, s, G, K + 1), bounds


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(form, causal, q, k, v, bounds):
  if form == 'blocks':
    return xla.blockwise(q, k, v, causal=causal, bounds=bounds, block=4, in_groups=True)
  return attention.attention(q, k, v, causal=causal, bounds=bounds, kernels=form)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(('causal', 'bounded'), [(True, False), (False, False), (False, True), (True, True)])
def test_equals_the_loop(form, causal, bounded):
  q, k, v, bounds = draw()
  bounds = bounds if bounded else None
  np.testing.assert_allclose(run(form, causal, q, k, v, bounds), loop(q, k, v, causal, bounds), atol=2e-6)


@pytest.mark.parametrize('form', ['reference', 'xla', 'blocks', CPU])
def test_other_keys_than_queries(form):
  q, k, v, bounds = draw(t=5, s=13)
  np.testing.assert_allclose(run(form, False, q, k, v, bounds), loop(q, k, v, False, bounds), atol=2e-6)


@pytest.mark.parametrize(('t', 'causal', 'bounded'), [(11, True, False), (7, False, True), (30, True, True)])
def test_own_backward_equals_autodiff(t, causal, bounded, monkeypatch):
  # 30 tokens in blocks of 4: several blocks a part, and padding.
  monkeypatch.setattr(xla, 'MAX_PARTS', 3)
  q, k, v, bounds = draw(t, t, seed=2)
  bounds = bounds if bounded else None
  weight = jnp.sin(jnp.arange(B * t * H * (K + 1), dtype=jnp.float32)).reshape(B, t, H, K + 1)

  def gradient(form):
    return jax.jit(jax.grad(lambda *a: (weight * run(form, causal, *a, bounds)).sum(), argnums=(0, 1, 2)))(q, k, v)

  for actual, expected in zip(gradient('blocks'), gradient('reference'), strict=True):
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize(('at_once', 'rows', 'heads'), [(1, 1, 1), (T * 4 * H, 1, G)])
def test_rows_and_heads_go_in_groups(monkeypatch, at_once, rows, heads):
  q, k, v, bounds = draw(seed=3)
  monkeypatch.setattr(xla, 'SHORT_SCORES_AT_ONCE', at_once)
  plan = xla.make_plan(12, T, B, G, H // G, True, 4, True)
  assert (plan.rows, plan.heads) == (rows, heads)
  grouped = lambda *a: xla.blockwise(*a, causal=True, bounds=bounds, block=4, in_groups=True)
  whole = lambda *a: materialised(*a, causal=True, bounds=bounds)
  gradient = lambda f: jax.jit(jax.value_and_grad(lambda *a: (f(*a) ** 2).sum(), argnums=(0, 1, 2)))(q, k, v)
  actual, expected = gradient(grouped), gradient(whole)
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5), actual, expected)


def test_every_part_is_covered_once():
  for t in (128, 384, 1152, 2048, 32768):
    parts = xla.make_plan(t, t, 2, 2, 1, True, 128, False).parts
    assert [p.start for p in parts] == [0, *(p.stop for p in parts[:-1])]
    assert parts[-1].stop == t
    assert all(p.keys == p.stop and (p.stop - p.start) % 128 == 0 for p in parts)
    assert len(parts) <= xla.MAX_PARTS


@pytest.mark.parametrize('form', ['reference', 'xla', 'blocks', CPU])
def test_a_query_that_sees_nothing(form):
  q, k, v, _ = draw()
  nothing = jnp.ones((B, T), jnp.int32), jnp.zeros((B, T), jnp.int32), jnp.zeros((B, T), jnp.int32)
  out, gradients = jax.value_and_grad(lambda *a: run(form, False, *a, nothing).sum(), argnums=(0, 1, 2))(q, k, v)
  assert out == 0
  assert all((np.asarray(g) == 0).all() for g in gradients)


def temporaries(form, t):
  shapes = [jax.ShapeDtypeStruct((1, t, 1, 8), jnp.float32)] * 3
  loss = lambda q, k, v: attention.attention(q, k, v, kernels=form).sum()
  return jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(*shapes).compile().memory_analysis().temp_size_in_bytes


# Blocks are of 64 queries and 64 keys, vectors of up to 16, tiles of up to 14 rows.
@built
@pytest.mark.parametrize(('causal', 'bounded'), [(True, False), (False, False), (False, True), (True, True)])
@pytest.mark.parametrize(
  ('t', 's', 'heads', 'widths'),
  [
    (1, 1, (2, 1), (3, 2)),
    (37, 37, (2, 2), (5, 7)),
    (37, 53, (4, 2), (5, 7)),
    (1, 77, (2, 2), (8, 8)),
    (64, 64, (2, 2), (16, 64)),
    (130, 130, (1, 1), (64, 80)),
    (300, 300, (6, 1), (20, 33)),
  ],
)
def test_the_form_in_cpp_equals_the_reference(t, s, heads, widths, causal, bounded):
  if causal and t != s:
    causal, bounded = False, True
  random = np.random.default_rng(t + s)
  (h, g), (key, value) = heads, widths
  shapes = (t, h, key), (s, g, key), (s, g, value), (t, h, value)
  q, k, v, weight = (random.normal(size=(B, *shape)).astype(np.float32) for shape in shapes)
  bounds = documents(random, t, s) if bounded else None

  @functools.partial(jax.jit, static_argnums=0)
  def everything(form, q, k, v, bounds):
    out, back = jax.vjp(lambda *a: run(form, causal, *a, bounds), q, k, v)
    return out, *back(weight)

  results = (everything(form, q, k, v, bounds) for form in ('cpu', 'reference'))
  for actual, expected in zip(*results, strict=True):
    np.testing.assert_allclose(actual, expected, atol=2e-6 * max(1, np.abs(expected).max()))


def documents(random, t, s):
  """Bounds of documents that follow each other, with padding, queries that see nothing, and whole blocks unseen."""
  starts = np.sort(random.integers(0, s, (B, 3)))
  index = np.sort(random.integers(0, s, (B, t)))
  lower = np.take_along_axis(np.pad(starts, ((0, 0), (1, 0))), (index[:, :, None] >= starts[:, None]).sum(-1), axis=1)
  upper = np.where(random.random((B, t)) < 0.1, lower - 1, index)
  position = np.where(random.random((B, s)) < 0.2, -1, np.arange(s))
  return tuple(a.astype(np.int32) for a in (lower, upper, position))


@built
def test_the_form_in_cpp_is_the_same_every_time_and_under_vmap():
  q, k, v, bounds = draw(70, 70)
  gradient = jax.grad(lambda *a: (run('cpu', True, *a, bounds) ** 2).sum(), (0, 1, 2))
  first = jax.jit(gradient)(q, k, v)
  jax.tree.map(np.testing.assert_array_equal, jax.jit(gradient)(q, k, v), first)
  twice = jax.jit(jax.vmap(gradient))(*(jnp.stack([jnp.zeros_like(a), a]) for a in (q, k, v)))
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b), twice, first)


def test_the_form_in_cpp_says_why_it_cannot_be_had(monkeypatch):
  q, k, v, _ = draw()
  if library.load():
    with pytest.raises(InputError, match=r'kernels=cpu cannot compute attention: .* not bfloat16'):
      attention.attention(*(a.astype(jnp.bfloat16) for a in (q, k, v)), kernels='cpu')
  monkeypatch.setattr(library, 'load', lambda: False)
  with pytest.raises(InputError, match=r'kernels=cpu cannot compute attention: .* not built; run'):
    attention.attention(q, k, v, kernels='cpu')


def test_memory_is_linear_in_blocks_and_quadratic_in_the_reference():
  short, long = temporaries('xla', 4096), temporaries('xla', 32768)
  assert long < 8.1 * short
  scores = 4 * 4096**2
  assert temporaries('reference', 4096) > 2 * scores > 4 * short


@built
def test_memory_is_linear_in_cpp():
  assert temporaries('cpu', 32768) < 8.1 * temporaries('cpu', 4096)


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='cuDNN may be there')
def test_cudnn_is_refused_where_it_is_not_or_does_not_suit():
  half = lambda width: [jnp.zeros((B, T, H, width), jnp.bfloat16)] * 3
  with pytest.raises(InputError, match=r'kernels=cudnn (is for cuda; the program|cannot compute attention: this host)'):
    attention.attention(*half(8), kernels='cudnn')
  with pytest.raises(InputError, match='kernels=cudnn cannot compute attention: head_dim=6 must be'):
    attention.attention(*half(6), kernels='cudnn')
  assert attention.attention(*half(8)).dtype == jnp.bfloat16


def test_refuses_an_unknown_backend():
  q, k, v, _ = draw()
  for relative in (None, Relative()):
    with pytest.raises(InputError, match=r"kernels='refrence'.*nearest: reference"):
      attention.attention(q, k, v, relative=relative, kernels='refrence')
