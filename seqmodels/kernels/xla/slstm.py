"""The sLSTM with its own backward pass; see `kernels/slstm.py`.

In the backward pass everything local is computed for all positions at once, the reverse scan has one matmul a step, and
the gradient of the recurrent weights is one matmul over all positions.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.kernels.reference.slstm import clear, dot, keep
from seqmodels.kernels.reference.slstm import step as one_step


def slstm(gates: Any, carry: Any, recurrent_kernel: Any, reset: Any, mask: Any, *, dtype: Any) -> Any:
  """Return (all h, the last carry)."""
  return _slstm(gates, carry, recurrent_kernel, reset, mask, dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _slstm(gates: Any, carry: Any, kernel: Any, reset: Any, mask: Any, dtype: Any) -> tuple[Any, Any]:
  low = kernel.astype(dtype)

  def step(carry, now):
    carry, _ = one_step(low, carry, now)
    return carry, carry[0]

  carry, hs = jax.lax.scan(step, carry, (gates, reset, mask))
  return hs, carry


def _forward(gates, carry, kernel, reset, mask, dtype):
  low = kernel.astype(dtype)

  def step(carry, now):
    carry, local = one_step(low, carry, now)
    return carry, (*carry[:3], *local)

  last, saved = jax.lax.scan(step, carry, (gates, reset, mask))
  return (saved[0], last), (carry, kernel, reset, mask, saved)


def _backward(dtype, kept_back, gradients):
  carry, kernel, reset, mask, (hs, cs, ns, take, kept, z, o, f) = kept_back
  dhs, (dh, dc, dn, _) = gradients
  before = lambda first, later: clear(reset, jnp.concatenate([first[None], later[:-1]]))
  h_before, c_before, n_before = (before(*pair) for pair in zip(carry[:3], (hs, cs, ns), strict=True))
  none = lambda a: keep(mask, a, 0.0)
  # What the gradients at h, c and n are multiplied by on their way to the cell, the normaliser and the gates.
  per_n = none(1 / (ns if mask is None else jnp.where(ns > 0, ns, 1.0)))
  to_c, ratio = o * per_n, cs * per_n
  to_output = ratio * o * (1 - o)
  forgetting = none(kept * jax.nn.sigmoid(-f))
  take, kept = none(take), keep(mask, kept, 1.0)
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
    d_before = keep(mask, dot(d_gates, back), dh)
    return tuple(clear(reset, a) for a in (d_before, dc * kept, dn * kept)), d_gates

  (dh, dc, dn), d_gates = jax.lax.scan(step, (dh, dc, dn), (dhs, factors, reset, mask), reverse=True)
  low = h_before.astype(dtype), d_gates.astype(dtype)
  d_kernel = jnp.einsum('tgbk,tgbz->gkz', *low, preferred_element_type=jnp.float32)
  return d_gates, (dh, dc, dn, jnp.zeros_like(carry[3])), d_kernel, None, None


_slstm.defvjp(_forward, _backward)
