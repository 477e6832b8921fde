"""Documents against NumPy loops over rows, and what a missing flag costs: nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import ONE_DOCUMENT, Context, Documents

B, T = 5, 9


def draw(seed: int = 0) -> Documents:
  random = np.random.default_rng(seed)
  return Documents(jnp.asarray(random.random((B, T)) < 0.3), jnp.asarray(random.random((B, T)) < 0.6))


def test_resets_on_padding_do_not_count():
  documents = Documents(jnp.array([[True, True, False]]), jnp.array([[True, False, True]]))
  counted = documents.counted()
  np.testing.assert_array_equal(counted.reset, [[True, False, False]])
  np.testing.assert_array_equal(counted.mask, documents.mask)
  for partial in (ONE_DOCUMENT, Documents(documents.reset), Documents(mask=documents.mask)):
    assert partial.counted() is partial


@pytest.mark.parametrize('axes', [(), (4,), (4, 3)])
def test_forgetting_and_keeping_by_position(axes):
  """The flags [b t] meet arrays with any axes behind theirs."""
  documents = draw()
  random = np.random.default_rng(1)
  new, old = (jnp.asarray(random.normal(size=(B, T, *axes)), jnp.float32) for _ in range(2))
  forgotten, kept, cleared = documents.forget(new, -1.0), documents.keep(new, old), documents.keep(new)
  for b, t in np.ndindex(B, T):
    np.testing.assert_array_equal(forgotten[b, t], np.full(axes, -1.0) if documents.reset[b, t] else new[b, t])
    np.testing.assert_array_equal(kept[b, t], new[b, t] if documents.mask[b, t] else old[b, t])
    np.testing.assert_array_equal(cleared[b, t], new[b, t] if documents.mask[b, t] else np.zeros(axes))


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32', 'complex64', 'int32'])
def test_dtypes_stay(dtype):
  a = jnp.ones((B, T, 2), dtype)
  assert draw().forget(a).dtype == draw().keep(a).dtype == a.dtype


def test_what_is_missing_costs_nothing():
  a, documents = jnp.ones((B, T)), draw()
  assert ONE_DOCUMENT.is_trivial
  assert documents.without_padding().keep(a) is a
  assert documents._replace(reset=None).forget(a) is a
  assert not documents.is_trivial
  assert not documents.without_padding().is_trivial
  for absent in (ONE_DOCUMENT, ONE_DOCUMENT.counted(), ONE_DOCUMENT.time_major(), ONE_DOCUMENT.reversed()):
    assert absent == (None, None, None)
  assert jax.tree.leaves(ONE_DOCUMENT) == []


def test_time_major_flags_are_those_of_a_scan():
  documents = draw()
  h = jnp.ones((B, 1))

  def step(h, documents):
    h = documents.keep(documents.forget(h) + 1, h)
    return h, h

  _, hs = jax.lax.scan(step, h, documents.time_major())
  expected = np.ones(B)
  for t in range(T):
    for b in range(B):
      if documents.mask[b, t]:
        expected[b] = 1 if documents.reset[b, t] else expected[b] + 1
    np.testing.assert_array_equal(hs[t][:, 0], expected)


def test_documents_are_the_same_from_the_end():
  documents = draw(2)
  (reset, mask, _), (back, back_mask, _) = (jax.tree.map(np.asarray, d) for d in (documents, documents.reversed()))
  np.testing.assert_array_equal(back_mask, mask[:, ::-1])
  for row in range(B):
    number, from_the_end = np.cumsum(reset[row]), np.cumsum(back[row])[::-1]
    np.testing.assert_array_equal(number[:, None] == number, from_the_end[:, None] == from_the_end)
  assert documents.without_padding().reversed().mask is None


def test_the_last_token_of_a_row():
  values, mask = (
    np.arange(12, dtype=np.float32).reshape(3, 4, 1),
    np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool),
  )
  actual = Documents(mask=jnp.asarray(mask)).last(jnp.asarray(values))
  np.testing.assert_array_equal(actual, [[1], [7], [11]])
  np.testing.assert_array_equal(ONE_DOCUMENT.last(jnp.asarray(values)), [[3], [7], [11]])


def test_a_context_has_documents():
  documents, key = draw(), jax.random.key(0)
  context = Context(key=key).with_documents(documents)
  assert context == Context(documents.reset, documents.mask, key)
  assert context.documents == documents
