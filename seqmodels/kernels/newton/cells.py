"""LSTM and GRU at all positions at once: their next states, and how these depend on the states before.

A cell reads the states before every position, (h, c) or (h,), each `[t b e]`. Its next state depends on them in two
ways: each unit on itself (`straight`), and on all h through the recurrent product (`through`):

  d state_i / d before_j = diagonal(straight[i][j]) + [j = 0] · sum over gates g of diagonal(through[i][g]) U_gᵀ

The steps and their gates are those of `xla/gates.py`.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seqmodels.context import Documents
from seqmodels.kernels.newton.recurrence import Component, Components, UnitJacobian, WholeJacobian
from seqmodels.kernels.xla import recurrent as xla
from seqmodels.kernels.xla.gates import gru_step, lstm_factors, lstm_step

Carries = tuple[Float[Array, 'b e'], ...]
Weights = tuple[jax.Array, ...]  # u [e z], and the GRU's second bias
# Rounded to TF32, a cell is a step function, and Newton's method ends at its steps.
exactly = functools.partial(jax.default_matmul_precision, 'highest')


class Slopes(NamedTuple):
  """The derivatives of the next states in the states before, without resets; see the top of the file."""

  straight: UnitJacobian
  through: tuple[tuple[Component, ...], ...]


class Cell(NamedTuple):
  """A cell, and its sequential form with what that saves.

  evaluate   from (z, states before, weights, documents) to (next states, saved)
  slopes     from (states before, next states, saved, documents)
  gradients  from (slopes, the gradients at all states, saved) to those of z and of the recurrent product
  scan       from (z, carries, weights, documents) to (all states, saved)
  scan_back  from (all that was saved, the gradients of all h and the last carries) to those of z, carries and weights
  """

  evaluate: Callable[..., tuple[Components, Any]]
  slopes: Callable[..., Slopes]
  gradients: Callable[..., tuple[jax.Array, jax.Array]]
  scan: Callable[..., tuple[Components, Any]]
  scan_back: Callable[..., tuple[jax.Array, Carries, Weights]]


def unit_jacobian(slopes: Slopes, u: Float[Array, 'e z'], documents: Documents) -> UnitJacobian:
  """Return the Jacobian with what leads from one unit to another left out; zero where a document begins."""
  diagonals = [jnp.diagonal(gate) for gate in jnp.split(u, len(slopes.through[0]), axis=1)]

  def entry(i: int, j: int) -> jax.Array:
    found = slopes.straight[i][j]
    if j == 0:
      found = found + sum(a * d[None, None, :] for a, d in zip(slopes.through[i], diagonals, strict=True))
    return documents.forget(found)

  components = range(len(slopes.straight))
  return tuple(tuple(entry(i, j) for j in components) for i in components)


def whole_jacobian(slopes: Slopes, u: Float[Array, 'e z'], documents: Documents) -> WholeJacobian:
  """Return the whole Jacobian; zero where a document begins."""
  gates = [gate.T[None, None] for gate in jnp.split(u, len(slopes.through[0]), axis=1)]
  unit = jnp.eye(u.shape[0], dtype=u.dtype)[None, None]
  rows = []
  for straight, through in zip(slopes.straight, slopes.through, strict=True):
    blocks = [a[..., :, None] * unit for a in straight]
    blocks[0] = blocks[0] + sum(a[..., :, None] * gate for a, gate in zip(through, gates, strict=True))
    rows.append(jnp.concatenate(blocks, axis=-1))
  return documents.forget(jnp.concatenate(rows, axis=-2))


def _product(h: Component, u: jax.Array) -> jax.Array:
  with exactly():
    return jnp.dot(h, u, preferred_element_type=jnp.float32)


# --- LSTM ---


def _lstm(z: jax.Array, before: Components, weights: Weights, documents: Documents) -> tuple[Components, Any]:
  h, c = before
  return lstm_step(z, _product(h, weights[0]), h, c, documents)


def _lstm_slopes(before: Components, states: Components, saved: Any, documents: Documents) -> Slopes:
  of_cell, of_output, through_cell, forget = lstm_factors(saved, before[1], states[1], documents)
  nothing = jnp.zeros_like(forget)
  straight = ((documents.keep(nothing, 1.0), through_cell * forget), (nothing, forget))
  return Slopes(straight, ((*(through_cell * a for a in of_cell), of_output), (*of_cell, nothing)))


def _lstm_gradients(slopes: Slopes, d_states: Components, saved: Any) -> tuple[jax.Array, jax.Array]:
  del saved
  (of_h, of_c), (dh, dc) = slopes.through, d_states
  dz = jnp.concatenate([dh * to_h + dc * to_c for to_h, to_c in zip(of_h, of_c, strict=True)], axis=-1)
  return dz, dz


def _lstm_scan(z: jax.Array, carries: Carries, weights: Weights, documents: Documents) -> tuple[Components, Any]:
  (h, c), (u,) = carries, weights
  _, (*_, hs, cs, gates) = xla.lstm_forward(z, h, c, u, documents, jnp.float32)
  return (hs, cs), gates


def _lstm_scan_back(
  carries: Carries,
  weights: Weights,
  documents: Documents,
  states: Components,
  saved: Any,
  gradients: tuple[jax.Array, Carries],
) -> tuple[jax.Array, Carries, Weights]:
  d_hs, d_last = gradients
  dz, dh, dc, du, _ = xla.lstm_backward(jnp.float32, (*carries, *weights, documents, *states, saved), (d_hs, *d_last))
  return dz, (dh, dc), (du,)


# --- GRU ---


def _gru(z: jax.Array, before: Components, weights: Weights, documents: Documents) -> tuple[Components, Any]:
  (h,), (u, b_n) = before, weights
  new, factors = gru_step(z, _product(h, u), h, b_n, documents)
  return (new,), (jnp.concatenate(factors.of_gates, axis=-1), factors.reset, factors.straight)


def _gru_slopes(before: Components, states: Components, saved: Any, documents: Documents) -> Slopes:
  del before, states, documents
  of_gates, r, straight = saved
  of_r, of_update, of_new = jnp.split(of_gates, 3, axis=-1)
  return Slopes(((straight,),), ((of_r, of_update, of_new * r),))


def _gru_gradients(slopes: Slopes, d_states: Components, saved: Any) -> tuple[jax.Array, jax.Array]:
  factors, _, _ = saved
  (dh,) = d_states
  through = jnp.concatenate(slopes.through[0], axis=-1)
  repeated = jnp.concatenate([dh] * 3, axis=-1)
  return factors * repeated, through * repeated


def _gru_scan(z: jax.Array, carries: Carries, weights: Weights, documents: Documents) -> tuple[Components, Any]:
  (h,), (u, b_n) = carries, weights
  _, (*_, hs, factors, r, straight) = xla.gru_forward(z, h, u, b_n, documents, jnp.float32)
  return (hs,), (factors, r, straight)


def _gru_scan_back(
  carries: Carries,
  weights: Weights,
  documents: Documents,
  states: Components,
  saved: Any,
  gradients: tuple[jax.Array, Carries],
) -> tuple[jax.Array, Carries, Weights]:
  d_hs, d_last = gradients
  known = (*carries, weights[0], documents.without_padding(), *states, *saved)
  dz, dh, du, db, _ = xla.gru_backward(jnp.float32, known, (d_hs, *d_last))
  return dz, (dh,), (du, db)


LSTM = Cell(_lstm, _lstm_slopes, _lstm_gradients, _lstm_scan, _lstm_scan_back)
GRU = Cell(_gru, _gru_slopes, _gru_gradients, _gru_scan, _gru_scan_back)
