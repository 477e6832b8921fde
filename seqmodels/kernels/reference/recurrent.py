"""Recurrent layers by their definition: one scan that does everything inside the step, differentiated by JAX."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

Flags = jax.Array | None


def rnn(x, h, input_kernel, recurrent_kernel, bias, projected, reset, mask, *, dtype: DTypeLike) -> Any:
  """Return (all h, the last h)."""
  y, (h,) = scan(_elman_cell, x, (h,), (input_kernel, recurrent_kernel, bias), projected, reset, mask, dtype)
  return y, h


def lstm(x, h, c, input_kernel, recurrent_kernel, bias, projected, reset, mask, *, dtype: DTypeLike) -> Any:
  """Return (all h, the last h, the last c)."""
  y, (h, c) = scan(_lstm_cell, x, (h, c), (input_kernel, recurrent_kernel, bias), projected, reset, mask, dtype)
  return y, h, c


def gru(x, h, input_kernel, recurrent_kernel, bias, recurrent_bias, projected, reset, mask, *, dtype: DTypeLike) -> Any:
  """Return (all h, the last h)."""
  cell = functools.partial(_gru_cell, recurrent_bias)
  y, (h,) = scan(cell, x, (h,), (input_kernel, recurrent_kernel, bias), projected, reset, mask, dtype)
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


def scan(
  cell: Callable[..., tuple[jax.Array, ...]],
  x: jax.Array,
  carry: tuple[jax.Array, ...],
  weights: tuple[jax.Array, jax.Array, jax.Array],
  projected: jax.Array | None,
  reset: Flags,
  mask: Flags,
  dtype: DTypeLike,
) -> tuple[jax.Array, Any]:
  """Run cell(the input's share of the gates, h's share, *carry) position by position; its first result is the output.

  weights: the two kernels with all gates in one axis, and the bias.
  """
  w, u, bias = weights
  w, u = w.astype(dtype), u.astype(dtype)
  dot = lambda a, kernel: jnp.dot(a.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)

  def step(carry, now):
    x, reset, mask = now
    if reset is not None:
      carry = tuple(jnp.where(reset[:, None], 0.0, a) for a in carry)
    z = x if projected is not None else dot(x, w) + bias[None, :]
    new = cell(z, dot(carry[0], u), *carry)
    if mask is not None:
      new = tuple(jnp.where(mask[:, None], a, old) for a, old in zip(new, carry, strict=True))
    return new, new[0].astype(dtype)

  inputs = (x if projected is None else projected).swapaxes(0, 1)
  flags = (None if a is None else a.swapaxes(0, 1) for a in (reset, mask))
  carry, y = jax.lax.scan(step, carry, (inputs, *flags))
  return y.swapaxes(0, 1), carry
