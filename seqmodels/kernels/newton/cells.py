"""LSTM and GRU at all positions at once: their next states, and how these depend on the states before.

A cell reads the states before every position, (h, c) or (h,), each `[t b e]`. Its next state depends on them in two
ways: each unit on itself (`straight`), and on all h through the recurrent product (`through`):

  d state_i / d before_j = diagonal(straight[i][j]) + [j = 0] · sum over gates g of diagonal(through[i][g]) U_gᵀ

Gates are those of `xla/recurrent.py`: tanhs, with the half of sigmoid gates folded into z and u. On padding the next
state is the one before.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seqmodels.context import Documents
from seqmodels.kernels.newton.recurrence import ByUnit, Matrix, Part, Parts
from seqmodels.kernels.xla import recurrent as xla
from seqmodels.kernels.xla.recurrent import sigmoid, sigmoid_slope

Carry = tuple[Float[Array, 'b e'], ...]
Weights = tuple[jax.Array, ...]  # u [e z], and the GRU's second bias
# Rounded to TF32, a cell is a step function, and Newton's method ends at its steps.
exactly = functools.partial(jax.default_matmul_precision, 'highest')


class Slopes(NamedTuple):
  """The derivatives of the next states in the states before, without resets; see the top of the file."""

  straight: ByUnit
  through: tuple[tuple[Part, ...], ...]


class Cell(NamedTuple):
  """A cell, and its sequential form with what that saves.

  evaluate   from (z, states before, weights, documents) to (next states, saved)
  slopes     from (states before, next states, saved, documents)
  gradients  from (slopes, the gradients at all states, saved) to those of z and of the recurrent product
  scan       from (z, carry, weights, documents) to (all states, saved)
  scan_back  from (all that was saved, the gradients of all h and of the last carry) to those of z, carry and weights
  """

  evaluate: Callable[..., tuple[Parts, Any]]
  slopes: Callable[..., Slopes]
  gradients: Callable[..., tuple[jax.Array, jax.Array]]
  scan: Callable[..., tuple[Parts, Any]]
  scan_back: Callable[..., tuple[jax.Array, Carry, Weights]]


def by_unit(slopes: Slopes, u: Float[Array, 'e z'], documents: Documents) -> ByUnit:
  """Return the Jacobian with what leads from one unit to another left out; zero where a document begins."""
  diagonals = [jnp.diagonal(gate) for gate in jnp.split(u, len(slopes.through[0]), axis=1)]

  def entry(i: int, j: int) -> jax.Array:
    found = slopes.straight[i][j]
    if j == 0:
      found = found + sum(a * d[None, None, :] for a, d in zip(slopes.through[i], diagonals, strict=True))
    return documents.forget(found)

  parts = range(len(slopes.straight))
  return tuple(tuple(entry(i, j) for j in parts) for i in parts)


def dense(slopes: Slopes, u: Float[Array, 'e z'], documents: Documents) -> Matrix:
  """Return the whole Jacobian; zero where a document begins."""
  gates = [gate.T[None, None] for gate in jnp.split(u, len(slopes.through[0]), axis=1)]
  unit = jnp.eye(u.shape[0], dtype=u.dtype)[None, None]
  rows = []
  for straight, through in zip(slopes.straight, slopes.through, strict=True):
    blocks = [a[..., :, None] * unit for a in straight]
    blocks[0] = blocks[0] + sum(a[..., :, None] * gate for a, gate in zip(through, gates, strict=True))
    rows.append(jnp.concatenate(blocks, axis=-1))
  return documents.forget(jnp.concatenate(rows, axis=-2))


def _product(h: Part, u: jax.Array) -> jax.Array:
  with exactly():
    return jnp.dot(h, u, preferred_element_type=jnp.float32)


# --- LSTM ---


def _lstm(z: jax.Array, before: Parts, weights: Weights, documents: Documents) -> tuple[Parts, Any]:
  h, c = before
  gates = jnp.tanh(z + _product(h, weights[0]))
  i, f, g, o = jnp.split(gates, 4, axis=-1)
  c_new = sigmoid(f) * c + sigmoid(i) * g
  h_new = sigmoid(o) * jnp.tanh(c_new)
  return (documents.keep(h_new, h), documents.keep(c_new, c)), gates


def _lstm_slopes(before: Parts, states: Parts, saved: Any, documents: Documents) -> Slopes:
  i, f, g, o = jnp.split(saved, 4, axis=-1)
  tanh_c = jnp.tanh(states[1])
  # Of the new c by the gates' sums, and of the new h by the new c and by the output gate's sum.
  factors = g * sigmoid_slope(i), before[1] * sigmoid_slope(f), sigmoid(i) * (1 - g * g)
  of_c = tuple(documents.keep(a) for a in factors)
  by_c, by_o = documents.keep(sigmoid(o) * (1 - tanh_c * tanh_c)), documents.keep(tanh_c * sigmoid_slope(o))
  forget, nothing = documents.keep(sigmoid(f), 1.0), jnp.zeros_like(by_c)
  straight = ((documents.keep(nothing, 1.0), by_c * forget), (nothing, forget))
  return Slopes(straight, ((*(by_c * a for a in of_c), by_o), (*of_c, nothing)))


def _lstm_gradients(slopes: Slopes, d_states: Parts, saved: Any) -> tuple[jax.Array, jax.Array]:
  del saved
  (of_h, of_c), (dh, dc) = slopes.through, d_states
  dz = jnp.concatenate([dh * to_h + dc * to_c for to_h, to_c in zip(of_h, of_c, strict=True)], axis=-1)
  return dz, dz


def _lstm_scan(z: jax.Array, carry: Carry, weights: Weights, documents: Documents) -> tuple[Parts, Any]:
  (h, c), (u,) = carry, weights
  _, (*_, hs, cs, gates) = xla.lstm_forward(z, h, c, u, documents, jnp.float32)
  return (hs, cs), gates


def _lstm_scan_back(
  carry: Carry, weights: Weights, documents: Documents, states: Parts, saved: Any, gradients: tuple[jax.Array, Carry]
) -> tuple[jax.Array, Carry, Weights]:
  d_hs, d_last = gradients
  dz, dh, dc, du, _ = xla.lstm_backward(jnp.float32, (*carry, *weights, documents, *states, saved), (d_hs, *d_last))
  return dz, (dh, dc), (du,)


# --- GRU ---


def _gru(z: jax.Array, before: Parts, weights: Weights, documents: Documents) -> tuple[Parts, Any]:
  (h,), (u, b_n) = before, weights
  size = h.shape[-1]
  from_h = _product(h, u)
  gates = jnp.tanh(z[..., : 2 * size] + from_h[..., : 2 * size])
  r, update = jnp.split(gates, 2, axis=-1)
  n_rec = from_h[..., 2 * size :] + b_n[None, None, :]
  n = jnp.tanh(z[..., 2 * size :] + sigmoid(r) * n_rec)
  new = documents.keep(n + sigmoid(update) * (h - n), h)
  of_new = (1 - sigmoid(update)) * (1 - n * n)
  factors = jnp.concatenate([of_new * n_rec * sigmoid_slope(r), (h - n) * sigmoid_slope(update), of_new], axis=-1)
  return (new,), (documents.keep(factors), sigmoid(r), documents.keep(sigmoid(update), 1.0))


def _gru_slopes(before: Parts, states: Parts, saved: Any, documents: Documents) -> Slopes:
  del before, states, documents
  factors, r, straight = saved
  of_r, of_update, of_new = jnp.split(factors, 3, axis=-1)
  return Slopes(((straight,),), ((of_r, of_update, of_new * r),))


def _gru_gradients(slopes: Slopes, d_states: Parts, saved: Any) -> tuple[jax.Array, jax.Array]:
  factors, _, _ = saved
  (dh,) = d_states
  through = jnp.concatenate(slopes.through[0], axis=-1)
  repeated = jnp.concatenate([dh] * 3, axis=-1)
  return factors * repeated, through * repeated


def _gru_scan(z: jax.Array, carry: Carry, weights: Weights, documents: Documents) -> tuple[Parts, Any]:
  (h,), (u, b_n) = carry, weights
  _, (*_, hs, factors, r, straight) = xla.gru_forward(z, h, u, b_n, documents, jnp.float32)
  return (hs,), (factors, r, straight)


def _gru_scan_back(
  carry: Carry, weights: Weights, documents: Documents, states: Parts, saved: Any, gradients: tuple[jax.Array, Carry]
) -> tuple[jax.Array, Carry, Weights]:
  d_hs, d_last = gradients
  known = (*carry, weights[0], documents.without_padding(), *states, *saved)
  dz, dh, du, db, _ = xla.gru_backward(jnp.float32, known, (d_hs, *d_last))
  return dz, (dh,), (du, db)


LSTM = Cell(_lstm, _lstm_slopes, _lstm_gradients, _lstm_scan, _lstm_scan_back)
GRU = Cell(_gru, _gru_slopes, _gru_gradients, _gru_scan, _gru_scan_back)
