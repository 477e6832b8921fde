"""Gated and plain recurrences as pure functions of arrays, each in several implementations.

`scan`   one `lax.scan` that does everything inside the step, input projection included: the ladder's lowest rung.
`fused`  the input projection hoisted out of the scan as one matmul, one recurrent matmul and one tanh for all gates,
         and an own backward pass (`fused_recurrent.py`); the LSTM on CPU in the form of `recurrent_columns.py`.
`native` the layer in C++ for CPUs, in float32 (`native/recurrent.py`).
`auto`   `native` where it is built and the process has one CPU device, else `fused`.
`vendor` the LSTM of the GPU's vendor (`vendor_recurrent.py`). It knows no flags: with one, and for one token, `fused`
         runs.

Given `projected`, the input's share of every gate, all run step by step: that is for single tokens.

Rules of all: the carry is float32; matmuls read `dtype` and accumulate in float32; `reset` clears the carry before a
position; a position whose `mask` is false leaves the carry as it is. Neither costs anything when it is None.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.errors import unknown
from seqmodels.kernels import fused_recurrent as fused
from seqmodels.kernels import projection
from seqmodels.kernels import recurrent_columns as columns
from seqmodels.kernels import vendor_recurrent as vendor
from seqmodels.kernels.native import recurrent as native
from seqmodels.kernels.native import suits
from seqmodels.notation import Activations, Flags

IMPLEMENTATIONS = ('auto', 'fused', 'native', 'scan')

Outputs = Float[Array, 'b t e']
Carry = Float[Array, 'b e']
Projected = Float[Array, 'b t z']


def project(
  x: Activations, kernel: Float[Array, 'd z'], bias: Float[Array, ' z'], dtype: DTypeLike
) -> Float[Array, 'b t z']:
  """The input's share of every gate, in float32."""
  return projection.dot(x, kernel, dtype, jnp.float32) + bias[None, None, :]


def rnn(
  x: Activations,
  h: Carry,
  input_kernel: Float[Array, 'd e'],
  recurrent_kernel: Float[Array, 'e e'],
  bias: Float[Array, ' e'],
  *,
  projected: Projected | None = None,
  reset: Flags | None = None,
  mask: Flags | None = None,
  implementation: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Outputs, Carry]:
  """The simple recurrent network h' = tanh(W x + U h + b) (Elman, 1990). Returns (all h, the last h)."""
  implementation = _chosen(implementation, x, h, input_kernel, projected)
  if implementation == 'native':
    return native.rnn(x, h, input_kernel, recurrent_kernel, bias, reset=reset, mask=mask)
  if implementation == 'fused':
    z = _project(x, input_kernel, bias, dtype)
    y, h = fused.rnn(z, h, recurrent_kernel, _time_major(reset), _time_major(mask), jnp.dtype(dtype))
    return _batch_major(y, dtype), h

  y, (h,) = _scan(_elman_cell, x, (h,), (input_kernel, recurrent_kernel, bias), projected, reset, mask, dtype)
  return y, h


def lstm(
  x: Activations,
  h: Carry,
  c: Carry,
  input_kernel: Float[Array, 'd 4*e'],
  recurrent_kernel: Float[Array, 'e 4*e'],
  bias: Float[Array, ' 4*e'],
  *,
  projected: Projected | None = None,
  reset: Flags | None = None,
  mask: Flags | None = None,
  implementation: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Outputs, Carry, Carry]:
  """The LSTM with a forget gate (Hochreiter & Schmidhuber, 1997; Gers et al., 2000). Returns (all h, last h, last c).

  Gates lie along the last axis of the weights in the order input, forget, cell, output.
  """
  if implementation == 'vendor':
    vendor.check(dtype)
    if reset is None and mask is None and projected is None and x.shape[1] > 1:
      return vendor.lstm(x, h, c, input_kernel, recurrent_kernel, bias)
    implementation = 'fused'
  implementation = _chosen(implementation, x, h, input_kernel, projected)
  if implementation == 'native':
    return native.lstm(x, h, c, input_kernel, recurrent_kernel, bias, reset=reset, mask=mask)
  if implementation == 'fused':
    half = fused.gate_scale((True, True, False, True), h.shape[-1])
    w, u, scaled_bias = input_kernel * half[None, :], recurrent_kernel * half[None, :], bias * half
    if columns.suits(x.shape[0]):
      return columns.lstm(x, h, c, w, u, scaled_bias, reset, mask, jnp.dtype(dtype))
    z = _project(x, w, scaled_bias, dtype)
    y, h, c = fused.lstm(z, h, c, u, _time_major(reset), _time_major(mask), jnp.dtype(dtype))
    return _batch_major(y, dtype), h, c

  y, (h, c) = _scan(_lstm_cell, x, (h, c), (input_kernel, recurrent_kernel, bias), projected, reset, mask, dtype)
  return y, h, c


