"""The scans under `recurrent.py`'s fused implementation, with their own backward passes. Time-major: `[t b ...]`.

Gates use sigmoid(x) = tanh(x/2)/2 + 1/2 with the half folded into the weights by the caller (`gate_scale`), so that one
tanh serves all gates of a step. The forward pass stores the carries and the tanhs; the backward pass turns them into
local derivatives for all positions at once, scans in reverse with one matmul a step, and forms the gradient of the
recurrent weights as one matmul over all positions (as cuDNN does: Appleyard et al., 2016).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Inputs = Float[Array, 't b z']
Carry = Float[Array, 'b e']
Flags = Bool[Array, 't b'] | None


def gate_scale(is_sigmoid: tuple[bool, ...], size: int) -> Float[Array, ' z']:
  """What each gate's weights are multiplied by: one half for sigmoid gates."""
  return jnp.repeat(jnp.array([0.5 if s else 1.0 for s in is_sigmoid], jnp.float32), size)


def _sigmoid(tanh_of_half: jax.Array) -> jax.Array:
  return 0.5 * tanh_of_half + 0.5


def _sigmoid_slope(tanh_of_half: jax.Array) -> jax.Array:
  """d sigmoid / d (x/2), the half being the caller's."""
  return 0.5 * (1 - tanh_of_half * tanh_of_half)


def _clear(reset: jax.Array | None, a: jax.Array) -> jax.Array:
  return a if reset is None else jnp.where(reset[..., None], 0.0, a)


def _keep(mask: jax.Array | None, new: jax.Array, old: jax.Array | float) -> jax.Array:
  return new if mask is None else jnp.where(mask[..., None], new, old)


def _before(first: jax.Array, all_after: jax.Array, reset: jax.Array | None) -> jax.Array:
  """The carry that each position started from."""
  return _clear(reset, jnp.concatenate([first[None], all_after[:-1]]))


def _dot(a: jax.Array, u: jax.Array) -> jax.Array:
  return jnp.dot(a.astype(u.dtype), u, preferred_element_type=jnp.float32)


def _weight_gradient(h_before: jax.Array, dz: jax.Array, dtype: Any) -> jax.Array:
  h, d = (a.astype(dtype).reshape(-1, a.shape[-1]) for a in (h_before, dz))
  return jnp.dot(h.T, d, preferred_element_type=jnp.float32)


# --- Elman ---


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def rnn(
  z: Inputs, h: Carry, u: Float[Array, 'e e'], reset: Flags, mask: Flags, dtype: np.dtype
) -> tuple[Inputs, Carry]:
  """h' = tanh(z + U h). Returns (all h, the last h)."""
  u = u.astype(dtype)

  def step(h, now):
    z, reset, mask = now
    h = _clear(reset, h)
    h = _keep(mask, jnp.tanh(z + _dot(h, u)), h)
    return h, h

  h, hs = jax.lax.scan(step, h, (z, reset, mask))
  return hs, h


def _rnn_forward(z, h, u, reset, mask, dtype):
  hs, last = rnn(z, h, u, reset, mask, dtype)
  return (hs, last), (h, u, reset, mask, hs)


def _rnn_backward(dtype, saved, gradients):
  h, u, reset, mask, hs = saved
  dhs, dh = gradients
  slope = _keep(mask, 1 - hs * hs, 0.0)
  back = u.T.astype(dtype)

  def step(dh, now):
    dy, slope, reset, mask = now
    dh = dh + dy
    dz = dh * slope
    before = _dot(dz, back)
    if mask is not None:
      before = jnp.where(mask[:, None], before, dh)
    return _clear(reset, before), dz

  dh, dz = jax.lax.scan(step, dh, (dhs, slope, reset, mask), reverse=True)
  return dz, dh, _weight_gradient(_before(h, hs, reset), dz, dtype), None, None


rnn.defvjp(_rnn_forward, _rnn_backward)


# --- LSTM ---


def _lstm_step(u, carry, now):
  z, reset, mask = now
  h, c = (_clear(reset, a) for a in carry)
  gates = jnp.tanh(z + _dot(h, u))
  i, f, g, o = jnp.split(gates, 4, axis=-1)
  c_new = _sigmoid(f) * c + _sigmoid(i) * g
  h_new = _sigmoid(o) * jnp.tanh(c_new)
  return (_keep(mask, h_new, h), _keep(mask, c_new, c)), gates


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def lstm(
  z: Inputs, h: Carry, c: Carry, u: Float[Array, 'e z'], reset: Flags, mask: Flags, dtype: np.dtype
) -> tuple[Float[Array, 't b e'], Carry, Carry]:
  """The LSTM over inputs already projected (gates input, forget, cell, output). Returns (all h, last h, last c)."""
  u = u.astype(dtype)

  def step(carry, now):
    carry, _ = _lstm_step(u, carry, now)
    return carry, carry[0]

  (h, c), hs = jax.lax.scan(step, (h, c), (z, reset, mask))
  return hs, h, c


