"""Linear attention one token at a time, differentiated by JAX; see `kernels/linear_attention.py`."""

from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.context import Documents
from seqmodels.kernels import chunks
from seqmodels.kernels.chunks import NOTHING

State = dict[str, jax.Array]


def linear_attention(
  q: Any, k: Any, v: Any, state: State, log_decay: Any, log_input: Any, documents: Documents, *, chunk: int = 0
) -> Any:
  """Return (y, n, m, the last state)."""
  del chunk
  state, sums = jax.lax.scan(_token, state, chunks.time_major((q, k, v, log_decay, log_input, documents)))
  return *chunks.time_major(sums), state


def _token(state: State, now: Any) -> tuple[State, Any]:
  """One step of the recurrence: q, k [b g k], v [b h v], logs [b h], documents [b]."""
  q, k, v, log_decay, log_input, documents = now
  q, k, v = (a.astype(jnp.float32) for a in (q, k, v))
  new, m = {}, None
  keep = jnp.float32(0.0) if log_decay is None else log_decay
  if log_input is not None:
    before = documents.forget(state['m'], NOTHING)
    new['m'] = m = jax.lax.stop_gradient(jnp.maximum(keep + before, log_input))
    keep, put = jnp.exp(keep + before - m), jnp.exp(log_input - m)
    k = k * put[:, :, None]
  else:
    keep = jnp.exp(keep)
  keep = documents.forget(jnp.broadcast_to(keep, v.shape[:2]))
  new['s'] = keep[:, :, None, None] * state['s'] + k[..., None] * v[:, :, None]
  y = jnp.sum(q[..., None] * new['s'], axis=2)
  n = None
  if 'n' in state:
    new['n'] = keep[:, :, None] * state['n'] + k
    n = jnp.sum(q * new['n'], axis=-1)
  return new, (y, n, m)
