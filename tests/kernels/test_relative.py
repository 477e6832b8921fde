"""Scores by distance against gathers, the blocked form against all scores at once, and memory by the compiler."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.kernels import relative as by_distance
from seqmodels.kernels.local_attention import local_attention
from seqmodels.kernels.reference import attention as reference
from seqmodels.kernels.sparse_attention import Columns, sparse_attention
from seqmodels.kernels.xla import attention as xla

B, T, H, G, K, MEMORY = 2, 11, 4, 2, 6, 5


class Entries(by_distance.Relative):
  """A bias and keys that are a known function of the distance, so that any mistaken one shows."""

  ahead = True

  def bias(self, distance):
    return jnp.sin(distance.astype(jnp.float32)[None, :] * jnp.arange(1.0, H + 1)[:, None])

  def keys(self, distance):
    return jnp.cos(distance.astype(jnp.float32)[None, :, None] * jnp.arange(1.0, K + 1)[None, None, :])


def draw(t, s, seed=0):
  random = np.random.default_rng(seed)
  return [jnp.asarray(random.normal(size=shape), jnp.float32) for shape in ((B, t, H, K), (B, s, G, K), (B, s, G, K))]


def by_gather(q, t, s, offset):
  """Return the summand of the scores, one pair at a time."""
  out, relative = np.zeros((B, H, t, s)), Entries()
  for i, j in np.ndindex(t, s):
    distance = jnp.array([i + offset - j])
    keys, bias = np.asarray(relative.keys(distance))[0, 0], np.asarray(relative.bias(distance))[:, 0]
    out[:, :, i, j] = np.asarray(q)[:, i] @ keys / np.sqrt(K) + bias[None]
  return out


@pytest.mark.parametrize(('t', 's', 'offset'), [(T, T, 0), (T, T + MEMORY, MEMORY), (3, 9, 2), (1, 7, 6)])
def test_skewing_is_a_gather(t, s, offset):
  q = draw(t, s)[0]
  table = by_distance.make_table(Entries(), t, s, offset, ahead=True)
  expected = by_gather(q, t, s, offset)
  np.testing.assert_allclose(by_distance.scores(Entries(), table, q, s), expected, atol=1e-5)
  distance = jnp.broadcast_to((jnp.arange(t)[:, None] + offset - jnp.arange(s)[None, :])[None], (B, t, s))
  np.testing.assert_allclose(by_distance.scores_at(Entries(), q, distance, s + t), expected, atol=1e-5)


def test_one_sided_tables_are_right_where_they_are_seen():
  q = draw(T, T + MEMORY)[0]
  table = by_distance.make_table(Entries(), T, T + MEMORY, MEMORY, ahead=False)
  actual = by_distance.scores(Entries(), table, q, T + MEMORY)
  past = np.tril(np.ones((T, T + MEMORY), bool), MEMORY)
  np.testing.assert_allclose(actual[:, :, past], by_gather(q, T, T + MEMORY, MEMORY)[:, :, past], atol=1e-5)


@pytest.mark.parametrize(('memory', 'causal'), [(0, True), (5, False)])
def test_forms_agree_in_outputs_and_gradients(memory, causal):
  q, k, v = draw(T, T + memory, seed=1)
  bounds = None
  if memory:
    index = jnp.broadcast_to(jnp.arange(T)[None], (B, T))
    position = jnp.broadcast_to(jnp.arange(-memory, T)[None], (B, T + memory))
    bounds = jnp.maximum(index - 6, jnp.array([[-memory], [2]])), index, position  # some see nothing
  blocks = functools.partial(xla.rematerialised, block=4)

  def value(f):
    loss = lambda *a: (f(*a, causal=causal, bounds=bounds, relative=Entries(), offset=memory) ** 2).sum()
    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(q, k, v)

  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5), value(blocks), value(reference.materialised)
  )


def temporaries(layer, t):
  shapes = [jax.ShapeDtypeStruct((1, t, 1, 8), jnp.float32)] * 3
  loss = jax.jit(jax.grad(lambda q, k, v: layer(q, k, v).sum(), argnums=(0, 1, 2)))
  return loss.lower(*shapes).compile().memory_analysis().temp_size_in_bytes


def local(q, k, v, window=64):
  t = q.shape[1]
  front = lambda a: jnp.pad(a, ((0, 0), (window, 0), (0, 0), (0, 0)))
  index = jnp.arange(t, dtype=jnp.int32)[None, :]
  return local_attention(q, front(k), front(v), jnp.zeros_like(index), index, window=window)


def strided(q, k, v, stride=128):
  t = q.shape[1]
  front = lambda a: jnp.pad(a, ((0, 0), (stride, 0), (0, 0), (0, 0)))
  index = jnp.arange(t, dtype=jnp.int32)[None, :]
  ends = slice(stride - 1, None, stride)
  document = jnp.zeros_like(index), index
  columns = Columns(k[:, ends], v[:, ends], index[:, ends])
  return sparse_attention(q, front(k), front(v), columns, document, document, window=stride, farthest=t)


def with_distances(q, k, v):
  class Slope(by_distance.Relative):
    def bias(self, distance):
      return -jnp.abs(distance).astype(jnp.float32)[None]

  return xla.rematerialised(q, k, v, relative=Slope())


@pytest.mark.parametrize('layer', [local, strided, with_distances])
def test_memory_is_linear(layer):
  """To 32k tokens; the largest term that grows faster, strided attention's columns, is small at that length."""
  short, long = temporaries(layer, 4096), temporaries(layer, 32768)
  assert long < 8.8 * short
  assert long < 32768**2 / 4