def gru(
  x: Activations,
  h: Carry,
  input_kernel: Float[Array, 'd 3*e'],
  recurrent_kernel: Float[Array, 'e 3*e'],
  bias: Float[Array, ' 3*e'],
  recurrent_bias: Float[Array, ' e'],
  *,
  projected: Projected | None = None,
  reset: Flags | None = None,
  mask: Flags | None = None,
  implementation: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Outputs, Carry]:
  """The GRU (Cho et al., 2014) in the "reset after" form of cuDNN and PyTorch. Returns (all h, the last h).

  The reset gate multiplies U_n h + b_hn (`recurrent_bias`) instead of h, so that one recurrent matmul serves all gates.
  Gates lie along the last axis of the weights in the order reset, update, new; h' = (1 - z) n + z h.
  """
  implementation = _chosen(implementation, x, h, input_kernel, projected)
  if implementation == 'native':
    weights = input_kernel, recurrent_kernel, bias, recurrent_bias
    return native.gru(x, h, *weights, reset=reset, mask=mask)
  if implementation == 'fused':
    half = fused.gate_scale((True, True, False), h.shape[-1])
    z = _project(x, input_kernel * half[None, :], bias * half, dtype)
    u = recurrent_kernel * half[None, :]
    y, h = fused.gru(z, h, u, recurrent_bias, _time_major(reset), _time_major(mask), jnp.dtype(dtype))
    return _batch_major(y, dtype), h

  cell = functools.partial(_gru_cell, recurrent_bias)
  y, (h,) = _scan(cell, x, (h,), (input_kernel, recurrent_kernel, bias), projected, reset, mask, dtype)
  return y, h


def _elman_cell(z, from_h, h):
  del h
  return (jnp.tanh(z + from_h),)


def _lstm_cell(z, from_h, h, c):
  del h
  i, f, g, o = jnp.split(z + from_h, 4, axis=-1)
  c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
  return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru_cell(recurrent_bias, z, from_h, h):
  r_in, z_in, n_in = jnp.split(z, 3, axis=-1)
  r_rec, z_rec, n_rec = jnp.split(from_h, 3, axis=-1)
  r, update = jax.nn.sigmoid(r_in + r_rec), jax.nn.sigmoid(z_in + z_rec)
  n = jnp.tanh(n_in + r * (n_rec + recurrent_bias[None, :]))
  return ((1 - update) * n + update * h,)


def step(
  cell: str,
  projected: Float[Array, 'b z'],
  ahead: Float[Array, 'b z'] | None,
  carries: Sequence[tuple[Carry, ...]],
  weights: Sequence[tuple[jax.Array, ...]],
  head: tuple[Float[Array, 'e n'], Float[Array, ' n']] | None = None,
) -> tuple[Sequence[tuple[Carry, ...]], Float[Array, 'b z'] | None, Float[Array, 'b n'] | None]:
  """One token of `rnn`, `lstm` or `gru` layers of one width that follow each other, in one native call.

  projected  the input's share of the first one's gates, so that its own input kernel and bias are not read
  ahead      h's share of them (`look_ahead`); None: it is computed here
  carries    of each layer; the last one's first becomes the output
  weights    those that each layer takes, in their order
  head       weights and bias of a dense layer over the output

  Returns the carries, the next `ahead` if it was given, and what the head makes of the output if there is one.
  """
  return _step(cell, projected, ahead, list(carries), list(weights), head)


def look_ahead(h: Carry, recurrent_kernel: Float[Array, 'e z']) -> Float[Array, 'b z']:
  """What `step` computes of the next token before it is known."""
  return projection.dot(h, recurrent_kernel, jnp.float32)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _step(cell, projected, ahead, carries, weights, head):
  return native.step(cell, projected, ahead, carries, weights, head)


