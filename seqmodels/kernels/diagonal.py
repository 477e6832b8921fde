"""Diagonal linear recurrences h_t = a_t · h_{t-1} + b_t, time-major `[t b e]`, in memory linear in t.

The documents are batch-major, `[b t]`: a reset clears h before a position, padding leaves h as it is, whatever stands
there.
"""

from jaxtyping import Array, Float, Inexact

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels import dispatch
from seqmodels.kernels.cpu import diagonal as cpu
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.reference import diagonal as reference
from seqmodels.kernels.xla import diagonal as xla

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
  backend: str = 'auto',
) -> tuple[Sequence, Carry]:
  """Return all h and the last h of h_t = a_t · h_{t-1} + b_t from h; all arrays are float32, or all complex64.

  Raises InputError as `dispatch.run`.
  """
  a, b = xla.with_documents(a, b, documents.time_major())
  if a.shape[0] == 1:
    dispatch.check(backend)
    h = a[0] * h + b[0]
    return h[None], h
  hs = dispatch.run(DIAGONAL, backend, (a, b, h))
  return hs, hs[-1]


def rotating(
  a: Pair,
  b: Pairs,
  h: CarryPair,
  *,
  documents: Documents = ONE_DOCUMENT,
  backend: str = 'auto',
) -> tuple[Pairs, CarryPair]:
  """Return the same with one complex a per channel, constant in time; complex numbers are pairs (real, imaginary)."""
  documents = documents.time_major()
  b = documents.keep(b[0]), documents.keep(b[1])
  dispatch.check(backend)
  return dispatch.run(ROTATING, backend if b[0].shape[0] > 1 else 'reference', (a, b, h, documents))
