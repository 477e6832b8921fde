"""The sLSTM as a scan differentiated by JAX; see `kernels/slstm.py`."""

from typing import Any

import jax
import jax.numpy as jnp

NOTHING = -1e30  # the stabiliser of an empty state: whatever comes first replaces it


def slstm(gates: Any, carry: Any, recurrent_kernel: Any, reset: Any, mask: Any, *, dtype: Any) -> Any:
  """Return (all h, the last carry)."""
  kernel = recurrent_kernel.astype(dtype)

  def one(carry, now):
    carry, _ = step(kernel, carry, now)
    return carry, carry[0]

  carry, hs = jax.lax.scan(one, carry, (gates, reset, mask))
  return hs, carry


def _rows(flags: jax.Array) -> jax.Array:
  return flags[..., None, :, None]


def clear(reset: jax.Array | None, a: jax.Array, to: float = 0.0) -> jax.Array:
  return a if reset is None else jnp.where(_rows(reset), to, a)


def keep(mask: jax.Array | None, new: jax.Array, old: jax.Array | float) -> jax.Array:
  return new if mask is None else jnp.where(_rows(mask), new, old)


def dot(a: jax.Array, kernel: jax.Array) -> jax.Array:
  return jnp.einsum('gbk,gkz->gbz', a.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


def step(kernel: jax.Array, carry: Any, now: Any) -> tuple[Any, Any]:
  gates, reset, mask = now
  h, c, n, m = (clear(reset, a, to) for a, to in zip(carry, (0.0, 0.0, 0.0, NOTHING), strict=True))
  i, f, z, o = jnp.split(gates + dot(h, kernel), 4, axis=-1)
  z, o = jnp.tanh(z), jax.nn.sigmoid(o)
  decayed = jax.nn.log_sigmoid(f) + m
  m_new = jax.lax.stop_gradient(jnp.maximum(decayed, i))
  take, kept = jnp.exp(i - m_new), jnp.exp(decayed - m_new)
  c_new, n_new = kept * c + take * z, kept * n + take
  new = o * c_new / n_new, c_new, n_new, m_new
  return tuple(keep(mask, a, b) for a, b in zip(new, (h, c, n, m), strict=True)), (take, kept, z, o, f)
