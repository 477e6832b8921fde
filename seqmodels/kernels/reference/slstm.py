"""The sLSTM as a scan differentiated by JAX; see `kernels/slstm.py`."""

from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.context import Documents

NOTHING = -1e30  # the stabiliser of an empty state: whatever comes first replaces it


def slstm(gates: Any, carry: Any, recurrent_kernel: Any, documents: Documents, *, dtype: Any) -> Any:
  """Return (all h, the last carry). documents: `[t 1 b]`."""
  kernel = recurrent_kernel.astype(dtype)

  def one(carry, now):
    carry, _ = step(kernel, carry, now)
    return carry, carry[0]

  carry, hs = jax.lax.scan(one, carry, (gates, documents))
  return hs, carry


def dot(a: jax.Array, kernel: jax.Array) -> jax.Array:
  return jnp.einsum('gbk,gkz->gbz', a.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


def step(kernel: jax.Array, carry: Any, now: Any) -> tuple[Any, Any]:
  gates, documents = now
  h, c, n, m = (documents.forget(a, empty) for a, empty in zip(carry, (0.0, 0.0, 0.0, NOTHING), strict=True))
  i, f, z, o = jnp.split(gates + dot(h, kernel), 4, axis=-1)
  z, o = jnp.tanh(z), jax.nn.sigmoid(o)
  decayed = jax.nn.log_sigmoid(f) + m
  m_new = jax.lax.stop_gradient(jnp.maximum(decayed, i))
  take, kept = jnp.exp(i - m_new), jnp.exp(decayed - m_new)
  c_new, n_new = kept * c + take * z, kept * n + take
  new = o * c_new / n_new, c_new, n_new, m_new
  return tuple(documents.keep(a, b) for a, b in zip(new, (h, c, n, m), strict=True)), (take, kept, z, o, f)