def _lstm_forward(z, h, c, u, reset, mask, dtype):
  low = u.astype(dtype)

  def step(carry, now):
    carry, gates = _lstm_step(low, carry, now)
    return carry, (*carry, gates)

  (h_last, c_last), (hs, cs, gates) = jax.lax.scan(step, (h, c), (z, reset, mask))
  return (hs, h_last, c_last), (h, c, u, reset, mask, hs, cs, gates)


def _lstm_backward(dtype, saved, gradients):
  h, c, u, reset, mask, hs, cs, gates = saved
  dhs, dh, dc = gradients
  i, f, g, o = jnp.split(gates, 4, axis=-1)
  tanh_c = jnp.tanh(cs)
  through_cell = _keep(mask, _sigmoid(o) * (1 - tanh_c * tanh_c), 0.0)
  # What a gradient at c (input, forget, cell gates) or at h (output gate) is multiplied by to reach the gate's input.
  of_cell = tuple(
    _keep(mask, a, 0.0)
    for a in (g * _sigmoid_slope(i), _before(c, cs, reset) * _sigmoid_slope(f), _sigmoid(i) * (1 - g * g))
  )
  of_output = _keep(mask, tanh_c * _sigmoid_slope(o), 0.0)
  forget = _keep(mask, _sigmoid(f), 1.0)
  back = u.T.astype(dtype)

  def step(carry, now):
    dh, dc = carry
    dy, through_cell, of_cell, of_output, forget, reset, mask = now
    dh = dh + dy
    dc = dc + dh * through_cell
    dz = jnp.concatenate([*(dc * a for a in of_cell), dh * of_output], axis=-1)
    before = _dot(dz, back)
    if mask is not None:
      before = jnp.where(mask[:, None], before, dh)
    return (_clear(reset, before), _clear(reset, dc * forget)), dz

  xs = (dhs, through_cell, of_cell, of_output, forget, reset, mask)
  (dh, dc), dz = jax.lax.scan(step, (dh, dc), xs, reverse=True)
  return dz, dh, dc, _weight_gradient(_before(h, hs, reset), dz, dtype), None, None


lstm.defvjp(_lstm_forward, _lstm_backward)


# --- GRU ---


def _gru_step(u, b_n, h, now):
  z, reset, mask = now
  h = _clear(reset, h)
  size = h.shape[-1]
  from_h = _dot(h, u)
  gates = jnp.tanh(z[:, : 2 * size] + from_h[:, : 2 * size])
  r, update = jnp.split(_sigmoid(gates), 2, axis=-1)
  n_rec = from_h[:, 2 * size :] + b_n[None, :]
  n = jnp.tanh(z[:, 2 * size :] + r * n_rec)
  return _keep(mask, n + update * (h - n), h), (gates, n, n_rec)


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def gru(
  z: Inputs,
  h: Carry,
  u: Float[Array, 'e z'],
  b_n: Float[Array, ' e'],
  reset: Flags,
  mask: Flags,
  dtype: np.dtype,
) -> tuple[Float[Array, 't b e'], Carry]:
  """The "reset after" GRU over inputs already projected (gates reset, update, new). Returns (all h, the last h)."""
  u = u.astype(dtype)

  def step(h, now):
    h, _ = _gru_step(u, b_n, h, now)
    return h, h

  h, hs = jax.lax.scan(step, h, (z, reset, mask))
  return hs, h


def _gru_forward(z, h, u, b_n, reset, mask, dtype):
  low = u.astype(dtype)

  def step(h, now):
    h, saved = _gru_step(low, b_n, h, now)
    return h, (h, *saved)

  last, (hs, gates, n, n_rec) = jax.lax.scan(step, h, (z, reset, mask))
  return (hs, last), (h, u, reset, mask, hs, gates, n, n_rec)


def _gru_backward(dtype, saved, gradients):
  h, u, reset, mask, hs, gates, n, n_rec = saved
  dhs, dh = gradients
  h_before = _before(h, hs, reset)
  r, update = jnp.split(gates, 2, axis=-1)
  # Every gate's input is reached from the gradient at h by one factor a position.
  of_new = _keep(mask, (1 - _sigmoid(update)) * (1 - n * n), 0.0)
  of_reset = of_new * n_rec * _sigmoid_slope(r)
  of_update = _keep(mask, (h_before - n) * _sigmoid_slope(update), 0.0)
  of_rec = of_new * _sigmoid(r)
  straight = _keep(mask, _sigmoid(update), 1.0)
  back = u.T.astype(dtype)

  def step(dh, now):
    dy, of_reset, of_update, of_rec, straight, reset = now
    dh = dh + dy
    d_rec = jnp.concatenate([dh * of_reset, dh * of_update, dh * of_rec], axis=-1)
    return _clear(reset, dh * straight + _dot(d_rec, back)), (dh, d_rec)

  xs = (dhs, of_reset, of_update, of_rec, straight, reset)
  dh, (dh_all, d_rec) = jax.lax.scan(step, dh, xs, reverse=True)
  size = h.shape[-1]
  dz = jnp.concatenate([d_rec[..., : 2 * size], dh_all * of_new], axis=-1)
  db_n = d_rec[..., 2 * size :].sum((0, 1))
  return dz, dh, _weight_gradient(h_before, d_rec, dtype), db_n, None, None


gru.defvjp(_gru_forward, _gru_backward)
