"""The convolutional LSTM with convolutions as matmuls and its own backward pass; see `kernels/conv_lstm.py`.

A convolution is one matmul over all shifts of an image within the kernel's reach: XLA's convolutions on CPU have slow
gradients. The backward pass scans in reverse with one convolution a step, and forms the gradient of the recurrent
kernel as one matmul over all positions, so that a mesh adds it up once. Forward and backward of 16 × 19 images of
8 × 8 × 32 on one thread (EPYC, JAX 0.10.2): 0.13 s; with XLA's convolutions, by JAX, 1.85 s; with matmuls, by JAX,
0.37 s. Inside, arrays are time-major.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.context import Documents
from seqmodels.kernels.reference import conv_lstm as reference


def near(x: jax.Array, rows: int, columns: int) -> jax.Array:
  """Return [… h w n] images with what is within a kernel's reach of each place beside it: [… h w rows·columns·n]."""
  height, width = x.shape[-3:-1]
  lead = [(0, 0)] * (x.ndim - 3)
  padded = jnp.pad(x, (*lead, (rows // 2, rows // 2), (columns // 2, columns // 2), (0, 0)))
  shifts = [padded[..., i : i + height, j : j + width, :] for i in range(rows) for j in range(columns)]
  return jnp.concatenate(shifts, axis=-1)


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Return the same as `reference.convolve`."""
  inputs = near(x.astype(kernel.dtype), *kernel.shape[:2])
  flat = inputs.reshape(-1, inputs.shape[-1])
  y = jnp.dot(flat, kernel.reshape(-1, kernel.shape[-1]), preferred_element_type=jnp.float32)
  return y.reshape(*x.shape[:3], -1)


def conv_lstm(x: Any, carry: Any, weights: Any, projected: Any, documents: Documents, *, dtype: Any) -> Any:
  """Return (all h, the last carry), batch first; see `kernels/conv_lstm.py`."""
  w, u, bias, peepholes = weights
  z = reference.project(convolve, x, w, bias, dtype) if projected is None else projected
  hs, last = _recurrence(z.swapaxes(0, 1), carry, u, peepholes, documents.time_major(), dtype)
  return hs.astype(dtype).swapaxes(0, 1), last


def _step(kernel: jax.Array, peepholes: Any, carry: Any, now: Any) -> tuple[Any, Any]:
  """Return the carry after one position, and (h, c, the gates): what the backward pass needs of it."""
  z, documents = now
  h, c = (documents.forget(a) for a in carry)
  new, gates = reference.cell(z + convolve(h, kernel), c, peepholes)
  h, c = (documents.keep(a, old) for a, old in zip(new, (h, c), strict=True))
  return (h, c), (h, c, gates)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _recurrence(z: Any, carry: Any, kernel: Any, peepholes: Any, documents: Documents, dtype: Any) -> tuple[Any, Any]:
  """Return (all h, the last carry) from the input's share of the gates."""

  def step(carry: Any, now: Any) -> tuple[Any, Any]:
    carry, (h, _, _) = _step(low, peepholes, carry, now)
    return carry, h

  low = kernel.astype(dtype)
  last, hs = jax.lax.scan(step, carry, (z, documents))
  return hs, last


def _forward(z: Any, carry: Any, kernel: Any, peepholes: Any, documents: Documents, dtype: Any) -> tuple[Any, Any]:
  step = functools.partial(_step, kernel.astype(dtype), peepholes)
  last, saved = jax.lax.scan(step, carry, (z, documents))
  return (saved[0], last), (carry, kernel, peepholes, documents, saved)


def _backward(dtype: Any, kept: Any, gradients: Any) -> tuple[Any, ...]:
  carry, kernel, peepholes, documents, (hs, cs, gates) = kept
  dhs, (dh, dc) = gradients
  before = lambda first, later: documents.forget(jnp.concatenate([first[None], later[:-1]]))
  h_before, c_before = before(carry[0], hs), before(carry[1], cs)
  # What is convolved backwards: the kernel turned around, from its outputs to its inputs.
  back = jnp.flip(kernel.astype(dtype), (0, 1)).swapaxes(2, 3)

  def step(carry: Any, now: Any) -> tuple[Any, Any]:
    dh, dc = carry
    dy, c, c_before, (i, f, g, o), documents = now
    dh = dh + dy
    tanh = jnp.tanh(c)
    d_o = dh * tanh * o * (1 - o)
    d_cell = dc + dh * o * (1 - tanh * tanh)
    if peepholes is not None:
      d_cell = d_cell + d_o * peepholes[None, 2]
    d_i, d_f = d_cell * g * i * (1 - i), d_cell * c_before * f * (1 - f)
    dz = documents.keep(jnp.concatenate([d_i, d_f, d_cell * i * (1 - g * g), d_o], axis=-1))
    d_before = d_cell * f
    if peepholes is not None:
      d_before = d_before + d_i * peepholes[None, 0] + d_f * peepholes[None, 1]
    new = documents.keep(convolve(dz, back), dh), documents.keep(d_before, dc)
    return tuple(documents.forget(a) for a in new), dz

  (dh, dc), dz = jax.lax.scan(step, (dh, dc), (dhs, cs, c_before, gates, documents), reverse=True)
  # Time and batch stay two axes: where the batch is split over devices, joining them would gather it.
  inputs, outputs = near(h_before.astype(dtype), *kernel.shape[:2]), dz.astype(dtype)
  d_kernel = jnp.einsum('tbhwn,tbhwz->nz', inputs, outputs, preferred_element_type=jnp.float32).reshape(kernel.shape)
  if peepholes is None:
    return dz, (dh, dc), d_kernel, None, None
  d_i, d_f, _, d_o = jnp.split(dz, 4, axis=-1)
  d_peepholes = jnp.stack([jnp.sum(a * b, (0, 1)) for a, b in ((d_i, c_before), (d_f, c_before), (d_o, cs))])
  return dz, (dh, dc), d_kernel, d_peepholes, None


_recurrence.defvjp(_forward, _backward)
