"""Diagonal linear recurrences h_t = a_t · h_{t-1} + b_t, time-major `[t b e]`, in memory linear in t.

The documents are batch-major, `[b t]`: a reset clears h before a position, padding leaves h as it is, whatever stands
there.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels import dispatch
from seqmodels.kernels.cpu import diagonal as cpu
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.reference import diagonal as reference
from seqmodels.kernels.xla import diagonal as xla
from seqmodels.part import affine

Sequence = Inexact[Array, 't b e']
Carry = Inexact[Array, 'b e']
Pair = tuple[Float[Array, ' e'], Float[Array, ' e']]
Pairs = tuple[Float[Array, 't b e'], Float[Array, 't b e']]
CarryPair = tuple[Float[Array, 'b e'], Float[Array, 'b e']]

ACCELERATORS = ('cuda', 'rocm', 'tpu')

DIAGONAL = Op(
  'diagonal',
  (
    ('reference', Form(reference.diagonal)),
    ('xla', Form(xla.scan, ('cpu',))),
    ('xla', Form(xla.associative, ACCELERATORS)),
    ('associative', Form(xla.associative)),
    ('cpu', Form(cpu.diagonal, ('cpu',), why_not=cpu.why_not)),
  ),
)
# On CPU a scan over pairs is three to four times as fast as one over complex64, forward and backward, and autodiff
# through it as fast as an own backward pass.
ROTATING = Op(
  'rotating',
  (
    ('reference', Form(reference.rotating)),
    ('xla', Form(reference.rotating, ('cpu',))),
    ('xla', Form(xla.rotating_associative, ACCELERATORS)),
    ('associative', Form(xla.rotating_associative)),
  ),
)


def diagonal(
  a: Sequence,
  b: Sequence,
  h: Carry,
  *,
  documents: Documents = ONE_DOCUMENT,
  kernels: str = 'auto',
) -> tuple[Sequence, Carry]:
  """Return all h and the last h of h_t = a_t · h_{t-1} + b_t from h; all arrays are float32, or all complex64.

  Raises InputError as `dispatch.run`.
  """
  a, b = xla.with_documents(a, b, documents.time_major())
  if a.shape[0] == 1:
    dispatch.check(kernels)
    run = lambda b, h: a * h[None] + b
  else:
    run = lambda b, h: dispatch.run(DIAGONAL, kernels, (a, b, h))
  if documents.part is None:
    hs = run(b, h)
    return hs, hs[-1]
  # Linear in h: what is left of it at every position, and what comes of the inputs.
  left, added = run(jnp.zeros_like(b), jnp.ones_like(h)), run(b, jnp.zeros_like(h))
  start, end = documents.part.scan(affine, h, (left[-1], added[-1]), 'hidden')
  return left * start[None] + added, end


def rotating(
  a: Pair,
  b: Pairs,
  h: CarryPair,
  *,
  documents: Documents = ONE_DOCUMENT,
  kernels: str = 'auto',
) -> tuple[Pairs, CarryPair]:
  """Return the same with one complex a per channel, constant in time; complex numbers are pairs (real, imaginary)."""
  part, documents = documents.part, documents.alone().time_major()
  b = documents.keep(b[0]), documents.keep(b[1])
  dispatch.check(kernels)
  kernels = kernels if b[0].shape[0] > 1 else 'reference'
  run = lambda b, h: dispatch.run(ROTATING, kernels, (a, b, h, documents))
  if part is None:
    return run(b, h)
  nothing = jnp.zeros_like(h[0])
  left, left_at_end = run(jax.tree.map(jnp.zeros_like, b), (jnp.ones_like(nothing), nothing))
  added, added_at_end = run(b, (nothing, nothing))
  start, end = part.scan(_rotated, h, (left_at_end, added_at_end), 'hidden')
  return _rotated((start[0][None], start[1][None]), (left, added)), end


def _rotated(h: Any, summary: Any) -> Any:
  """Return `part.affine` of pairs."""
  (re, im), ((a_re, a_im), (b_re, b_im)) = h, summary
  return a_re * re - a_im * im + b_re, a_re * im + a_im * re + b_im
