"""The sLSTM with its own backward pass; see `kernels/slstm.py`.

In the backward pass everything local is computed for all positions at once, the reverse scan has one matmul a step, and
the gradient of the recurrent weights is one matmul over all positions.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.context import Documents
from seqmodels.kernels.reference.slstm import dot
from seqmodels.kernels.reference.slstm import step as one_step


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def slstm(gates: Any, carry: Any, kernel: Any, documents: Documents, dtype: Any) -> tuple[Any, Any]:
  """Return (all h, the last carry). documents: `[t 1 b]`."""
  low = kernel.astype(dtype)

  def step(carry, now):
    carry, _ = one_step(low, carry, now)
    return carry, carry[0]

  carry, hs = jax.lax.scan(step, carry, (gates, documents))
  return hs, carry


def _forward(gates, carry, kernel, documents, dtype):
  low = kernel.astype(dtype)

  def step(carry, now):
    carry, local = one_step(low, carry, now)
    return carry, (*carry[:3], *local)

  last, saved = jax.lax.scan(step, carry, (gates, documents))
  return (saved[0], last), (carry, kernel, documents, saved)


def _backward(dtype, kept_back, gradients):
  carry, kernel, documents, (hs, cs, ns, take, kept, z, o, f) = kept_back
  dhs, (dh, dc, dn, _) = gradients
  before = lambda first, later: documents.forget(jnp.concatenate([first[None], later[:-1]]))
  h_before, c_before, n_before = (before(*pair) for pair in zip(carry[:3], (hs, cs, ns), strict=True))
  # What the gradients at h, c and n are multiplied by on their way to the cell, the normaliser and the gates.
  per_n = documents.keep(1 / (ns if documents.mask is None else jnp.where(ns > 0, ns, 1.0)))
  to_c, ratio = o * per_n, cs * per_n
  to_output = ratio * o * (1 - o)
  forgetting = documents.keep(kept * jax.nn.sigmoid(-f))
  take, kept = documents.keep(take), documents.keep(kept, 1.0)
  forget_c, forget_n = forgetting * c_before, forgetting * n_before
  factors = to_c, to_c * ratio, to_output, take, take * z, take * (1 - z * z), forget_c, forget_n, kept
  back = kernel.astype(dtype).swapaxes(1, 2)

  def step(carry, now):
    dh, dc, dn = carry
    dy, (to_c, to_n, to_output, take, take_z, to_z, forget_c, forget_n, kept), documents = now
    dh = dh + dy
    dc, dn = dc + dh * to_c, dn - dh * to_n
    d_input, d_forget = dc * take_z + dn * take, dc * forget_c + dn * forget_n
    d_gates = jnp.concatenate([d_input, d_forget, dc * to_z, dh * to_output], axis=-1)
    d_before = documents.keep(dot(d_gates, back), dh)
    return tuple(documents.forget(a) for a in (d_before, dc * kept, dn * kept)), d_gates

  (dh, dc, dn), d_gates = jax.lax.scan(step, (dh, dc, dn), (dhs, factors, documents), reverse=True)
  low = h_before.astype(dtype), d_gates.astype(dtype)
  d_kernel = jnp.einsum('tgbk,tgbz->gkz', *low, preferred_element_type=jnp.float32)
  return d_gates, (dh, dc, dn, jnp.zeros_like(carry[3])), d_kernel, None


slstm.defvjp(_forward, _backward)
