"""The contract of causal mixers as functions of a `Case`; `tests/bidirectional.py` has that of bidirectional forms.

`tests/mixers/test_contract.py` runs them over `MIXERS`. Compiling is what they cost, so they share programs: segments
of 5 and of 1 tokens with flags, one gradient at length T from no state, and at length 257 the forms without flags.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import BATCH, CACHE, Context, StateSpec
from seqmodels.kernels.cpu import library
from seqmodels.layers import axes_of
from seqmodels.mixers.base import grow
from tests.cases import NO_PADDING, NO_RESET, B, Case, D, T, draw_flags, draw_input, draw_lengths

LONG = 257  # a prime
SEGMENTATIONS = ((5, 5, 1, 1), (1,) * T, (5, 1, 1, 5), (1, 5, 1, 5))
BFLOAT16_DISTANCE = 0.02  # relative, root mean square


def close(actual: Any, expected: Any, atol: float = 1e-5) -> None:
  actual, expected = jax.tree.leaves(actual), jax.tree.leaves(expected)
  for a, e in zip(actual, expected, strict=True):
    np.testing.assert_allclose(np.asarray(a, np.float32), np.asarray(e, np.float32), rtol=1e-5, atol=atol)


def check_segments(case: Case) -> None:
  """One call = any split into segments = token by token, in outputs and in the last state."""
  x = draw_input()
  whole = case.in_one_call(x)
  state = None
  for lengths in SEGMENTATIONS:
    y, end = case.run_segments(x, lengths, NO_RESET, NO_PADDING)
    close(y, whole)
    if state is not None:
      close(end, state)
    state = end


def check_long(case: Case) -> None:
  """At a length that no chunk divides, without flags, outputs being of order 1: one call = three segments = token by
  token, within 1e-5."""
  x = draw_input(13, LONG)
  whole, no_state = case.run(x)
  assert no_state is None
  assert whole.shape == x.shape
  case = case.of_order_one(np.asarray(whole))
  whole = np.asarray(case.run(x)[0])
  assert 0.25 < np.sqrt(np.mean(whole**2)) < 1.1, 'name the last weights in cases.LAST'
  for lengths in ((128, 1, 128), (1,) * LONG):
    y, _ = case.run_segments(x, lengths, max_length=LONG)
    assert np.abs(y - whole).max() <= 1e-5


def check_segments_with_flags(case: Case) -> None:
  """The same with documents that start, and padding, anywhere: none, some, or most of it, in drawn segments."""
  for seed, (starts, padding) in enumerate([(0.25, 0.25), (0.1, 0.6), (0.6, 0.1), (0.0, 0.4), (0.4, 0.0)], 1):
    x = draw_input(seed)
    reset, mask = draw_flags(seed, starts, padding)
    whole = case.in_one_call(x, reset, mask)
    for lengths in SEGMENTATIONS if seed == 1 else [draw_lengths(seed), (1,) * T]:
      y, _ = case.run_segments(x, lengths, reset, mask)
      close(y[mask], whole[mask])


def check_any_segments(case: Case) -> None:
  """The same in segments of any length. Each is filled up with padding to the length of the call, so that all are one
  program."""
  for seed in range(1, 4):
    x, (reset, mask) = draw_input(seed), draw_flags(seed)
    whole = np.asarray(case.run(x, None, reset, mask)[0])
    tokens, _ = case.run_segments(x, (1,) * T, reset, mask)
    close(tokens[mask], whole[mask])
    cuts = np.sort(np.random.default_rng(seed).choice(np.arange(1, T), 3, replace=False))
    state, ys = case.init_state(), []
    for first, last in itertools.pairwise([0, *cuts, T]):
      filled = [np.roll(a, -first, axis=1) for a in (x, reset, mask)]
      filled[2][:, last - first :] = False
      y, state = case.run(filled[0], state, *filled[1:])
      ys.append(y[:, : last - first])
    close(np.concatenate(ys, axis=1)[mask], whole[mask])


def check_whole_chunks(case: Case) -> None:
  """Calls as long as a chunk, from no state and from one, equal the tokens (`kernels/chunks.py` tells of a bug)."""
  chunk = case.chunk
  x = draw_input(14)[:, : 2 * chunk]
  tokens, end = case.run_segments(x, (1,) * (2 * chunk), NO_RESET, NO_PADDING)
  close(case.run(x[:, :chunk])[0], tokens[:, :chunk])
  chunks, state = case.run_segments(x, (chunk, chunk), NO_RESET, NO_PADDING)
  close(chunks, tokens)
  close(state, end)


@functools.partial(jax.jit, static_argnums=0)
def _jacobian(case: Case, params, x, reset, mask):
  of_row = lambda x: case.apply(params, x, None, Context(reset, mask))[0][0]
  return jnp.abs(jax.jacrev(of_row)(x)).max((1, 4))


def jacobian(case: Case, x, reset, mask=None) -> np.ndarray:
  """Return the first row's influences [output position, input position], largest over features.

  Other rows have none.
  """
  mask = np.ones(reset.shape, bool) if mask is None else mask
  influence = np.asarray(_jacobian(case, case.params, x, reset, mask))
  assert (influence[:, 1:] == 0).all()
  return influence[:, 0]


def check_causality(case: Case) -> None:
  """By Jacobian: exactly zero from the future and across a reset, and not zero from the past."""
  x, half, length = draw_input(2)[:, :6], 3, 6
  reset = np.zeros((B, length), bool)
  influence = jacobian(case, x, reset)
  assert (np.triu(influence, 1) == 0).all()
  assert (np.diag(influence) > 0).all()
  assert (np.tril(influence, -1).sum(1)[1:] > 0).all()
  reset[:, half] = True
  separated = jacobian(case, x, reset)
  assert (separated[half:, :half] == 0).all()
  assert (separated[-1, half:] > 0).any()


def check_reset_is_a_fresh_start(case: Case) -> None:
  """After a reset, outputs and everything that the state leads to equal those of the suffix alone."""
  x, at = draw_input(3), 7
  reset = NO_RESET.copy()
  reset[:, at] = True
  alone, fresh = case.run_segments(x[:, at:], (T - at,), NO_RESET, NO_PADDING)
  close(case.in_one_call(x, reset)[:, at:], alone)
  whole, after = case.run_segments(x, (5, 5, 1, 1), reset, NO_PADDING)
  close(whole[:, at:], alone)
  for token in range(3):
    now = x[:, token : token + 1]
    y, after = case.run(now, after, NO_RESET[:, :1], NO_PADDING[:, :1])
    expected, fresh = case.run(now, fresh, NO_RESET[:, :1], NO_PADDING[:, :1])
    close(y, expected)


def check_padding_changes_nothing(case: Case) -> None:
  """Whatever stands at padded positions, the other outputs and the state stay the same; dropping it changes nothing."""
  x = draw_input(4)
  _, mask = draw_flags(4)
  mask[1] = mask[0]
  other = np.where(mask[:, :, None], x, 100 * draw_input(5))
  first, state = case.run_segments(x, (5, 5, 1, 1), NO_RESET, mask)
  second, state_other = case.run_segments(other, (5, 5, 1, 1), NO_RESET, mask)
  np.testing.assert_array_equal(first[mask], second[mask])
  jax.tree.map(np.testing.assert_array_equal, state, state_other)
  kept = int(mask[0].sum())
  without, state_without = case.run_segments(x[mask].reshape(B, kept, D), (1,) * kept, NO_RESET, NO_PADDING)
  close(first[mask].reshape(B, kept, D), without)
  close(state, state_without)


def check_nothing_comes_out_of_padding(case: Case) -> None:
  """NaN, infinity and 1e30 in padding change no output, no state and no gradient, by one bit.

  In one row all tokens are padding: its state stays what it was.
  """
  x, (reset, mask) = draw_input(19), draw_flags(19, 0.2, 0.3)
  mask[1] = False
  weight = draw_input(20) * mask[:, :, None]

  def results(value: float) -> Any:
    filled = np.where(mask[:, :, None], x, np.float32(value))
    y, gradients = case.gradient(case.params, filled, weight, Context(reset, mask))
    segments, state = case.run_segments(filled, (5, 1, 1, 5), reset, mask)
    return y[mask], gradients, segments[mask], state

  first = results(0.0)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(first))
  for value in (1e30, np.inf, np.nan):
    jax.tree.map(np.testing.assert_array_equal, results(value), first)
  empty, axes = case.init_state(), jax.tree.map(lambda spec: spec.axis(BATCH), case.state_spec())
  row = lambda leaf, axis: np.take(np.asarray(leaf), 1, axis)
  jax.tree.map(np.testing.assert_array_equal, jax.tree.map(row, first[-1], axes), jax.tree.map(row, empty, axes))


def check_one_padded_token(case: Case) -> None:
  """A single padded token leaves the state as it was, bit for bit."""
  x = draw_input(6)
  _, state = case.run_segments(x, (5,), NO_RESET, NO_PADDING)
  padding, reset = np.zeros((B, 1), bool), np.ones((B, 1), bool)
  _, after = case.run(x[:, 5:6], state, reset, padding)
  jax.tree.map(np.testing.assert_array_equal, after, state)


def check_gradients(case: Case) -> None:
  """Finite, and equal between one call and token by token."""
  case = case.differentiable
  x = draw_input(7)
  reset, mask = draw_flags(7)
  weight = draw_input(8) * mask[:, :, None]

  def recurrent(params, x, state):
    def step(state, now):
      token, reset, mask = now
      y, state = case.apply(params, token[:, None], state, Context(reset[:, None], mask[:, None]))
      return state, y[:, 0]

    inputs = jax.tree.map(lambda a: a.swapaxes(0, 1), (x, reset, mask))
    return (jax.lax.scan(step, state, inputs)[1].swapaxes(0, 1) * weight).sum()

  _, actual = case.gradient(case.params, x, weight, Context(reset, mask))
  expected = jax.jit(jax.grad(recurrent, argnums=(0, 1)))(case.params, x, case.init_state())
  for leaf in jax.tree.leaves(actual):
    assert np.isfinite(leaf).all()
    assert np.abs(leaf).max() > 1e-4
  for found, reference in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    # Sums of other orders differ by a part of their largest terms, which a small sum may cancel.
    close(found, reference, atol=max(1e-4, 1e-5 * float(np.abs(reference).max())))


def check_bfloat16(case: Case) -> None:
  """With documents and padding within BFLOAT16_DISTANCE of float32, in one call, in segments (one of them a chunk) and
  token by token; and what stands at padded positions changes nothing, bit for bit."""
  low, lengths = case.variant(dtype='bfloat16'), (case.chunk, 5, *(1,) * (T - 5 - case.chunk))
  for seed in (9, 16):
    x, (reset, mask) = draw_input(seed), draw_flags(seed)
    expected = np.asarray(case.in_one_call(x, reset, mask))[mask]
    segments, state = low.run_segments(x, lengths, reset, mask)
    drawn, _ = low.run_segments(x, draw_lengths(seed), reset, mask)
    for y in (low.run(x, None, reset, mask)[0], segments, drawn, low.run_segments(x, (1,) * T, reset, mask)[0]):
      assert y.dtype == jnp.bfloat16
      distance = np.sqrt(np.mean((np.asarray(y, np.float32)[mask] - expected) ** 2) / np.mean(expected**2))
      assert distance < BFLOAT16_DISTANCE
    other, state_other = low.run_segments(np.where(mask[:, :, None], x, 100 * x), lengths, reset, mask)
    np.testing.assert_array_equal(other[mask], segments[mask])
    jax.tree.map(np.testing.assert_array_equal, state, state_other)


def check_state_is_what_its_spec_says(case: Case) -> None:
  """The spec names every axis, `batch` among them; states have its shapes and dtypes before and after any call."""
  for dtype in ('float32', 'bfloat16'):
    here = case.variant(dtype=dtype)
    specs = here.state_spec()
    assert all(isinstance(spec, StateSpec) and spec.axes.count(BATCH) == 1 for spec in jax.tree.leaves(specs))
    before = jax.eval_shape(here.init_state)
    assert before == jax.tree.map(lambda spec: jax.ShapeDtypeStruct(spec.shape, spec.dtype), specs)
    for length in (1, 5):
      x = jax.ShapeDtypeStruct((B, length, D), dtype)
      y, after = jax.eval_shape(here.apply, here.params, x, before, Context())
      assert y == x
      assert after == before


def check_dtype_of_outputs(case: Case) -> None:
  """Outputs are in the mixer's dtype, whatever that of its input and however many tokens are read."""
  for dtype, given in (('bfloat16', 'float32'), ('float32', 'bfloat16')):
    here = case.variant(dtype=dtype)
    for length in (1, 5, T):
      x = jax.ShapeDtypeStruct((B, length, D), given)
      assert jax.eval_shape(here.apply, here.params, x, None, Context())[0].dtype == dtype


