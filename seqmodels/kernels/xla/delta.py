"""The gated delta rule as a scan over chunks; see `kernels/delta.py`.

With u as in `reference/delta.py`, all u of a chunk solve a triangular system that does not depend on the state,
(I + L) U = β (V - decayed K S) with L_ij = β_i (k_i·k_j) × the decay between, j < i (the UT transform of Yang et al.,
2024, Parallelizing linear transformers with the delta rule; with decay, Yang et al., 2025, Gated delta networks). With
U the rest is linear attention. The system is solved in float32.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seqmodels.context import Documents
from seqmodels.kernels import chunks


def gated_delta(
  q: Any, k: Any, v: Any, beta: Any, log_decay: Any, state: Any, documents: Documents, *, chunk: int
) -> Any:
  """Return (y, the last state)."""
  length = q.shape[1]
  inputs = (*(chunks.split(a, chunk) for a in (q, k, v, beta, log_decay)), chunks.segment_ids(documents.reset, chunk))
  state, y = chunks.scan(_chunk, state, inputs)
  return chunks.join(y, length), state


def _chunk(state: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
  """One chunk: q, k [b h c k], v [b h c v], beta, log_decay [b h c], document numbers [b c]."""
  q, k, v, beta, log_decay, ids = now
  masks = chunks.masks(ids, q.shape[2])
  dot = lambda a, b: jnp.matmul(a, b.astype(a.dtype), preferred_element_type=jnp.float32)
  decay, past = chunks.between(log_decay)
  decay = jnp.where(masks.keys, jnp.exp(decay), 0.0)
  keep = chunks.where_seen(masks.state, jnp.exp(past))[..., None]
  lower = jnp.tril(beta[..., None] * decay * dot(k, k.swapaxes(-1, -2)), -1)
  u = jnp.matmul(inverse(lower), beta[..., None] * (v - keep * dot(k, state))).astype(v.dtype)
  y = dot((decay * dot(q, k.swapaxes(-1, -2))).astype(v.dtype), u) + keep * dot(q, state)
  put = (decay[..., -1, :, None] * k).astype(k.dtype)
  return keep[..., -1:, :] * state + dot(put.swapaxes(-1, -2), u), y


@jax.custom_vjp
def inverse(lower: Float[Array, '*n c c']) -> Float[Array, '*n c c']:
  """(I + lower)^-1 of strictly lower triangular matrices, by blocks of 1, 2, 4 … rows.

  The inverse of [[A, 0], [B, C]] is [[A⁻¹, 0], [-C⁻¹ B A⁻¹, C⁻¹]]: a level is two matmuls for all blocks at once. As
  exact as substitution, unlike the products (I - L)(I + L²)(I + L⁴) …, whose terms may grow and cancel.
  """
  size = lower.shape[-1]
  index = jnp.arange(size)
  result = jnp.broadcast_to(jnp.eye(size), lower.shape)
  half = 1
  while half < size:
    row, column = index[:, None] // half, index[None, :] // half
    between = jnp.where((row % 2 == 1) & (column == row - 1), lower, 0.0)
    result = result - (between if half == 1 else jnp.matmul(result, jnp.matmul(between, result)))
    half *= 2
  return result


def _save(lower):
  result = inverse(lower)
  return result, result


def _backward(result, cotangent):
  turned = result.swapaxes(-1, -2)
  return (-jnp.matmul(turned, jnp.matmul(cotangent, turned)),)


inverse.defvjp(_save, _backward)
