"""Gated linear attention one token at a time, differentiated by JAX; see `kernels/gated_linear_attention.py`."""

from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.context import Documents
from seqmodels.kernels import chunks


def gated_linear_attention(
  q: Any, k: Any, v: Any, log_decay: Any, state: Any, documents: Documents, *, chunk: int = 0
) -> Any:
  """Return (y, the last state)."""
  del chunk
  state, y = jax.lax.scan(_token, state, chunks.time_major((q, k, v, log_decay, documents)))
  return chunks.time_major(y), state


def _token(state: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
  q, k, v, log_decay, documents = now
  q, k, v = (a.astype(jnp.float32) for a in (q, k, v))
  keep = documents.forget(jnp.exp(log_decay))
  state = keep[..., None] * state + k[..., None] * v[:, :, None]
  return state, jnp.sum(q[..., None] * state, axis=2)
