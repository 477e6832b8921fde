"""The fused LSTM with states as columns `[e b]`: the weights stand on the left of every matmul.

On CPU a matmul rearranges its right operand before it begins. With the batch on the right that is the small one; with
the weights there it is all of them, at every position. Hence the input's share is not hoisted either: a step is one
matmul of all weights with `[x; h]`, which runs at the speed of a big one. (The GRU and Elman's network gain nothing
from this form.)

Arithmetic and rules are those of `fused_recurrent.py`. The forward pass stores what the gradients will be multiplied
by (`factors`), and the backward pass puts the products in their place: a further array of that size would have to be
filled with zeros first.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from seqmodels.kernels.fused_recurrent import sigmoid, sigmoid_slope

Carry = Float[Array, 'b e']
Flags = Bool[Array, 'b t'] | None

FEWEST = 16  # sequences in a batch for which this pays: with fewer, the hoisted matmul does


def suits(batch: int) -> bool:
  """Whether this form is the faster one here."""
  return jax.default_backend() == 'cpu' and batch >= FEWEST


def lstm(
  x: Float[Array, 'b t d'],
  h: Carry,
  c: Carry,
  input_kernel: Float[Array, 'd z'],
  recurrent_kernel: Float[Array, 'e z'],
  bias: Float[Array, ' z'],
  reset: Flags,
  mask: Flags,
  dtype: np.dtype,
) -> tuple[Float[Array, 'b t e'], Carry, Carry]:
  """The LSTM (gates input, forget, cell, output) with the sigmoid gates' halves in its weights (`gate_scale`).

  Returns (all h, last h, last c).
  """
  kernel = jnp.concatenate([input_kernel, recurrent_kernel])
  reset, mask = (None if flags is None else flags.T for flags in (reset, mask))
  hs, h, c = _columns(x.astype(dtype).transpose(1, 2, 0), h.T, c.T, kernel, bias, reset, mask, dtype)
  return hs.transpose(2, 0, 1).astype(dtype), h.T, c.T


def _clear(reset: jax.Array | None, a: jax.Array) -> jax.Array:
  return a if reset is None else jnp.where(reset[None, :], 0.0, a)


def _keep(mask: jax.Array | None, new: jax.Array, old: jax.Array | float) -> jax.Array:
  return new if mask is None else jnp.where(mask[None, :], new, old)


def _dot(kernel: jax.Array, columns: jax.Array) -> jax.Array:
  return jnp.dot(kernel, columns.astype(kernel.dtype), preferred_element_type=jnp.float32)


def _with_room(x: jax.Array, size: int, dtype: Any) -> jax.Array:
  """[x; 0]: inputs with rows for the carries, which the scan fills in."""
  return jnp.pad(x.astype(dtype), ((0, 0), (0, size), (0, 0)))


def _enter(buffer: jax.Array, h: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The buffer with h below the input of position t, and both of that position."""
  buffer = jax.lax.dynamic_update_slice(buffer, h.astype(buffer.dtype)[None], (t, buffer.shape[1] - h.shape[0], 0))
  return buffer, jax.lax.dynamic_index_in_dim(buffer, t, keepdims=False)


def _multiply(buffer: jax.Array, t: jax.Array, gradients: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
  """The buffer with each gate's factors of position t times that gate's gradient, and the products of t."""
  for gate, gradient in enumerate(gradients):
    where = (t, gate * gradient.shape[0], 0)
    factors = jax.lax.dynamic_slice(buffer, where, (1, *gradient.shape))
    buffer = jax.lax.dynamic_update_slice(buffer, factors * gradient[None], where)
  return buffer, jax.lax.dynamic_index_in_dim(buffer, t, keepdims=False)


def _kernel_gradient(inputs: jax.Array, dz: jax.Array) -> jax.Array:
  """Sum over positions and batch of inputs ⊗ dz."""
  flat = lambda a: a.swapaxes(0, 1).reshape(a.shape[1], -1)
  return jnp.dot(flat(inputs), flat(dz.astype(inputs.dtype)).T, preferred_element_type=jnp.float32)


def _cell(z: jax.Array, c: jax.Array) -> tuple[list[jax.Array], jax.Array, jax.Array, jax.Array]:
  """(the gates' tanhs, h', c', tanh c')"""
  i, f, g, o = gates = jnp.split(jnp.tanh(z), 4)
  c = sigmoid(f) * c + sigmoid(i) * g
  tanh_c = jnp.tanh(c)
  return gates, sigmoid(o) * tanh_c, c, tanh_c


@functools.partial(jax.custom_vjp, nondiff_argnums=(7,))
def _columns(x, h, c, kernel, bias, reset, mask, dtype):
  """From x [t d b] in `dtype`, h and c [e b], kernel [d+e 4*e] and flags [t b] to (all h [t e b], last h, last c)."""
  left = kernel.T.astype(dtype)

  def step(carry, now):
    x, reset, mask = now
    h, c = (_clear(reset, a) for a in carry)
    _, h_new, c_new, _ = _cell(_dot(left, jnp.concatenate([x, h])) + bias[:, None], c)
    carry = _keep(mask, h_new, h), _keep(mask, c_new, c)
    return carry, carry[0]

  (h, c), hs = jax.lax.scan(step, (h, c), (x, reset, mask))
  return hs, h, c


def _forward(x, h, c, kernel, bias, reset, mask, dtype):
  left = kernel.T.astype(dtype)

  def step(carry, now):
    h, c, buffer = carry
    t, reset, mask = now
    h, c = _clear(reset, h), _clear(reset, c)
    buffer, xh = _enter(buffer, h, t)
    (i, f, g, o), h_new, c_new, tanh_c = _cell(_dot(left, xh) + bias[:, None], c)
    # From c to the inputs of the input, forget and cell gates; from h to the output gate's, and to c; from c to c.
    factors = [g * sigmoid_slope(i), c * sigmoid_slope(f), sigmoid(i) * (1 - g * g), tanh_c * sigmoid_slope(o)]
    saved = (
      _keep(mask, jnp.concatenate(factors), 0.0),
      _keep(mask, sigmoid(o) * (1 - tanh_c * tanh_c), 0.0),
      _keep(mask, sigmoid(f), 1.0),
    )
    h, c = _keep(mask, h_new, h), _keep(mask, c_new, c)
    return (h, c, buffer), (h, saved)

  start = (h, c, _with_room(x, h.shape[0], dtype))
  (h, c, xh), (hs, saved) = jax.lax.scan(step, start, (jnp.arange(x.shape[0]), reset, mask))
  return (hs, h, c), (kernel, xh, *saved, reset, mask)


def _backward(dtype, saved, gradients):
  kernel, xh, factors, through, forget, reset, mask = saved
  dhs, dh, dc = gradients
  back, d = kernel.astype(dtype), kernel.shape[0] - dh.shape[0]

  def step(carry, now):
    dh, dc, buffer = carry
    t, dy, through, forget, reset, mask = now
    dh = dh + dy
    dc = dc + dh * through
    buffer, dz = _multiply(buffer, t, [dc, dc, dc, dh])
    before = _dot(back, dz)
    dh = _clear(reset, _keep(mask, before[d:], dh))
    return (dh, _clear(reset, dc * forget), buffer), before[:d]

  xs = (jnp.arange(xh.shape[0]), dhs, through, forget, reset, mask)
  (dh, dc, dz), dx = jax.lax.scan(step, (dh, dc, factors), xs, reverse=True)
  return dx.astype(dtype), dh, dc, _kernel_gradient(xh, dz), dz.sum((0, 2)), None, None


_columns.defvjp(_forward, _backward)
