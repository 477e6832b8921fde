"""Linear attention whose decay is a vector over the key's features: S_t = diag(a_t) S_{t-1} + k_t v_tᵀ, y_t = q_t S_t.

The state, documents, padding and precision are as in `linear_attention.py`.
"""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels import chunks, dispatch
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.linear_attention import is_chunked
from seqmodels.kernels.reference import gated_linear_attention as reference
from seqmodels.kernels.xla import gated_linear_attention as xla
from seqmodels.part import affine

Memory = Float[Array, 'b h k v']

GATED_LINEAR_ATTENTION = Op(
  'gated_linear_attention',
  (
    ('reference', Form(reference.gated_linear_attention)),
    ('xla', Form(xla.gated_linear_attention)),
  ),
)


def gated_linear_attention(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b t h k'],
  v: Float[Array, 'b t h v'],
  log_decay: Float[Array, 'b t h k'],
  state: Memory,
  *,
  documents: Documents = ONE_DOCUMENT,
  chunk: int = 0,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Float[Array, 'b t h v'], Memory]:
  """Return all y in float32, and the last state (Yang et al., 2024, Gated linear attention).

  log_decay  log a ≤ 0
  chunk      tokens at a time, a power of two; 0: chosen

  Raises InputError on a chunk that is no power of two and as `dispatch.run`.
  """
  q, k, v = (documents.keep(a).astype(dtype) for a in (q, k, v))
  log_decay = documents.keep(log_decay.astype(jnp.float32))
  dispatch.check(kernels)
  kernels = kernels if q.shape[1] > 1 else 'reference'
  end = None
  if documents.part is not None:
    seen = documents.without_padding().in_last(*q.shape[:2])[:, :, None, None]
    put = jnp.where(seen, k * jnp.exp(chunks.decay_after(log_decay)), 0.0).astype(dtype)
    decay = jnp.exp(chunks.decay_of_all(log_decay, documents))[..., None]
    update = jnp.einsum('bthk,bthv->bhkv', put, v, preferred_element_type=jnp.float32)
    state, end = documents.part.scan(affine, state, (decay, update), 'heads')
  arrays = q, k, v, log_decay, state, documents.without_padding().alone()
  y, state = dispatch.run(GATED_LINEAR_ATTENTION, kernels, arrays, chunk=chunks.by_platform(chunk, q.shape[1]))
  return y, state if end is None else end


def flops(k: int, v: int, heads: int, length: int, *, chunk: int, kernels: str) -> float:
  """Return the FLOPs a token over `length` tokens: see `Mixer.mixing_flops`. k, v: widths of a head."""
  recurrent = 4.0 * heads * k * v
  if not is_chunked(kernels, length):
    return recurrent
  size = chunks.choose(chunk, length)
  levels = size.bit_length() - 1
  return recurrent + 2.0 * size * heads * (levels * k + v)
