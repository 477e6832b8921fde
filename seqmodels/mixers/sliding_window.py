"""Softmax attention to a window of the last positions. Its state is a ring buffer of that many keys and values."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from seqmodels.errors import check_positive
from seqmodels.kernels import attention as kernel
from seqmodels.kernels import cache
from seqmodels.kernels.local_attention import local_attention
from seqmodels.kernels.sparse_attention import Interval
from seqmodels.mixers.attention import Attention, Seen
from seqmodels.mixers.base import Form
from seqmodels.mixers.bounds import Segment, indices, segment_bounds
from seqmodels.notation import State


class SlidingWindow(Attention):
  """Attention of every query to the last `window` positions of its document, its own included (Beltagy et al. 2020).

  Time and memory are O(t · window). The state has min(window, max_length) slots, and a query sees at most that many
  positions; segments may be of any length.
  """

  @dataclass(frozen=True)
  class Options(Attention.Options):
    """The options of attention, and those of the window.

    window  positions seen; bidirectional: the keys fewer than `window` away on either side. Padding does not count
    """

    window: int = 128

    def __post_init__(self) -> None:
      super().__post_init__()
      check_positive(**{'mixer.window': self.window})

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.window = self.options.window
    self.padding_last = True

  def state_spec(self, batch: int, max_length: int) -> dict[str, Any]:
    return super().state_spec(batch, min(self.window, max_length))

  def sees(self, length: int, memory: int = 0) -> Seen:
    behind, ahead = super().sees(length, memory)
    return np.minimum(behind, self.window), np.minimum(ahead, self.window - 1)

  def check_fits(self, length: int, slots: int) -> None:
    """Accept a segment of any length: the cache keeps its end."""

  def _within(self, q: jax.Array, k: jax.Array, v: jax.Array, segment: Segment) -> jax.Array:
    batch, length = segment.where.shape
    if length <= self.window:
      return super()._within(q, k, v, segment)
    bounds = segment_bounds(segment.documents, batch, length, causal=self.causal)
    if bounds is None:
      index = indices(batch, length)
      lower, upper = jnp.zeros_like(index), index if self.causal else jnp.full_like(index, length - 1)
    else:
      lower, upper = without_padding(bounds)
    before = ((0, 0), (self.window, 0), (0, 0), (0, 0))
    return self._local(q, jnp.pad(k, before), jnp.pad(v, before), (lower, upper), self.window, segment)

  def _after(self, q: jax.Array, k: jax.Array, v: jax.Array, state: State, segment: Segment) -> jax.Array:
    length, slots = k.shape[1], state['k'].slots
    if length <= slots:
      return super()._after(q, k, v, state, segment)
    index = indices(*segment.where.shape)
    cached = [cache.in_order(state[name], state['end']).swapaxes(1, 2) for name in 'kv']
    keys, values = (jnp.concatenate(pair, axis=1) for pair in zip(cached, (k, v), strict=True))
    return self._local(q, keys, values, (index - segment.where, index), slots, segment)

  def _local(
    self, q: jax.Array, k: jax.Array, v: jax.Array, document: Interval, window: int, segment: Segment
  ) -> jax.Array:
    k, v = segment.around((k, v), window, 0 if self.causal else window)
    lower, upper = (a - segment.first for a in segment.own(document))
    return local_attention(
      q,
      k,
      v,
      lower,
      upper,
      window=window,
      ahead=not self.causal,
      relative=self.relative,
      kernels=self.kernels,
    )


def without_padding(bounds: kernel.Bounds) -> tuple[jax.Array, jax.Array]:
  """Return the intervals cut off before the padding at the end of the segment."""
  lower, upper, position = bounds
  return lower, jnp.minimum(upper, position.max(axis=1, keepdims=True))
