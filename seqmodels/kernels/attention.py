"""Softmax attention (Vaswani et al., 2017), multi-head or grouped-query (Ainslie et al., 2023).

Masks are intervals. With `bounds = (lower, upper, key_position)`, query i of a row sees the keys j with
lower[i] <= key_position[j] <= upper[i]; padding has a position outside every interval, and anything may stand there.
With `causal=True` keys and queries are the same tokens (t == s) and query i never sees key j > i; both together mean
both. A fully masked row gives zeros. The softmax is float32. With `relative`, something is added to each score by its
distance (`relative.py`), query i standing at key i + offset.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from seqmodels.kernels import dispatch
from seqmodels.kernels.cpu import attention as cpu
from seqmodels.kernels.dispatch import Form, Op
from seqmodels.kernels.gpu import attention as gpu
from seqmodels.kernels.reference import attention as reference
from seqmodels.kernels.reference.attention import MASKED, Bounds, Keys, Queries, Values, attend
from seqmodels.kernels.relative import Offset, Relative
from seqmodels.kernels.xla import attention as xla

__all__ = ['ATTENTION', 'Bounds', 'Slots', 'attend', 'attention', 'one_hot_values', 'over_slots']

LONGEST_WITH_DISTANCES = 512  # tokens up to which all scores at once are the faster form with `relative`

ATTENTION = Op(
  'attention',
  (
    ('reference', Form(reference.attention)),
    ('xla', Form(functools.partial(xla.attention, in_groups=True), ('cpu',))),
    ('xla', Form(xla.attention, ('cuda', 'rocm', 'tpu'))),
    ('cpu', Form(cpu.attention, ('cpu',), why_not=cpu.why_not)),
    ('cudnn', Form(gpu.attention, ('cuda',), why_not=gpu.why_not)),
  ),
)


def attention(
  q: Queries,
  k: Keys,
  v: Values,
  *,
  causal: bool = True,
  bounds: Bounds | None = None,
  relative: Relative | None = None,
  offset: Offset = 0,
  kernels: str = 'auto',
) -> Float[Array, 'b t h v']:
  """Return softmax(q kᵀ / √key width) v for every head; h is a multiple of g.

  Only `reference` and `xla` have `relative`: the others stand for `auto` with it.
  """
  if bounds is not None:
    lower, upper, position = bounds
    seen = (position >= lower.min(1, keepdims=True)) & (position <= upper.max(1, keepdims=True))
    k, v = (jnp.where(seen[:, :, None, None], a, jnp.zeros((), a.dtype)) for a in (k, v))
  if relative is None:
    return dispatch.run(ATTENTION, kernels, (q, k, v, bounds), causal=causal)
  dispatch.check(kernels)
  if kernels == 'reference' or (kernels != 'xla' and q.shape[1] <= LONGEST_WITH_DISTANCES):
    return reference.materialised(q, k, v, causal=causal, bounds=bounds, relative=relative, offset=offset)
  return xla.rematerialised(q, k, v, causal=causal, bounds=bounds, relative=relative, offset=offset)


def one_hot_values(k: Keys) -> Float[Array, 'b s g s']:
  """Return values of which attention gives its weights: that of position j is the j-th unit vector."""
  length = k.shape[1]
  return jnp.broadcast_to(jnp.eye(length, dtype=k.dtype)[None, :, None], (*k.shape[:3], length))


class Slots(NamedTuple):
  """Slots of a cache, in blocks of the layout that matmuls read in place."""

  k: tuple[Float[Array, 'b g _ k'], ...]
  v: tuple[Float[Array, 'b g _ v'], ...]
  visible: Bool[Array, 'b s']
  added: Float[Array, 'b h s'] | None = None  # to the scaled scores


def over_slots(q: Float[Array, 'b h k'], parts: Sequence[Slots], scale: float = 0.0) -> Float[Array, 'b h v']:
  """One query a row over all parts in one softmax, without a copy that joins them. scale: of q · k; 0: 1/√key width."""
  b, h, width = q.shape
  g = parts[0].k[0].shape[1]
  grouped = q.reshape(b, g, h // g, width)

  def scores_of(part: Slots) -> Float[Array, 'b g r s']:
    products = [jnp.einsum('bgrk,bgsk->bgrs', grouped, k, preferred_element_type=jnp.float32) for k in part.k]
    scores = jnp.concatenate(products, axis=-1) * (scale or 1 / math.sqrt(width))
    if part.added is not None:
      scores = scores + part.added.reshape(scores.shape)
    return jnp.where(part.visible[:, None, None], scores, MASKED)

  weights = jax.nn.softmax(jnp.concatenate([scores_of(part) for part in parts], axis=-1), axis=-1)
  sees = jnp.stack([part.visible.any(axis=1) for part in parts]).any(axis=0)
  values = [v for part in parts for v in part.v]
  weights = jnp.where(sees[:, None, None, None], weights, 0.0).astype(values[0].dtype)
  out, first = jnp.zeros((), jnp.float32), 0
  for v in values:
    own = weights[..., first : first + v.shape[2]]
    out = out + jnp.einsum('bgrs,bgsv->bgrv', own, v, preferred_element_type=jnp.float32)
    first += v.shape[2]
  return out.reshape(b, h, -1).astype(values[0].dtype)
