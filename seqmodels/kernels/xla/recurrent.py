"""Recurrent layers as scans with their own backward passes. Inside, arrays and flags are time-major: `[t b ...]`.

The input projection is one matmul outside of the scan; a step has one recurrent matmul and one tanh for all gates.
The steps themselves are in `gates`. The forward pass stores what gradients will be multiplied by, or the carries and
tanhs it follows from; the backward pass scans in reverse with one matmul a step, and forms the gradient of the
recurrent weights as one matmul over all positions (as cuDNN does: Appleyard et al., 2016). Arrays of all positions are
written over in place where they can be: a new one would have to be filled with zeros first.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from seqmodels.context import Documents
from seqmodels.kernels.xla.gates import gru_step, lstm_factors, lstm_step

Inputs = Float[Array, 't b z']
Carry = Float[Array, 'b e']


def layer(
  cell: Callable[..., Any],
  x: jax.Array,
  carry: tuple[jax.Array, ...],
  weights: tuple[jax.Array, ...],
  projected: jax.Array | None,
  documents: Documents,
  *,
  dtype: np.dtype,
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
  """Return (all h, the last carry), batch first."""
  z, u, others = projections(x, weights, projected, dtype)
  hs, *last = cell(z, *carry, u, *others, documents.time_major(), dtype)
  return hs.astype(dtype).swapaxes(0, 1), tuple(last)


def projections(
  x: jax.Array, weights: tuple[jax.Array, ...], projected: jax.Array | None, dtype: Any
) -> tuple[Inputs, jax.Array, list[jax.Array]]:
  """Return the input's share of the gates, time first, and the recurrent weights."""
  w, u, bias, *others = weights
  if projected is not None:
    return projected.swapaxes(0, 1), u, others
  # Time first before the matmul: XLA's CPU backend would spend 10 % of an LSTM step on turning the larger result.
  return _dot(x.swapaxes(0, 1), w.astype(dtype)) + bias[None, None, :], u, others


def states_before(first: jax.Array, all_after: jax.Array, documents: Documents) -> jax.Array:
  """Return the carry that each position started from."""
  return documents.forget(jnp.concatenate([first[None], all_after[:-1]]))


def _at(buffer: jax.Array, t: jax.Array) -> jax.Array:
  return jax.lax.dynamic_index_in_dim(buffer, t, keepdims=False)


def _put(buffer: jax.Array, value: jax.Array, t: jax.Array) -> jax.Array:
  return jax.lax.dynamic_update_index_in_dim(buffer, value, t, 0)


def _dot(a: jax.Array, u: jax.Array) -> jax.Array:
  return jnp.dot(a.astype(u.dtype), u, preferred_element_type=jnp.float32)


def weight_gradient(h_before: jax.Array, dz: jax.Array, dtype: Any) -> jax.Array:
  # Time and batch stay two axes: where the batch is split over devices, joining them would gather it.
  product = lambda a, b: jax.lax.dot_general(a, b, (((0, 1), (0, 1)), ((), ())), preferred_element_type=jnp.float32)
  return product(h_before.astype(dtype), dz.astype(dtype))


# --- Elman ---


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _rnn(z: Inputs, h: Carry, u: Float[Array, 'e e'], documents: Documents, dtype: np.dtype) -> tuple[Inputs, Carry]:
  """h' = tanh(z + U h). Returns (all h, the last h)."""
  u = u.astype(dtype)

  def step(h, now):
    z, documents = now
    h = documents.forget(h)
    h = documents.keep(jnp.tanh(z + _dot(h, u)), h)
    return h, h

  h, hs = jax.lax.scan(step, h, (z, documents))
  return hs, h


def _rnn_forward(z, h, u, documents, dtype):
  low = u.astype(dtype)

  def step(carry, now):
    h, buffer = carry
    t, documents = now
    h = documents.forget(h)
    h = documents.keep(jnp.tanh(_at(buffer, t) + _dot(h, low)), h)
    return (h, _put(buffer, h, t)), None

  (last, hs), _ = jax.lax.scan(step, (h, z), (jnp.arange(z.shape[0]), documents))
  return (hs, last), (h, u, documents, hs)


def _rnn_backward(dtype, saved, gradients):
  h, u, documents, hs = saved
  dhs, dh = gradients
  back = u.T.astype(dtype)

  def step(carry, now):
    dh, buffer = carry
    t, h, documents = now
    dh = dh + _at(buffer, t)
    dz = documents.keep(dh * (1 - h * h))
    before = documents.keep(_dot(dz, back), dh)
    return (documents.forget(before), _put(buffer, dz, t)), None

  (dh, dz), _ = jax.lax.scan(step, (dh, dhs), (jnp.arange(hs.shape[0]), hs, documents), reverse=True)
  return dz, dh, weight_gradient(states_before(h, hs, documents), dz, dtype), None


_rnn.defvjp(_rnn_forward, _rnn_backward)


# --- LSTM ---


