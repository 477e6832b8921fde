"""What every mixer must do, as functions of a `Case`. `tests/mixers/test_contract.py` runs them over `MIXERS`."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from seqmodels.mixers import MIXERS, make_mixer

B, T, D = 2, 12, 8
SEGMENTATIONS = ((12,), (1,) * 12, (5, 1, 1, 5), (1, 5, 1, 5))  # few lengths: each is a compilation
NO_RESET, NO_PADDING = np.zeros((B, T), bool), np.ones((B, T), bool)
BFLOAT16_DISTANCE = 0.03  # relative, root mean square


@dataclasses.dataclass(frozen=True)
class Case:
  """A mixer with options, built once; its compiled functions are shared by the checks."""

  name: str
  options: tuple[tuple[str, Any], ...] = ()
  causal: bool = True
  dtype: str = 'float32'

  def __str__(self) -> str:
    return '-'.join([self.name, *(str(value) for _, value in self.options)])

  def variant(self, **changes: Any) -> 'Case':
    """Another form of the same mixer, with the same parameters."""
    form = dataclasses.replace(self, **changes)
    form.__dict__['params'] = self.params
    return form

  def build(self, key: jax.Array) -> tuple[nnx.GraphDef, Any]:
    how = {'causal': self.causal, 'dtype': self.dtype, 'options': dict(self.options)}
    graph, params = nnx.split(make_mixer(self.name, D, rngs=nnx.Rngs(params=key), **how))
    return graph, nnx.to_pure_dict(params)

  @functools.cached_property
  def graph(self) -> nnx.GraphDef:
    graphs = []
    jax.eval_shape(lambda key: graphs.append(self.build(key)[0]), jax.random.key(0))
    return graphs[0]

  @functools.cached_property
  def params(self) -> Any:
    """Drawn from a fixed key, and moved so that no bias is zero and nothing is near linear."""

    def draw(key):
      params = self.build(key)[1]
      keys = iter(jax.random.split(jax.random.fold_in(key, 1), 64))
      return jax.tree.map(lambda a: a * 1.5 + 0.1 * jax.random.normal(next(keys), a.shape), params)

    return jax.jit(draw)(jax.random.key(0))

  @functools.cached_property
  def apply(self) -> Any:
    """apply(params, x, state, reset, mask) -> (y, state), jitted."""
    graph = self.graph
    return jax.jit(lambda params, x, state, reset, mask: nnx.merge(graph, params)(x, state, reset=reset, mask=mask))

  def run(self, x, state=None, reset=None, mask=None):
    return self.apply(self.params, x, state, reset, mask)

  def init_state(self, max_length: int = T, batch: int = B) -> Any:
    return nnx.merge(self.graph, self.params).init_state(batch, max_length)

  def run_segments(self, x, lengths, reset=None, mask=None, max_length: int = T):
    """The outputs joined, and the last state."""
    state, start, ys = self.init_state(max_length), 0, []
    for length in lengths:
      here = slice(start, start + length)
      flags = (None if f is None else f[:, here] for f in (reset, mask))
      y, state = self.run(x[:, here], state, *flags)
      ys.append(y)
      start += length
    return jnp.concatenate(ys, axis=1), state


def draw_input(seed: int = 0, length: int = T) -> jax.Array:
  return jnp.asarray(np.random.default_rng(seed).normal(size=(B, length, D)), jnp.float32)


def draw_flags(seed: int = 0) -> tuple[jax.Array, jax.Array]:
  """(reset, mask): a few documents a row, some of them starting on padding; the first token of a row may be padding."""
  random = np.random.default_rng(seed)
  return jnp.asarray(random.random((B, T)) < 0.25), jnp.asarray(random.random((B, T)) < 0.75)


def close(actual: Any, expected: Any, atol: float = 1e-5) -> None:
  actual, expected = jax.tree.leaves(actual), jax.tree.leaves(expected)
  for a, e in zip(actual, expected, strict=True):
    np.testing.assert_allclose(np.asarray(a, np.float32), np.asarray(e, np.float32), rtol=1e-5, atol=atol)


def check_segments(case: Case) -> None:
  """One call = any split into segments = token by token, in outputs and in the last state."""
  x = draw_input()
  whole, no_state = case.run(x)
  assert no_state is None
  assert whole.shape == x.shape
  state = None
  for lengths in SEGMENTATIONS:
    y, end = case.run_segments(x, lengths)
    close(y, whole)
    if state is not None:
      close(end, state)
    state = end


def check_segments_with_flags(case: Case) -> None:
  """The same with documents that start, and padding, anywhere."""
  x = draw_input(1)
  reset, mask = draw_flags(1)
  whole, _ = case.run(x, None, reset, mask)
  for lengths in SEGMENTATIONS:
    y, _ = case.run_segments(x, lengths, reset, mask)
    seen = np.asarray(mask)
    close(y[seen], whole[seen])


def check_causality(case: Case) -> None:
  """By Jacobian: exactly zero from the future and across a reset, and not zero from the past."""
  x, half = draw_input(2)[:, :6], 3
  reset = jnp.zeros((B, 6), bool).at[:, half].set(True)

  def jacobian(reset):
    of_row = lambda row: case.apply(case.params, jnp.stack([row, x[1]]), None, reset, None)[0][0]
    return np.abs(jax.jit(jax.jacrev(of_row))(x[0])).max((1, 3))

  influence = jacobian(None)  # [output position, input position]
  assert (np.triu(influence, 1) == 0).all()
  assert (np.diag(influence) > 0).all()
  assert (np.tril(influence, -1).sum(1)[1:] > 0).all()
  separated = jacobian(reset)
  assert (separated[half:, :half] == 0).all()
  assert (separated[-1, half:] > 0).any()


def check_reset_is_a_fresh_start(case: Case) -> None:
  """After a reset, outputs and everything that the state leads to equal those of the suffix alone."""
  x, at = draw_input(3), 7
  reset = jnp.zeros((B, T), bool).at[:, at].set(True)
  alone, fresh = case.run_segments(x[:, at:], (T - at,))
  whole, _ = case.run(x, None, reset, NO_PADDING)
  close(whole[:, at:], alone)
  whole, after = case.run_segments(x, (T,), reset, NO_PADDING)
  close(whole[:, at:], alone)
  for token in range(3):
    now = x[:, token : token + 1]
    y, after = case.run(now, after)
    expected, fresh = case.run(now, fresh)
    close(y, expected)


def check_padding_changes_nothing(case: Case) -> None:
  """Whatever stands at padded positions, the other outputs and the state stay the same; dropping it changes nothing."""
  x = draw_input(4)
  _, mask = draw_flags(4)
  mask = mask.at[1].set(mask[0])
  other = jnp.where(mask[:, :, None], x, 100 * draw_input(5))
  seen = np.asarray(mask)
  first, state = case.run_segments(x, (T,), NO_RESET, mask)
  second, state_other = case.run_segments(other, (T,), NO_RESET, mask)
  np.testing.assert_array_equal(np.asarray(first)[seen], np.asarray(second)[seen])
  jax.tree.map(np.testing.assert_array_equal, state, state_other)
  kept = int(seen[0].sum())
  without, state_without = case.run_segments(x[seen].reshape(B, kept, D), (1,) * kept)
  close(first[seen].reshape(B, kept, D), without)
  close(state, state_without)


def check_one_padded_token(case: Case) -> None:
  """A single padded token leaves the state as it was, bit for bit."""
  x = draw_input(6)
  _, state = case.run_segments(x, (5,))
  padding, reset = jnp.zeros((B, 1), bool), jnp.ones((B, 1), bool)
  _, after = case.run(x[:, 5:6], state, reset, padding)
  jax.tree.map(np.testing.assert_array_equal, after, state)


def check_gradients(case: Case) -> None:
  """Finite, and equal between one call and token by token."""
  x = draw_input(7)
  reset, mask = draw_flags(7)
  weight = jnp.where(mask[:, :, None], draw_input(8), 0.0)

  def parallel(params, x):
    return (case.apply(params, x, None, reset, mask)[0] * weight).sum()

  def recurrent(params, x):
    def step(state, now):
      token, reset, mask = now
      y, state = case.apply(params, token[:, None], state, reset[:, None], mask[:, None])
      return state, y[:, 0]

    inputs = jax.tree.map(lambda a: a.swapaxes(0, 1), (x, reset, mask))
    y = jax.lax.scan(step, case.init_state(), inputs)[1].swapaxes(0, 1)
    return (y * weight).sum()

  gradient = lambda f: jax.jit(jax.grad(f, argnums=(0, 1)))(case.params, x)
  actual, expected = gradient(parallel), gradient(recurrent)
  for leaf in jax.tree.leaves(actual):
    assert np.isfinite(leaf).all()
    assert np.abs(leaf).max() > 1e-4
  close(actual, expected, atol=1e-4)


def check_bfloat16(case: Case) -> None:
  """Within BFLOAT16_DISTANCE of float32, in one call and token by token."""
  x = draw_input(9)
  expected = np.asarray(case.run(x)[0])
  low = case.variant(dtype='bfloat16')
  for y in (low.run(x)[0], low.run_segments(x, (1,) * T)[0]):
    assert y.dtype == jnp.bfloat16
    distance = np.sqrt(np.mean((np.asarray(y, np.float32) - expected) ** 2) / np.mean(expected**2))
    assert distance < BFLOAT16_DISTANCE


def check_state_keeps_its_shape(case: Case) -> None:
  """Shapes and dtypes of the state are the same after any call, in both types."""
  for dtype in ('float32', 'bfloat16'):
    here = case.variant(dtype=dtype)
    before = jax.eval_shape(here.init_state)
    for length in (1, 5):
      x = jax.ShapeDtypeStruct((B, length, D), dtype)
      y, after = jax.eval_shape(here.apply, here.params, x, before, None, None)
      assert y == x
      assert after == before


def check_implementations_agree(case: Case, implementation: str) -> None:
  """Outputs, last states and gradients of an implementation equal the case's own, with documents and padding."""
  x = draw_input(10)
  reset, mask = draw_flags(10)
  other = case.variant(options=(*case.options, ('implementation', implementation)))
  weight = jnp.where(mask[:, :, None], draw_input(11), 0.0)

  def everything(form):
    def loss(params, x):
      y, state = form.apply(params, x, form.init_state(), reset, mask)
      return (y * weight).sum(), (y * weight, state)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(form.params, x)

  close(everything(other), everything(case), atol=5e-5)


