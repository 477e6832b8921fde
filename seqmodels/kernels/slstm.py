"""The sLSTM (Beck et al., 2024, "xLSTM") over gates already projected, as a scan over `[t g b 4·k]`: g heads, k wide.

`fused`  own backward pass: everything local is computed for all positions at once, the reverse scan has one matmul a
         step, and the gradient of the recurrent weights is one matmul over all positions
`scan`   the same forward scan, differentiated by JAX

The stabiliser m scales c and n alike and cancels in c/n, so it gets no gradient.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from seqmodels.errors import unknown
from seqmodels.notation import Flags

IMPLEMENTATIONS = ('fused', 'scan')
NOTHING = -1e30  # the stabiliser of an empty state: whatever comes first replaces it

Gates = Float[Array, 't g b z']
Outputs = Float[Array, 't g b k']
Carry = tuple[Float[Array, 'g b k'], Float[Array, 'g b k'], Float[Array, 'g b k'], Float[Array, 'g b k']]
HeadFlags = Bool[Array, 't b'] | None


def slstm(
  gates: Gates,
  carry: Carry,
  recurrent_kernel: Float[Array, 'g k z'],
  *,
  reset: Flags | None = None,
  mask: Flags | None = None,
  implementation: str = 'fused',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Outputs, Carry]:
  """Equations 8 to 18 of the paper in the stabilised form, with a sigmoid forget gate. Returns (all h, the last carry).

  gates holds W x + b of input, forget, cell and output gate, each k wide, along its last axis, float32. With R h added:
  m' = max(log σ(f) + m, i), c' = exp(log σ(f) + m - m') c + exp(i - m') tanh(z), n' the same with 1 for tanh(z), and
  h = σ(o) c'/n'. carry is (h, c, n, m), float32; the matmul with R reads `dtype`. Flags are batch-major, `[b t]`. n is
  at least 1 after the first token, since one of the two factors is 1. Raises InputError on an unknown implementation.
  """
  if implementation not in IMPLEMENTATIONS:
    raise unknown('mixer.implementation', implementation, IMPLEMENTATIONS)
  reset, mask = (None if flags is None else flags.T for flags in (reset, mask))
  if implementation == 'fused' and gates.shape[0] > 1:
    return _fused(gates, carry, recurrent_kernel, reset, mask, np.dtype(dtype))
  kernel = recurrent_kernel.astype(dtype)

  def step(carry, now):
    carry, _ = _step(kernel, carry, now)
    return carry, carry[0]

  carry, hs = jax.lax.scan(step, carry, (gates, reset, mask))
  return hs, carry


def empty_carry(heads: int, batch: int, size: int) -> Carry:
  """The carry of a document that has not begun."""
  zero = jnp.zeros((heads, batch, size), jnp.float32)
  return zero, zero, zero, jnp.full_like(zero, NOTHING)


def _rows(flags: jax.Array) -> jax.Array:
  return flags[..., None, :, None]


def _clear(reset: jax.Array | None, a: jax.Array, to: float = 0.0) -> jax.Array:
  return a if reset is None else jnp.where(_rows(reset), to, a)


def _keep(mask: jax.Array | None, new: jax.Array, old: jax.Array | float) -> jax.Array:
  return new if mask is None else jnp.where(_rows(mask), new, old)


def _dot(a: jax.Array, kernel: jax.Array) -> jax.Array:
  return jnp.einsum('gbk,gkz->gbz', a.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


def _step(kernel: jax.Array, carry: Carry, now: Any) -> tuple[Any, Any]:
  gates, reset, mask = now
  h, c, n, m = (_clear(reset, a, to) for a, to in zip(carry, (0.0, 0.0, 0.0, NOTHING), strict=True))
  i, f, z, o = jnp.split(gates + _dot(h, kernel), 4, axis=-1)
  z, o = jnp.tanh(z), jax.nn.sigmoid(o)
  decayed = jax.nn.log_sigmoid(f) + m
  m_new = jax.lax.stop_gradient(jnp.maximum(decayed, i))
  take, kept = jnp.exp(i - m_new), jnp.exp(decayed - m_new)
  c_new, n_new = kept * c + take * z, kept * n + take
  new = o * c_new / n_new, c_new, n_new, m_new
  return tuple(_keep(mask, a, b) for a, b in zip(new, (h, c, n, m), strict=True)), (take, kept, z, o, f)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _fused(
  gates: Gates, carry: Carry, kernel: Float[Array, 'g k z'], reset: HeadFlags, mask: HeadFlags, dtype: np.dtype
) -> tuple[Outputs, Carry]:
  low = kernel.astype(dtype)

  def step(carry, now):
    carry, _ = _step(low, carry, now)
    return carry, carry[0]

  carry, hs = jax.lax.scan(step, carry, (gates, reset, mask))
  return hs, carry


def _forward(gates, carry, kernel, reset, mask, dtype):
  low = kernel.astype(dtype)

  def step(carry, now):
    carry, local = _step(low, carry, now)
    return carry, (*carry[:3], *local)

  last, saved = jax.lax.scan(step, carry, (gates, reset, mask))
  return (saved[0], last), (carry, kernel, reset, mask, saved)


def _backward(dtype, kept_back, gradients):
  carry, kernel, reset, mask, (hs, cs, ns, take, kept, z, o, f) = kept_back
  dhs, (dh, dc, dn, _) = gradients
  before = lambda first, later: _clear(reset, jnp.concatenate([first[None], later[:-1]]))
  h_before, c_before, n_before = (before(*pair) for pair in zip(carry[:3], (hs, cs, ns), strict=True))
  none = lambda a: _keep(mask, a, 0.0)
  # What the gradients at h, c and n are multiplied by on their way to the cell, the normaliser and the gates.
  per_n = none(1 / (ns if mask is None else jnp.where(ns > 0, ns, 1.0)))
  to_c, ratio = o * per_n, cs * per_n
  to_output = ratio * o * (1 - o)
  forgetting = none(kept * jax.nn.sigmoid(-f))
  take, kept = none(take), _keep(mask, kept, 1.0)
  forget_c, forget_n = forgetting * c_before, forgetting * n_before
  factors = to_c, to_c * ratio, to_output, take, take * z, take * (1 - z * z), forget_c, forget_n, kept
  back = kernel.astype(dtype).swapaxes(1, 2)

  def step(carry, now):
    dh, dc, dn = carry
    dy, (to_c, to_n, to_output, take, take_z, to_z, forget_c, forget_n, kept), reset, mask = now
    dh = dh + dy
    dc, dn = dc + dh * to_c, dn - dh * to_n
    d_input, d_forget = dc * take_z + dn * take, dc * forget_c + dn * forget_n
    d_gates = jnp.concatenate([d_input, d_forget, dc * to_z, dh * to_output], axis=-1)
    d_before = _keep(mask, _dot(d_gates, back), dh)
    return tuple(_clear(reset, a) for a in (d_before, dc * kept, dn * kept)), d_gates

  (dh, dc, dn), d_gates = jax.lax.scan(step, (dh, dc, dn), (dhs, factors, reset, mask), reverse=True)
  low = h_before.astype(dtype), d_gates.astype(dtype)
  d_kernel = jnp.einsum('tgbk,tgbz->gkz', *low, preferred_element_type=jnp.float32)
  return d_gates, (dh, dc, dn, jnp.zeros_like(carry[3])), d_kernel, None, None


_fused.defvjp(_forward, _backward)
