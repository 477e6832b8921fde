"""Recurrent layers: the simple recurrent network, the LSTM and the GRU.

The carry is float32; matmuls read `dtype` and accumulate in float32; the outputs are in `dtype`. A reset clears the
carry before a position; padding leaves the carry as it is, whatever stands there. Gates are an axis of their own in the
weights.

A form takes (x, carry, weights, projected, documents), weights being (W, U, bias) and what else the cell has, with all
gates in one axis. It returns (all h, the last carry).
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels import dispatch
from seqmodels.kernels.cpu import recurrent as cpu
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.gpu import recurrent as gpu
from seqmodels.kernels.newton import recurrent as newton
from seqmodels.kernels.reference import recurrent as reference
from seqmodels.kernels.xla import recurrent as xla
from seqmodels.notation import Activations

Outputs = Float[Array, 'b t e']
Carry = Float[Array, 'b e']
Projected = Float[Array, 'b t z']

RNN = Op(
  'rnn',
  (
    ('reference', Form(reference.rnn)),
    ('xla', Form(xla.rnn)),
    ('cpu', Form(cpu.rnn, ('cpu',), cpu.covers, cpu.why_not)),
  ),
)
LSTM = Op(
  'lstm',
  (
    ('reference', Form(reference.lstm)),
    ('xla', Form(xla.lstm)),
    ('newton', Form(newton.lstm, why_not=newton.why_not)),
    ('quasi_newton', Form(newton.quasi_lstm)),
    ('cpu', Form(cpu.lstm, ('cpu',), cpu.covers, cpu.why_not)),
    ('cudnn', Form(gpu.lstm, ('cuda',), gpu.covers, gpu.why_not)),
  ),
)
GRU = Op(
  'gru',
  (
    ('reference', Form(reference.gru)),
    ('xla', Form(xla.gru)),
    ('newton', Form(newton.gru, why_not=newton.why_not)),
    ('quasi_newton', Form(newton.quasi_gru)),
    ('cpu', Form(cpu.gru, ('cpu',), cpu.covers, cpu.why_not)),
  ),
)


def project(
  x: Activations, input_kernel: Float[Array, 'd g e'], bias: Float[Array, 'g e'], dtype: DTypeLike
) -> Float[Array, 'b t g*e']:
  """Return the input's share of every gate, gate by gate, in float32."""
  kernel = input_kernel.astype(dtype).reshape(input_kernel.shape[0], -1)
  return jnp.dot(x.astype(dtype), kernel, preferred_element_type=jnp.float32) + bias.reshape(1, 1, -1)


def rnn(
  x: Activations,
  h: Carry,
  input_kernel: Float[Array, 'd 1 e'],
  recurrent_kernel: Float[Array, 'e 1 e'],
  bias: Float[Array, '1 e'],
  *,
  projected: Projected | None = None,
  documents: Documents = ONE_DOCUMENT,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Outputs, Carry]:
  """Return all h and the last h of the simple recurrent network h' = tanh(W x + U h + b) (Elman, 1990).

  projected: the input's share of every gate (`project`); x is then not read. Meant for single tokens.
  """
  weights = input_kernel, recurrent_kernel, bias
  y, (h,) = _layer(RNN, kernels, x, (h,), weights, projected, documents, dtype)
  return y, h


def lstm(
  x: Activations,
  h: Carry,
  c: Carry,
  input_kernel: Float[Array, 'd 4 e'],
  recurrent_kernel: Float[Array, 'e 4 e'],
  bias: Float[Array, '4 e'],
  *,
  projected: Projected | None = None,
  documents: Documents = ONE_DOCUMENT,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Outputs, Carry, Carry]:
  """Return all h, the last h and the last c of the LSTM (Hochreiter & Schmidhuber, 1997; Gers et al., 2000).

  The gates are input, forget, cell and output. projected: see `rnn`.
  """
  weights = input_kernel, recurrent_kernel, bias
  y, (h, c) = _layer(LSTM, kernels, x, (h, c), weights, projected, documents, dtype)
  return y, h, c


def gru(
  x: Activations,
  h: Carry,
  input_kernel: Float[Array, 'd 3 e'],
  recurrent_kernel: Float[Array, 'e 3 e'],
  bias: Float[Array, '3 e'],
  recurrent_bias: Float[Array, ' e'],
  *,
  projected: Projected | None = None,
  documents: Documents = ONE_DOCUMENT,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Outputs, Carry]:
  """Return all h and the last h of the GRU (Cho et al., 2014) in the "reset after" form of cuDNN and PyTorch.

  The reset gate multiplies U_n h + b_hn (`recurrent_bias`) instead of h, so that one recurrent matmul serves all gates.
  The gates are reset, update and new; h' = (1 - z) n + z h. projected: see `rnn`.
  """
  weights = input_kernel, recurrent_kernel, bias, recurrent_bias
  y, (h,) = _layer(GRU, kernels, x, (h,), weights, projected, documents, dtype)
  return y, h


def _layer(
  op: Op,
  kernels: str,
  x: jax.Array,
  carry: tuple[jax.Array, ...],
  weights: tuple[jax.Array, ...],
  projected: jax.Array | None,
  documents: Documents,
  dtype: DTypeLike,
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
  w, u, bias, *others = weights
  flat = w.reshape(w.shape[0], -1), u.reshape(u.shape[0], -1), bias.reshape(-1)
  # Numbers of any kind may stand in padding; times zero they would be in the weights' gradients.
  x, projected = documents.keep(x), None if projected is None else documents.keep(projected)
  arrays = (x, carry, (*flat, *others), projected, documents)
  # One token has nothing to hoist.
  if kernels in ('auto', 'xla', 'newton', 'quasi_newton') and (projected is not None or x.shape[1] == 1):
    kernels = 'reference'
  return dispatch.run(op, kernels, arrays, dtype=jnp.dtype(dtype))