def check_axes(case: Case) -> None:
  """Every parameter is float32 and names its axes."""
  shapes = jax.tree_util.tree_leaves_with_path(case.params)
  axes = jax.tree_util.tree_leaves_with_path(axes_of(case.abstract), is_leaf=lambda node: isinstance(node, tuple))
  assert [path for path, _ in shapes] == [path for path, _ in axes]
  for (_, leaf), (_, names) in zip(shapes, axes, strict=True):
    assert leaf.dtype == np.float32
    assert len(names) == len(set(names)) == leaf.ndim


def check_growth(case: Case) -> None:
  """A state that is full and grown to a longer spec is one that was made longer."""
  x, half = draw_input(15), 5
  _, state = case.run_segments(x[:, :half], (half,), NO_RESET, NO_PADDING, max_length=half)
  grown = grow(state, case.state_spec())
  _, longer = case.run_segments(x[:, :half], (half,), NO_RESET, NO_PADDING)
  close(grown, longer)
  grows = any(spec.axis(CACHE) is not None for spec in jax.tree.leaves(case.state_spec()))
  sizes = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (state, grown)]
  assert sizes[0] == sizes[1] or grows
  close(grow(grown, case.state_spec(half)), grown)


def check_growth_over_blocks(case: Case) -> None:
  """The same where a ring gets more blocks, for one layer and for stacked layers."""
  state, specs = case.init_state(5), case.state_spec(300)
  state = jax.tree.map(jnp.ones_like, state)
  shapes = jax.tree.map(lambda spec: jax.ShapeDtypeStruct(spec.shape, spec.dtype), specs)
  grown = jax.eval_shape(lambda state: grow(state, specs), state)
  assert grown == shapes
  twice = lambda tree: jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), tree)
  grown = grow(twice(state), jax.tree.map(lambda spec: spec.stacked(2), specs))
  jax.tree.map(np.testing.assert_array_equal, grown, twice(grow(state, specs)))


