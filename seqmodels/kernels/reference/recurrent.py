"""Recurrent layers by their definition: one scan that does everything inside the step, differentiated by JAX."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqmodels.context import Documents


def _elman_cell(z, from_h, h):
  del h
  return (jnp.tanh(z + from_h),)


def _lstm_cell(z, from_h, h, c):
  del h
  i, f, g, o = jnp.split(z + from_h, 4, axis=-1)
  c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
  return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru_cell(z, from_h, h, recurrent_bias):
  r_in, z_in, n_in = jnp.split(z, 3, axis=-1)
  r_rec, z_rec, n_rec = jnp.split(from_h, 3, axis=-1)
  r, update = jax.nn.sigmoid(r_in + r_rec), jax.nn.sigmoid(z_in + z_rec)
  n = jnp.tanh(n_in + r * (n_rec + recurrent_bias[None, :]))
  return ((1 - update) * n + update * h,)


def _layer(
  cell: Callable[..., tuple[jax.Array, ...]],
  x: jax.Array,
  carry: tuple[jax.Array, ...],
  weights: tuple[jax.Array, ...],
  projected: jax.Array | None,
  documents: Documents,
  *,
  dtype: DTypeLike,
) -> tuple[jax.Array, Any]:
  """Run cell(the input's share of the gates, h's share, *carry, *other weights) position by position.

  Its first result is the output.
  """
  w, u, bias, *others = weights
  w, u = w.astype(dtype), u.astype(dtype)
  dot = lambda a, kernel: jnp.dot(a.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)

  def step(carry, now):
    x, documents = now
    carry = [documents.forget(a) for a in carry]
    z = x if projected is not None else dot(x, w) + bias[None, :]
    new = cell(z, dot(carry[0], u), *carry, *others)
    new = tuple(documents.keep(a, old) for a, old in zip(new, carry, strict=True))
    return new, new[0].astype(dtype)

  inputs = (x if projected is None else projected).swapaxes(0, 1)
  carry, y = jax.lax.scan(step, carry, (inputs, documents.time_major()))
  return y.swapaxes(0, 1), carry


rnn, lstm, gru = (functools.partial(_layer, cell) for cell in (_elman_cell, _lstm_cell, _gru_cell))
