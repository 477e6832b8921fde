"""One step of the LSTM and of the GRU at any number of positions at once, and what gradients are multiplied by.

The first axes of all arrays are those of the flags in `documents`, `[b]` or `[t b]`. The caller has applied the resets
to the states before. On padding the next states are those before. Every gate is a tanh: sigmoid(x) = tanh(x/2)/2 + 1/2.
The input of a gate is the sum of z, the share of the layer's input, and of `from_h`, the product of h and the recurrent
weights. The halves are here, not in the weights: a product behind the sum of their gradients over the batch would keep
compilers from scattering it (JAX 0.10.2, TPU v5e).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seqmodels.context import Documents

States = Float[Array, '*positions e']
Inputs = Float[Array, '*positions z']


class LSTMFactors(NamedTuple):
  """Factors of the gradients of a step.

  of_cell       from c to the inputs of the input, forget and cell gates
  of_output     from h to the input of the output gate
  through_cell  from h to c
  forget        from c to c before
  """

  of_cell: tuple[States, States, States]
  of_output: States
  through_cell: States
  forget: States


class GRUFactors(NamedTuple):
  """Factors of the gradients of a step.

  of_gates  from h to the inputs of the reset, update and new gates
  reset     from the input of the new gate to its share of h
  straight  from h to h before, but for the gates
  """

  of_gates: tuple[States, States, States]
  reset: States
  straight: States


def sigmoid(tanh_of_half: jax.Array) -> jax.Array:
  return 0.5 * tanh_of_half + 0.5


def sigmoid_slope(tanh_of_half: jax.Array) -> jax.Array:
  """d sigmoid / d x."""
  return 0.25 * (1 - tanh_of_half * tanh_of_half)


def lstm_step(
  z: Inputs, from_h: Inputs, h: States, c: States, documents: Documents
) -> tuple[tuple[States, States], Inputs]:
  """Return the next (h, c), and the gates (input, forget, cell, output)."""
  scale = jnp.repeat(jnp.array([0.5, 0.5, 1.0, 0.5], jnp.float32), h.shape[-1])  # one tanh for all gates
  gates = jnp.tanh((z + from_h) * jnp.expand_dims(scale, range(h.ndim - 1)))
  i, f, g, o = jnp.split(gates, 4, axis=-1)
  c_new = sigmoid(f) * c + sigmoid(i) * g
  h_new = sigmoid(o) * jnp.tanh(c_new)
  return (documents.keep(h_new, h), documents.keep(c_new, c)), gates


def lstm_factors(gates: Inputs, c_before: States, c: States, documents: Documents) -> LSTMFactors:
  """Return the factors of a step with such gates, from c_before to c."""
  i, f, g, o = jnp.split(gates, 4, axis=-1)
  tanh_c = jnp.tanh(c)
  of_cell = g * sigmoid_slope(i), c_before * sigmoid_slope(f), sigmoid(i) * (1 - g * g)
  return LSTMFactors(
    (documents.keep(of_cell[0]), documents.keep(of_cell[1]), documents.keep(of_cell[2])),
    documents.keep(tanh_c * sigmoid_slope(o)),
    documents.keep(sigmoid(o) * (1 - tanh_c * tanh_c)),
    documents.keep(sigmoid(f), 1.0),
  )


def gru_step(
  z: Inputs, from_h: Inputs, h: States, b_n: Float[Array, ' e'], documents: Documents
) -> tuple[States, GRUFactors]:
  """Return the next h, and the factors of the step. b_n: of the new gate's share of h."""
  size = h.shape[-1]
  r, update = jnp.split(jnp.tanh(0.5 * (z[..., : 2 * size] + from_h[..., : 2 * size])), 2, axis=-1)
  n_rec = from_h[..., 2 * size :] + jnp.expand_dims(b_n, range(h.ndim - 1))
  n = jnp.tanh(z[..., 2 * size :] + sigmoid(r) * n_rec)
  new = documents.keep(n + sigmoid(update) * (h - n), h)
  of_new = (1 - sigmoid(update)) * (1 - n * n)
  of_gates = of_new * n_rec * sigmoid_slope(r), (h - n) * sigmoid_slope(update), of_new
  kept = documents.keep(of_gates[0]), documents.keep(of_gates[1]), documents.keep(of_gates[2])
  return new, GRUFactors(kept, sigmoid(r), documents.keep(sigmoid(update), 1.0))