def check_projection(case: Case) -> None:
  """`from_projection` of `project` equals a call, for mixers that have a projection."""
  if case.apply_projection is None:
    return
  x, (reset, mask) = draw_input(21), draw_flags(21)
  state = projected = case.run_segments(x[:, :1], (1,), reset[:, :1], mask[:, :1])[1]
  for first, last in ((1, 2), (2, 7), (7, 8)):
    here = slice(first, last)
    y, state = case.run(x[:, here], state, reset[:, here], mask[:, here])
    context = Context(reset[:, here], mask[:, here])
    again, projected = case.apply_projection(case.params, x[:, here], projected, context)
    close(again[mask[:, here]], y[mask[:, here]])
    close(projected, state)


def check_backends_agree(case: Case, backend: str) -> None:
  """Outputs, last states and gradients with a backend equal those with `auto`, with documents and padding."""
  if backend == 'cpu' and not library.load():
    pytest.skip('the C++ kernels are not built')
  x = draw_input(10)
  reset, mask = draw_flags(10)
  case = case.differentiable
  other = case.variant(kernels=backend)
  weight = draw_input(11) * mask[:, :, None]

  def everything(form):
    y, gradients = form.gradient(form.params, x, weight, Context(reset, mask))
    segments, state = form.run_segments(x[:, :10], (5, 5), reset, mask)
    return np.asarray(y) * mask[:, :, None], gradients, segments * mask[:, :10, None], state

  close(everything(other), everything(case), atol=5e-5)


CHECKS = (
  check_segments,
  check_segments_with_flags,
  check_whole_chunks,
  check_long,
  check_causality,
  check_reset_is_a_fresh_start,
  check_padding_changes_nothing,
  check_nothing_comes_out_of_padding,
  check_one_padded_token,
  check_gradients,
  check_bfloat16,
  check_state_is_what_its_spec_says,
  check_dtype_of_outputs,
  check_axes,
  check_growth,
  check_growth_over_blocks,
  check_projection,
)