def _lstm_step(u, carry, now):
  z, documents = now
  h, c = (documents.forget(a) for a in carry)
  return lstm_step(z, _dot(h, u), h, c, documents)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _lstm(
  z: Inputs, h: Carry, c: Carry, u: Float[Array, 'e z'], documents: Documents, dtype: np.dtype
) -> tuple[Float[Array, 't b e'], Carry, Carry]:
  """Run the LSTM over inputs already projected (gates input, forget, cell, output). Returns (all h, last h, last c)."""
  u = u.astype(dtype)

  def step(carry, now):
    carry, _ = _lstm_step(u, carry, now)
    return carry, carry[0]

  (h, c), hs = jax.lax.scan(step, (h, c), (z, documents))
  return hs, h, c


def lstm_forward(z, h, c, u, documents, dtype):
  low = u.astype(dtype)

  def step(carry, now):
    carry, gates = _lstm_step(low, carry, now)
    return carry, (*carry, gates)

  (h_last, c_last), (hs, cs, gates) = jax.lax.scan(step, (h, c), (z, documents))
  return (hs, h_last, c_last), (h, c, u, documents, hs, cs, gates)


def lstm_backward(dtype, saved, gradients):
  h, c, u, documents, hs, cs, gates = saved
  dhs, dh, dc = gradients
  factors = lstm_factors(gates, states_before(c, cs, documents), cs, documents)
  back = u.T.astype(dtype)

  def step(carry, now):
    dh, dc = carry
    dy, factors, documents = now
    dh = dh + dy
    dc = dc + dh * factors.through_cell
    dz = jnp.concatenate([*(dc * a for a in factors.of_cell), dh * factors.of_output], axis=-1)
    before = documents.keep(_dot(dz, back), dh)
    return (documents.forget(before), documents.forget(dc * factors.forget)), dz

  (dh, dc), dz = jax.lax.scan(step, (dh, dc), (dhs, factors, documents), reverse=True)
  return dz, dh, dc, weight_gradient(states_before(h, hs, documents), dz, dtype), None


_lstm.defvjp(lstm_forward, lstm_backward)


# --- GRU ---


def _gru_step(u, b_n, h, now):
  z, documents = now
  h = documents.forget(h)
  return gru_step(z, _dot(h, u), h, b_n, documents)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _gru(
  z: Inputs, h: Carry, u: Float[Array, 'e z'], b_n: Float[Array, ' e'], documents: Documents, dtype: np.dtype
) -> tuple[Float[Array, 't b e'], Carry]:
  """Run the "reset after" GRU over inputs already projected (gates reset, update, new). Returns (all h, the last h)."""
  u = u.astype(dtype)

  def step(h, now):
    h, _ = _gru_step(u, b_n, h, now)
    return h, h

  h, hs = jax.lax.scan(step, h, (z, documents))
  return hs, h


def gru_forward(z, h, u, b_n, documents, dtype):
  low = u.astype(dtype)

  def step(carry, now):
    h, buffer = carry
    t, documents = now
    new, (of_gates, r, straight) = _gru_step(low, b_n, h, (_at(buffer, t), documents))
    for gate, factors in enumerate(of_gates):
      buffer = jax.lax.dynamic_update_slice(buffer, factors[None], (t, 0, gate * h.shape[-1]))
    return (new, buffer), (new, r, straight)

  (last, factors), (hs, r, straight) = jax.lax.scan(step, (h, z), (jnp.arange(z.shape[0]), documents))
  return (hs, last), (h, u, documents._replace(mask=None), hs, factors, r, straight)


def gru_backward(dtype, saved, gradients):
  h, u, documents, hs, factors, r, straight = saved
  dhs, dh = gradients
  size = h.shape[-1]
  back = u.T.astype(dtype)

  def step(carry, now):
    dh, buffer = carry
    t, dy, r, straight, documents = now
    dh = dh + dy
    for gate in range(3):
      where = (t, 0, gate * size)
      part = jax.lax.dynamic_slice(buffer, where, (1, *dh.shape))
      buffer = jax.lax.dynamic_update_slice(buffer, part * dh[None], where)
    dz = _at(buffer, t)
    d_n = dz[:, 2 * size :] * r
    before = _dot(jnp.concatenate([dz[:, : 2 * size], d_n], axis=-1), back)
    return (documents.forget(dh * straight + before), buffer), d_n

  xs = (jnp.arange(hs.shape[0]), dhs, r, straight, documents)
  (dh, dz), d_n = jax.lax.scan(step, (dh, factors), xs, reverse=True)
  d_product = jnp.concatenate([dz[..., : 2 * size], d_n], axis=-1)
  du = weight_gradient(states_before(h, hs, documents), d_product, dtype)
  return dz, dh, du, d_n.sum((0, 1)), None


_gru.defvjp(gru_forward, gru_backward)

rnn = functools.partial(layer, _rnn)
lstm = functools.partial(layer, _lstm)
gru = functools.partial(layer, _gru)
