"""Recurrent layers in C++ (`recurrent.h`, `cells.h`, `backward.h`), with their own backward passes.

Nothing is transposed or copied on the way: sequences are batch-major on both sides.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seqmodels.context import Documents
from seqmodels.kernels.cpu import library
from seqmodels.kernels.cpu.call import SUM, call

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
BATCH = (0, 0, 0, None, None, None, None, 0, 0)  # x, h, c, weights, flags


def covers(x: Any, carry: Any, weights: Any, projected: Any, documents: Documents, *, dtype: Any) -> bool:
  """Return whether the kernels have such a layer: they project the inputs themselves."""
  del x, carry, weights, documents, dtype
  return projected is None


def why_not(x: Any, carry: Any, weights: Any, projected: Any, documents: Documents, *, dtype: Any) -> str | None:
  """Return why the kernels cannot compute the layer, or None."""
  del projected, documents
  return library.why_not(dtype, x, *carry, *weights)


def _layer(cell: str, x: Any, carry: Any, weights: Any, projected: Any, documents: Documents, *, dtype: Any) -> Any:
  """Return (all h, the last carry)."""
  del projected, dtype
  nothing = jnp.zeros(NOTHING, jnp.float32)
  h, c = carry if cell == 'lstm' else (*carry, nothing)
  flags = tuple(jnp.zeros(NOTHING, bool) if a is None else a for a in (documents.reset, documents.mask))
  hs, *ends = _run(cell, x, h, c, Weights(*weights if cell == 'gru' else (*weights, nothing)), flags)
  return hs, tuple(ends[: len(carry)])


rnn, lstm, gru = (functools.partial(_layer, cell) for cell in SLOTS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(cell: str, x: Any, h: Any, c: Any, weights: Any, flags: Any) -> Any:
  return _call(cell, x, h, c, weights, flags, saves=False)[:3]


def _call(cell, x, h, c, weights, flags, saves):
  b, t, _ = x.shape
  e = h.shape[1]
  saved = (b, t, SLOTS[cell] * e) if saves and SLOTS[cell] else NOTHING
  cs = (b, t, e) if saves and cell == 'lstm' else NOTHING
  shapes = (b, t, e), h.shape, c.shape, saved, cs
  return tuple(call(f'{cell}_forward', shapes, (x, h, c, *weights, *flags), BATCH, (0, 0, 0, 0, 0)))


def _forward(cell, x, h, c, weights, flags):
  hs, h_last, c_last, saved, cs = _call(cell, x, h, c, weights, flags, saves=True)
  return (hs, h_last, c_last), (x, h, c, weights, flags, hs, saved, cs)


def _backward(cell, kept, gradients):
  x, h, c, weights, flags, hs, saved, cs = kept
  b, t, e = hs.shape
  known = (x, h, c, *weights, *flags, hs, saved, cs, *gradients)
  shapes = x.shape, h.shape, c.shape, *(a.shape for a in weights), (b, t, (SLOTS[cell] or 1) * e)
  # The gradients at the sums take the place of what was saved.
  in_place = {AT_SAVED: len(shapes) - 1} if SLOTS[cell] else {}
  results = (0, 0, 0, SUM, SUM, SUM, SUM, 0)
  dx, dh, dc, *of_weights, _ = call(f'{cell}_backward', shapes, known, (*BATCH, *(0,) * 6), results, in_place)
  return dx, dh, dc, Weights(*of_weights), (None, None)


_run.defvjp(_forward, _backward)
