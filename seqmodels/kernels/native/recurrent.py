"""Recurrent layers in C++ (`recurrent.h`, `cells.h`, `backward.h`), with their own backward passes; single tokens
(`recurrent_step.cc`).

Arguments, results and rules are those of `kernels/recurrent.py`. Nothing is turned or copied on the way: sequences are
batch-major on both sides.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from seqmodels.kernels import native
from seqmodels.notation import Activations, Flags

Carry = Float[Array, 'b e']


class Weights(NamedTuple):
  """bias_n is the GRU's second bias, of no elements in other cells."""

  w: Float[Array, 'd z']
  u: Float[Array, 'e z']
  bias: Float[Array, ' z']
  bias_n: Float[Array, ' _']


SLOTS = {'rnn': 0, 'lstm': 4, 'gru': 4}  # what a cell saves for each unit: see `cells.h`
AT_SAVED = 10  # of the backward pass's arguments
NOTHING = (0,)  # the shape of what a cell does not have


def rnn(x: Activations, h: Carry, *weights: jax.Array, reset: Flags | None, mask: Flags | None) -> Any:
  """Returns (all h, the last h)."""
  return _layer('rnn', x, h, None, weights, reset, mask)[:2]


def lstm(x: Activations, h: Carry, c: Carry, *weights: jax.Array, reset: Flags | None, mask: Flags | None) -> Any:
  """Returns (all h, last h, last c)."""
  return _layer('lstm', x, h, c, weights, reset, mask)


def gru(x: Activations, h: Carry, *weights: jax.Array, reset: Flags | None, mask: Flags | None) -> Any:
  """Returns (all h, the last h)."""
  return _layer('gru', x, h, None, weights, reset, mask)[:2]


def step(
  cell: str,
  projected: Float[Array, 'b z'],
  ahead: Float[Array, 'b z'] | None,
  carries: Sequence[Sequence[Carry]],
  weights: Sequence[Sequence[jax.Array]],
  head: tuple[jax.Array, jax.Array] | None,
) -> tuple[list[tuple[Carry, ...]], Float[Array, 'b z'] | None, Float[Array, 'b n'] | None]:
  """See `kernels/recurrent.py`."""
  nothing = jnp.zeros(NOTHING, jnp.float32)
  arrays: list[jax.Array] = []
  shapes: list[tuple[int, ...]] = []
  in_place: dict[int, int] = {} if ahead is None else {1: 0}
  for (h, *c), (w, u, bias, *bias_n) in zip(carries, weights, strict=True):
    first = not arrays
    in_place |= {4 + len(arrays) + i: 2 + len(shapes) + i for i in range(1 + len(c))}
    arrays += [h, *(c or [nothing]), nothing if first else w, u, nothing if first else bias, *(bias_n or [nothing])]
    shapes += [h.shape, c[0].shape if c else NOTHING]
  shapes = [
    NOTHING if ahead is None else ahead.shape,
    NOTHING if head is None else (projected.shape[0], *head[1].shape),
    *shapes,
  ]
  known = projected, nothing if ahead is None else ahead, *(head or (nothing, nothing))
  next_ahead, out, *found = native.call(f'{cell}_step', native.results(*shapes), *known, *arrays, in_place=in_place)
  new = [tuple(found[2 * i : 2 * i + len(carry)]) for i, carry in enumerate(carries)]
  return new, None if ahead is None else next_ahead, None if head is None else out


def _layer(cell, x, h, c, weights, reset, mask):
  native.check(x, h, *weights)
  nothing = jnp.zeros(NOTHING, jnp.float32)
  flags = tuple(jnp.zeros(NOTHING, bool) if a is None else a for a in (reset, mask))
  w, u, bias, bias_n = weights if cell == 'gru' else (*weights, nothing)
  return _run(cell, x, h, nothing if c is None else c, Weights(w, u, bias, bias_n), flags)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(
  cell: str,
  x: Activations,
  h: Carry,
  c: jax.Array,
  weights: Weights,
  flags: tuple[Bool[Array, '*_'], Bool[Array, '*_']],
) -> Any:
  return _call(cell, x, h, c, weights, flags, saves=False)[:3]


def _call(cell, x, h, c, weights, flags, saves):
  b, t, _ = x.shape
  e = h.shape[1]
  saved = (b, t, SLOTS[cell] * e) if saves and SLOTS[cell] else NOTHING
  cs = (b, t, e) if saves and cell == 'lstm' else NOTHING
  shapes = native.results((b, t, e), h.shape, c.shape, saved, cs)
  return native.call(f'{cell}_forward', shapes, x, h, c, *weights, *flags)


def _forward(cell, x, h, c, weights, flags):
  hs, h_last, c_last, saved, cs = _call(cell, x, h, c, weights, flags, saves=True)
  return (hs, h_last, c_last), (x, h, c, weights, flags, hs, saved, cs)


def _backward(cell, kept, gradients):
  x, h, c, weights, flags, hs, saved, cs = kept
  b, t, e = hs.shape
  known = (x, h, c, *weights, *flags, hs, saved, cs, *gradients)
  shapes = native.results(x.shape, h.shape, c.shape, *(a.shape for a in weights), (b, t, (SLOTS[cell] or 1) * e))
  # The gradients at the sums take the place of what was saved.
  in_place = {AT_SAVED: len(shapes) - 1} if SLOTS[cell] else {}
  dx, dh, dc, *of_weights, _ = native.call(f'{cell}_backward', shapes, *known, in_place=in_place)
  return dx, dh, dc, Weights(*of_weights), (None, None)


_run.defvjp(_forward, _backward)