def check_bidirectional(case: Case) -> None:
  """Every output sees every input of its document and no other, and padding is left out."""
  both = dataclasses.replace(case, causal=False)
  x, half, length = draw_input(12)[:, :6], 3, 6
  params = both.params
  nothing = np.zeros((B, length), bool), np.ones((B, length), bool)
  reset, mask = (flags.copy() for flags in nothing)
  reset[:, half], mask[:, [1, half - 1]] = True, False

  @jax.jit
  def jacobian(reset, mask):
    of_row = lambda row: both.apply(params, jnp.stack([row, x[1]]), None, reset, mask)[0][0]
    return jnp.abs(jax.jacrev(of_row)(x[0])).max((1, 3))

  assert (jacobian(*nothing) > 0).all()
  document = np.arange(length) >= half
  expected = (document[:, None] == document[None, :]) & mask[0][None, :]
  np.testing.assert_array_equal((jacobian(reset, mask) > 0)[mask[0]], expected[mask[0]])


CHECKS = (
  check_segments,
  check_segments_with_flags,
  check_causality,
  check_reset_is_a_fresh_start,
  check_padding_changes_nothing,
  check_one_padded_token,
  check_gradients,
  check_bfloat16,
  check_state_keeps_its_shape,
)


def other_implementations() -> list[tuple[Case, str]]:
  """Each mixer beside each of its implementations that is not the default."""
  return [(Case(name), other) for name, mixer in MIXERS.items() for other in mixer.implementations[1:]]
