"""The sLSTM (Beck et al., 2024, "xLSTM") over gates already projected, as a scan over `[t g b 4·k]`: g heads, k wide.

The stabiliser m scales c and n alike and cancels in c/n, so it gets no gradient.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels import dispatch
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.reference import slstm as reference
from seqmodels.kernels.reference.slstm import NOTHING
from seqmodels.kernels.xla import slstm as xla

Gates = Float[Array, 't g b z']
Outputs = Float[Array, 't g b k']
Carry = tuple[Float[Array, 'g b k'], Float[Array, 'g b k'], Float[Array, 'g b k'], Float[Array, 'g b k']]

SLSTM = Op('slstm', (('reference', Form(reference.slstm)), ('xla', Form(xla.slstm))))


def slstm(
  gates: Gates,
  carry: Carry,
  recurrent_kernel: Float[Array, 'g k z'],
  *,
  documents: Documents = ONE_DOCUMENT,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Outputs, Carry]:
  """Equations 8 to 18 of the paper in the stabilised form, with a sigmoid forget gate. Returns (all h, the last carry).

  gates holds W x + b of input, forget, cell and output gate, each k wide, along its last axis, float32. With R h added:
  m' = max(log σ(f) + m, i), c' = exp(log σ(f) + m - m') c + exp(i - m') tanh(z), n' the same with 1 for tanh(z), and
  h = σ(o) c'/n'. carry is (h, c, n, m), float32; the matmul with R reads `dtype`. Documents are batch-major, `[b t]`. n
  is at least 1 after the first token, since one of the two factors is 1. Raises InputError as `dispatch.run`.
  """
  documents = jax.tree.map(lambda flags: flags[:, None], documents.time_major())  # [t 1 b]
  gates = documents.keep(gates)  # numbers of any kind may stand in padding
  dispatch.check(kernels)
  kernels = kernels if gates.shape[0] > 1 else 'reference'
  return dispatch.run(SLSTM, kernels, (gates, carry, recurrent_kernel, documents), dtype=jnp.dtype(dtype))


def empty_carry(heads: int, batch: int, size: int) -> Carry:
  """Return the carry of a document that has not begun."""
  zero = jnp.zeros((heads, batch, size), jnp.float32)
  return zero, zero, zero, jnp.full_like(zero, NOTHING)
