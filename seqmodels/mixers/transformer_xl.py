"""Transformer-XL's attention: a cache of hidden states without a gradient, and positions by distance."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import BATCH, Documents, StateSpec
from seqmodels.errors import unknown
from seqmodels.kernels import attention as kernel
from seqmodels.kernels import cache
from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import Form
from seqmodels.mixers.bounds import Segment, indices
from seqmodels.notation import Activations, State
from seqmodels.part import Part


class TransformerXL(Attention):
  """Segment-level recurrence with relative positions (Dai et al. 2019, equations of section 3.3).

  The state is a cache as that of `Attention`, of the inputs x in place of keys and values, which are computed from them
  with the current weights. Every query sees exactly the last max_length positions, its own included; the cache at
  evaluation may be longer than in training.
  """

  @dataclass(frozen=True)
  class Options:
    """The options of Transformer-XL's attention.

    heads, kv_heads, decode  as for `Attention`
    stop_gradient            no gradient flows into the cache, as in the paper; the weights still learn from what it
                             holds
    """

    heads: int = 0
    kv_heads: int = 0
    stop_gradient: bool = True
    decode: str = 'prefix'
    position: ClassVar[str] = 'transformer_xl'

    def __post_init__(self) -> None:
      if self.decode not in cache.DECODE:
        raise unknown('mixer.decode', self.decode, cache.DECODE)

  positions: ClassVar[tuple[str, ...]] = ('transformer_xl',)

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.stop_gradient = self.options.stop_gradient

  def state_spec(self, batch: int, max_length: int) -> dict[str, Any]:
    # Laid out as the keys of one head.
    slots = cache.spec(batch, 1, max_length, self.width, self.dtype, names=('one', 'embed'))
    return {'x': slots, 'end': StateSpec((batch,), (BATCH,), jnp.int32)}

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    """Return FLOPs as `Mixer.mixing_flops` does.

    The keys and values of the cache are computed in every call; for one token the query is projected (`_read`).
    """
    keys_and_values = 2 * self.width * self.kv_heads * self.head_dim  # weights
    if length > 1 or not memory:
      return super().mixing_flops(length, memory) + 2.0 * keys_and_values * memory / length
    onto = 2.0 * (2 * self.width**2 - keys_and_values)  # of each head, less what is among the weights
    both = 4.0 * self.heads * self.width * memory  # keys and values, each as wide as the model
    return onto + both + self.distances.flops(1, memory, memory)

  def _mix(
    self, x: Activations, state: State | None, documents: Documents, part: Part | None
  ) -> tuple[Activations, State | None]:
    segment = self._locate(x, state, documents, part)
    (batch, length), source = segment.where.shape, segment.gather(x)
    within = lambda: self._over(x, source, segment.bounds(causal=self.causal), segment)
    if state is None:
      return self._join(within()), None
    slots = state['x'].slots
    self.check_fits(length, slots)
    held = {'x': jax.lax.stop_gradient(state['x']) if self.stop_gradient else state['x']}
    new = {'x': source[:, :, None]}
    after = cache.write(held, new, segment.where, segment.end, segment.documents) | {'end': segment.end}
    if length == 1:
      return self._join(self._read(self._queries(x), after)), after

    def with_cache() -> jax.Array:
      cached = cache.in_order(held['x'], state['end'])[:, 0]
      index = indices(batch, length)
      position = jnp.broadcast_to(jnp.arange(-slots, length, dtype=jnp.int32)[None, :], (batch, slots + length))
      limits = segment.own((jnp.maximum(index - segment.where, index - slots + 1), index))
      return self._over(x, jnp.concatenate([cached, source], axis=1), (*limits, position), segment)

    out = jax.lax.cond(jnp.all(state['end'] == 0), within, with_cache)
    return self._join(out), after

  def _over(
    self,
    x: Activations,
    source: Float[Array, 'b s d'],
    bounds: kernel.Bounds | None,
    segment: Segment,
    values: Float[Array, 'b s g v'] | None = None,
  ) -> jax.Array:
    """Attend with queries of x to keys and values of `source`, whose last tokens are those of the segment."""
    return kernel.attention(
      self._queries(x),
      self.key(source),
      self.value(source) if values is None else values,
      causal=self.causal and source is x,
      bounds=bounds,
      relative=self.relative,
      offset=source.shape[1] - segment.where.shape[1] + segment.first,
      kernels=self.kernels,
    )

  def _map(self, x: Activations, documents: Documents) -> Float[Array, 'b h t t']:
    segment = self._locate(x, None, documents, None)
    values = kernel.one_hot_values(self.key(x))
    return self._over(x, x, segment.bounds(causal=self.causal), segment, values).swapaxes(1, 2)

  def _queries(self, x: Activations) -> Float[Array, 'b t h k']:
    return self.distances.content(self.query(x))

  def _read(self, q: Float[Array, 'b 1 h k'], state: State) -> Float[Array, 'b h k']:
    """Attend with one query to the filled slots of the cache.

    The key and value projections are applied to the query and to the result: slots · width products a head, where
    projecting the cache would take slots · width · head_dim. The cache is then the one key and the one value of all
    heads.
    """
    x, end, slots = state['x'], state['end'], state['x'].slots
    grouped = q.reshape(q.shape[0], self.kv_heads, -1, self.head_dim)
    keys, values = (layer.kernel[...].astype(self.dtype) for layer in (self.key, self.value))
    onto = jnp.einsum('bgrk,dgk->bgrd', grouped, keys).reshape(q.shape[0], self.heads, self.width)

    def over(prefix: int) -> jax.Array:
      held, visible = x.first(prefix).blocks, self._visible(q, end, slots, prefix)
      return kernel.over_slots(onto, [kernel.Slots(held, held, *visible)], 1 / math.sqrt(self.head_dim))

    mixed = cache.read_filled(over, jnp.zeros_like(onto), end, slots, self.decode)
    mixed = mixed.reshape(*grouped.shape[:3], self.width)
    return jnp.einsum('bgrd,dgv->bgrv', mixed, values).reshape(q.shape[0], self.heads, self.head_dim)
