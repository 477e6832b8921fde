"""The gated delta rule: S_t = a_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ, y_t = q_t S_t.

Before a value is stored, what its key recalls is taken away. The state, documents, padding and precision are as in
`linear_attention.py`.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels import chunks, dispatch
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.linear_attention import is_chunked
from seqmodels.kernels.reference import delta as reference
from seqmodels.kernels.xla import delta as xla

Memory = Float[Array, 'b h k v']

GATED_DELTA = Op(
  'gated_delta',
  (
    ('reference', Form(reference.gated_delta)),
    ('xla', Form(xla.gated_delta)),
  ),
)


def gated_delta(
  q: Float[Array, 'b t h k'],
  k: Float[Array, 'b t h k'],
  v: Float[Array, 'b t h v'],
  beta: Float[Array, 'b t h'],
  log_decay: Float[Array, 'b t h'],
  state: Memory,
  *,
  documents: Documents = ONE_DOCUMENT,
  chunk: int = 0,
  kernels: str = 'auto',
  dtype: DTypeLike = jnp.float32,
) -> tuple[Float[Array, 'b t h v'], Memory]:
  """Return all y in float32, and the last state.

  k          of length one, or the rule is unstable
  beta       in [0, 1] (up to 2 for negative eigenvalues)
  log_decay  log a ≤ 0
  chunk      tokens at a time, a power of two; 0: chosen

  Raises InputError on a chunk that is no power of two and as `dispatch.run`.
  """
  q, k, v = (documents.keep(a).astype(dtype) for a in (q, k, v))
  beta, log_decay = (documents.keep(a.astype(jnp.float32)) for a in (beta, log_decay))
  dispatch.check(kernels)
  kernels = kernels if q.shape[1] > 1 else 'reference'
  part, documents, size = documents.part, documents.without_padding().alone(), chunks.by_platform(chunk, q.shape[1])
  run = lambda v, state: dispatch.run(GATED_DELTA, kernels, (q, k, v, beta, log_decay, state, documents), chunk=size)
  if part is None:
    return run(v, state)
  # The rule is linear in the state: values of zero, read from the identity, give what is left of any state.
  keys, width = k.shape[-1], v.shape[-1]
  left = jnp.broadcast_to(jnp.eye(keys), (*state.shape[:2], keys, keys))
  both = jnp.concatenate([jnp.zeros_like(state), left], axis=-1)
  y, both = run(jnp.concatenate([v, jnp.zeros_like(k)], axis=-1), both)
  compose = lambda state, summary: summary[1] + jnp.matmul(summary[0], state)
  start, end = part.scan(compose, state, _halves(both, width), 'heads')
  y, of_start = _halves(y, width)[::-1]
  return y + jnp.einsum('bthk,bhkv->bthv', of_start, start), end


def _halves(a: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
  """Return what is left of the state, and what is of the values, the first `width` columns."""
  return a[..., width:], a[..., :width]


def flops(k: int, v: int, heads: int, length: int, *, chunk: int, kernels: str) -> float:
  """Return the FLOPs a token over `length` tokens: see `Mixer.mixing_flops`. k, v: widths of a head."""
  recurrent = 6.0 * heads * k * v  # recalling, storing and reading
  if not is_chunked(kernels, length):
    return recurrent
  size = chunks.choose(chunk, length)
  levels = size.bit_length() - 1
  inverse = 4.0 * size**2 * max(levels - 1, 0)
  # Keys with keys and with queries; the system's right side and the values, weighted.
  return recurrent + heads * (4.0 * size * (k + v) + inverse)
