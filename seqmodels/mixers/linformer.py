"""Linformer: softmax attention over a fixed number of learned mixtures of the keys and values."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels import positions
from seqmodels.errors import InputError, check_positive
from seqmodels.kernels import linear_attention as kernel
from seqmodels.kernels import projection
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Mixer
from seqmodels.notation import Activations, Flags, State


class Linformer(Mixer):
  """y = softmax(Q (Eᵀ K)ᵀ / √k) (Fᵀ V), with E and F `[length, rank]` that all heads share (Wang et al., 2020).

  heads   0: chosen from the width
  length  the longest input: E and F have a row for every position, and a shorter input uses the first rows. 0: the
          task's length, which the model gives
  rank    how many mixtures of keys and values every query sees

  A mixture holds what comes later too, so it cannot be causal. Padding is left out of it and takes no row. Packed
  documents have mixtures of their own, each from the first row on: those are found by two linear attentions, because
  q·(Eᵀ K) = Σ (q·k) E, so that cost stays linear whatever the documents.
  """

  can_be_causal = False
  positions = ('rotary',)

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = False,
    dtype: DTypeLike = jnp.float32,
    heads: int = 0,
    position: str = 'none',
    length: int = 0,
    rank: int = 64,
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    if length <= 0:
      raise InputError(
        f'mixer.length={length} of linformer must be greater than 0; where it is not set, a model sets it'
      )
    check_positive(**{'mixer.rank': rank})
    self.heads = by_head.count_heads(width, heads, position)
    self.position, self.length, self.rank = position, length, rank
    weights = nnx.initializers.lecun_normal()
    self.qkv_kernel = nnx.Param(weights(rngs.params(), (width, 3 * width), jnp.float32))
    self.output_kernel = nnx.Param(weights(rngs.params(), (width, width), jnp.float32))
    # Of variance 1/length: the mixtures of as many keys are of the keys' size.
    self.key_mixture = nnx.Param(weights(rngs.params(), (length, rank), jnp.float32))
    self.value_mixture = nnx.Param(weights(rngs.params(), (length, rank), jnp.float32))

  def check_length(self, length: int) -> None:
    if length > self.length:
      raise InputError(f'mixer.length={self.length} of linformer must be at least {length}, the length of the input')

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    """q·(Eᵀ K) and weights·(Fᵀ V), and each token's share in the mixtures, of which it reads a row."""
    del length, memory
    return 8.0 * self.width * self.rank - 4.0 * self.length * self.rank

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: nnx.Rngs | None = None,
  ) -> tuple[Activations, State | None]:
    del rngs
    self.check_call(x, state)
    self.check_length(x.shape[1])
    if reset is not None and mask is not None:
      reset = reset & mask
    where, _ = positions.advance(jnp.zeros((x.shape[0],), jnp.int32), x.shape[1], reset, mask)
    joined = by_head.split_heads(projection.dot(x, self.qkv_kernel[...], self.dtype), 3 * self.heads)
    q, k, v = jnp.split(joined, 3, axis=2)
    if self.position == 'rotary':
      q, k = positions.rotary(q, where), positions.rotary(k, where)
    q = q * q.shape[-1] ** -0.5
    e, f = (table[...].astype(self.dtype)[where] for table in (self.key_mixture, self.value_mixture))
    y = _together(q, k, v, e, f, mask) if reset is None else _by_document(q, k, v, e, f, reset, mask)
    y = y.astype(self.dtype).reshape(x.shape)
    return projection.dot(y, self.output_kernel[...], self.dtype), None


def _together(q: jax.Array, k: jax.Array, v: jax.Array, e: jax.Array, f: jax.Array, mask: Flags | None) -> jax.Array:
  if mask is not None:
    e, f = (jnp.where(mask[:, :, None], a, 0) for a in (e, f))
  mixed = lambda rows, a: jnp.einsum('btr,bthk->bhrk', rows, a, preferred_element_type=jnp.float32).astype(a.dtype)
  scores = jnp.einsum('bthk,bhrk->bthr', q, mixed(e, k), preferred_element_type=jnp.float32)
  return jnp.einsum('bthr,bhrv->bthv', jax.nn.softmax(scores).astype(v.dtype), mixed(f, v))


def _by_document(
  q: jax.Array, k: jax.Array, v: jax.Array, e: jax.Array, f: jax.Array, reset: Flags, mask: Flags | None
) -> jax.Array:
  how: dict[str, Any] = {'reset': reset, 'mask': mask, 'dtype': v.dtype}
  e, f = (jnp.broadcast_to(a[:, :, None], (*q.shape[:3], a.shape[-1])) for a in (e, f))
  scores = kernel.whole(q, k, e, **how).y
  return kernel.whole(jax.nn.softmax(scores), f, v, **how).y