@_step.defjvp
def _step_jvp(cell, primals, tangents):
  _, derivative = jax.jvp(functools.partial(_step_in_jax, cell), primals, tangents)
  return _step(cell, *primals), derivative


def _step_in_jax(cell, projected, ahead, carries, weights, head):
  new: list[tuple[Carry, ...]] = []
  for carry, (w, u, bias, *more) in zip(carries, weights, strict=True):
    z = new[-1][0] @ w + bias[None, :] if new else projected
    new.append(CELLS[cell](*more, z, carry[0] @ u if new or ahead is None else ahead, *carry))
  out = None if head is None else new[-1][0] @ head[0] + head[1][None, :]
  return new, None if ahead is None else new[0][0] @ weights[0][1], out


CELLS: dict[str, Callable[..., tuple[jax.Array, ...]]] = {'rnn': _elman_cell, 'lstm': _lstm_cell, 'gru': _gru_cell}


def steps_natively(rows: int, *arrays: jax.Array) -> bool:
  """Whether `step` is the faster one here."""
  return 0 < rows <= projection.FEW and suits(*arrays)


def _chosen(implementation: str, x: jax.Array, h: jax.Array, kernel: jax.Array, projected: jax.Array | None) -> str:
  """`native`, `fused` or `scan`."""
  if implementation not in IMPLEMENTATIONS:
    raise unknown('mixer.implementation', implementation, IMPLEMENTATIONS)
  if projected is not None:
    return 'scan'
  # One token has nothing to hoist, and folding the gates' halves into the weights would cost more than the step.
  if x.shape[1] == 1 and implementation != 'native':
    return 'scan'
  if implementation == 'auto':
    return 'native' if suits(x, h, kernel) else 'fused'
  return implementation


def _project(x: jax.Array, kernel: jax.Array, bias: jax.Array, dtype: DTypeLike) -> jax.Array:
  """The input's share of every gate, time-major: [t b z] float32."""
  b, t, _ = x.shape
  # One flat matmul: XLA's CPU backend spends 10 % of an LSTM step on copies around one with two batch axes.
  z = _dot(x.swapaxes(0, 1).reshape(t * b, -1), kernel.astype(dtype)) + bias[None, :]
  return z.reshape(t, b, -1)


def _dot(a: jax.Array, kernel: jax.Array) -> jax.Array:
  """`a @ kernel` in the kernel's dtype, accumulated in float32."""
  return jnp.dot(a.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


def _dot_of(length: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """`_dot`; of the one token that is decoded, as fast as weights can be read."""
  if length > 1:
    return _dot
  return lambda a, kernel: projection.dot(a, kernel, kernel.dtype, jnp.float32)


def _time_major(flags: jax.Array | None) -> jax.Array | None:
  return None if flags is None else flags.swapaxes(0, 1)


def _batch_major(y: jax.Array, dtype: DTypeLike) -> jax.Array:
  return y.astype(dtype).swapaxes(0, 1)


def _scan(
  cell: Callable[..., tuple[jax.Array, ...]],
  x: jax.Array,
  carry: tuple[jax.Array, ...],
  weights: tuple[jax.Array, jax.Array, jax.Array],
  projected: jax.Array | None,
  reset: jax.Array | None,
  mask: jax.Array | None,
  dtype: DTypeLike,
) -> tuple[jax.Array, Any]:
  """Runs cell(the input's share of the gates, h's share, *carry) position by position; the output is its first
  result."""
  w, u, bias = weights
  w, u = w.astype(dtype), u.astype(dtype)
  dot = _dot_of(x.shape[1])

  def body(carry, now):
    x, reset, mask = now
    if reset is not None:
      carry = tuple(jnp.where(reset[:, None], 0.0, a) for a in carry)
    z = x if projected is not None else dot(x, w) + bias[None, :]
    new = cell(z, dot(carry[0], u), *carry)
    if mask is not None:
      new = tuple(jnp.where(mask[:, None], a, old) for a, old in zip(new, carry, strict=True))
    return new, new[0].astype(dtype)

  inputs = (x if projected is None else projected).swapaxes(0, 1)
  carry, y = jax.lax.scan(body, carry, (inputs, _time_major(reset), _time_major(mask)))
  return y.swapaxes(0, 1), carry
