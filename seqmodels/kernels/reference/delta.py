"""The gated delta rule one token at a time, differentiated by JAX; see `kernels/delta.py`.

S_t = a_t S_{t-1} + k_t u_tᵀ with u_t = β_t (v_t - a_t k_tᵀ S_{t-1}).
"""

from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.context import Documents
from seqmodels.kernels import chunks


def gated_delta(
  q: Any, k: Any, v: Any, beta: Any, log_decay: Any, state: Any, documents: Documents, *, chunk: int = 0
) -> Any:
  """Return (y, the last state)."""
  del chunk
  state, y = jax.lax.scan(_token, state, chunks.time_major((q, k, v, beta, log_decay, documents)))
  return chunks.time_major(y), state


def _token(state: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
  q, k, v, beta, log_decay, documents = now
  q, k, v = (a.astype(jnp.float32) for a in (q, k, v))
  keep = documents.forget(jnp.exp(log_decay))
  state = keep[..., None, None] * state
  recalled = jnp.sum(k[..., None] * state, axis=2)
  state = state + k[..., None] * (beta[..., None] * (v - recalled))[:, :, None]
  return state, jnp.sum(q[..., None] * state, axis=2)
