"""The gated delta rule: S_t = a_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, y_t = q_t S_t.

Before a value is stored, what its key recalls is taken away: S_t = a_t S_{t-1} + k_t u_tᵀ with
u_t = β_t (v_t - a_t k_tᵀ S_{t-1}).

`chunked`  all u of a chunk solve a triangular system that does not depend on the state, (I + L) U = β (V - decayed K S)
           with L_ij = β_i (k_i·k_j) × the decay between, j < i (the UT transform of Yang et al., 2024, Parallelizing
           linear transformers with the delta rule; with decay, Yang et al., 2025, Gated delta networks). With U the
           rest is linear attention.
`scan`     one token at a time: the ladder's lowest rung, and what decodes.

The state, documents, padding and precision are as in `linear_attention.py`; the system is solved in float32.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.kernels import chunks
from seqmodels.notation import Flags

Memory = Float[Array, 'b h k v']


def gated_delta(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b t h k'],
  v: Float[Array, 'b t h v'],
  beta: Float[Array, 'b t h'],
  log_decay: Float[Array, 'b t h'],
  state: Memory,
  *,
  reset: Flags | None = None,
  mask: Flags | None = None,
  chunk: int = 0,
  implementation: str = 'chunked',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Float[Array, 'b t h v'], Memory]:
  """All y in float32, and the last state.

  k          of length one, or the rule is unstable
  beta       in [0, 1] (up to 2 for negative eigenvalues)
  log_decay  log a ≤ 0
  chunk      tokens at a time, a power of two; 0: chosen

  Raises InputError on a chunk that is no power of two or an unknown implementation.
  """
  length = q.shape[1]
  beta, log_decay = (chunks.only(mask, a.astype(jnp.float32)) for a in (beta, log_decay))
  k = chunks.only(mask, k)
  q, k, v = (a.astype(dtype) for a in (q, k, v))
  if not chunks.is_chunked(implementation, length):
    state, y = jax.lax.scan(_token, state, chunks.time_major((q, k, v, beta, log_decay, reset)))
    return chunks.time_major(y), state
  size = chunks.choose(chunk, length)
  inputs = (*(chunks.split(a, size) for a in (q, k, v, beta, log_decay)), chunks.numbers(reset, size))
  state, y = chunks.scan(_chunk, state, inputs)
  return chunks.join(y, length), state


def flops(k: int, v: int, heads: int, length: int, *, chunk: int, implementation: str) -> float:
  """FLOPs a token over `length` tokens: see `Mixer.mixing_flops`. k, v: widths of a head."""
  recurrent = 6.0 * heads * k * v  # recalling, storing and reading
  if not chunks.is_chunked(implementation, length):
    return recurrent
  size = chunks.choose(chunk, length)
  levels = size.bit_length() - 1
  inverse = 4.0 * size**2 * max(levels - 1, 0)
  # Keys with keys and with queries; the system's right side and the values, weighted.
  return recurrent + heads * (4.0 * size * (k + v) + inverse)


def _token(state: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
  q, k, v, beta, log_decay, reset = now
  q, k, v = (a.astype(jnp.float32) for a in (q, k, v))
  keep = chunks.only(None if reset is None else ~reset, jnp.exp(log_decay))
  state = keep[..., None, None] * state
  recalled = jnp.sum(k[..., None] * state, axis=2)
  state = state + k[..., None] * (beta[..., None] * (v - recalled))[:, :, None]
  return state, jnp.sum(q[..., None] * state, axis=2)


def _chunk(state: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
  """One chunk: q, k [b h c k], v [b h c v], beta, log_decay [b h c], document numbers [b c]."""
  q, k, v, beta, log_decay, number = now
  sight = chunks.sight(number, q.shape[2])
  dot = lambda a, b: jnp.matmul(a, b.astype(a.dtype), preferred_element_type=jnp.float32)
  decay, past = chunks.between(log_decay)
  decay = jnp.where(sight.keys, jnp.exp(decay), 0.0)
  keep = chunks.only(sight.state, jnp.exp(past))[..., None]
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
