"""The convolutional LSTM (Shi et al., 2015): an LSTM whose products with weights are convolutions over an image.

The carry is float32; convolutions read `dtype`, see zeros beyond the edges of an image and sum in float32. Kernels have
an odd number of rows and columns. A reset clears the carry before a position; padding leaves the carry as it is,
whatever stands there.
"""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels import dispatch
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.reference import conv_lstm as reference
from seqmodels.kernels.xla import conv_lstm as xla

Images = Float[Array, 'b t h w n']
Carry = tuple[Float[Array, 'b h w c'], Float[Array, 'b h w c']]

CONV_LSTM = Op('conv_lstm', (('reference', Form(reference.conv_lstm)), ('xla', Form(xla.conv_lstm))))


def project(
  x: Images, input_kernel: Float[Array, 'n i j g c'], bias: Float[Array, 'g c'], dtype: DTypeLike
) -> Float[Array, 'b t h w g*c']:
  """Return the input's share of every gate, gate by gate, in float32."""
  return reference.project(xla.convolve, x, _flat(input_kernel), bias, dtype)


def conv_lstm(
  x: Images,
  carry: Carry,
  input_kernel: Float[Array, 'n i j 4 c'],
  recurrent_kernel: Float[Array, 'c i j 4 c'],
  bias: Float[Array, '4 c'],
  peepholes: Float[Array, '3 h w c'] | None = None,
  *,
  projected: Float[Array, 'b t h w z'] | None = None,
  documents: Documents = ONE_DOCUMENT,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Float[Array, 'b t h w c'], Carry]:
  """Return all h, [b t h w c], and the last carry (h, c).

  The gates are input, forget, cell and output: equation 3 of the paper. peepholes: the weights by which the cell is
  seen by the gates input, forget and output, of every place and channel; None: it is not. projected: the input's share
  of every gate (`project`); x is then not read. Raises InputError as `dispatch.run`.
  """
  weights = _flat(input_kernel), _flat(recurrent_kernel), bias.reshape(-1), peepholes
  # Numbers of any kind may stand in padding; times zero they would be in the weights' gradients.
  x, projected = documents.keep(x), None if projected is None else documents.keep(projected)
  return dispatch.run(CONV_LSTM, kernels, (x, carry, weights, projected, documents), dtype=jnp.dtype(dtype))


def _flat(kernel: Float[Array, 'n i j g c']) -> Float[Array, 'i j n g*c']:
  """Return a kernel as convolutions read it, with all gates in one axis."""
  return jnp.moveaxis(kernel, 0, 2).reshape(*kernel.shape[1:3], kernel.shape[0], -1)
