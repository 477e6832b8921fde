"""Linear attention: a feature map in place of the softmax, hence a sum of outer products in place of a cache."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels import positions
from seqmodels.context import BATCH, Context, StateSpec
from seqmodels.kernels import linear_attention as kernel
from seqmodels.layers import Dense
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Form, Mixer
from seqmodels.mixers.options import HeadOptions, check_position
from seqmodels.notation import Activations, Key, State


def elu_plus_one(x: jax.Array) -> jax.Array:
  """Return elu(x) + 1, in a form that XLA computes 2.5 times as fast."""
  return jnp.exp(jnp.minimum(x, 0.0)) + jnp.maximum(x, 0.0)


class FeatureAttention(Mixer):
  """y_t = φ(q_t)ᵀ Σ φ(k_s) v_sᵀ / φ(q_t)ᵀ Σ φ(k_s) for a feature map φ that subclasses define, without biases.

  The bidirectional form sums over all tokens of the document. The state is float32 `[b h k v]`, and `[b h k]` of the
  normaliser.
  """

  @dataclass(frozen=True)
  class Options(HeadOptions):
    """The options of linear attention, beside those of `HeadOptions`.

    position  `rotary` turns φ(q) and φ(k) in the numerator only (Su et al. 2021, equation 19)
    """

    position: str = 'none'

    def __post_init__(self) -> None:
      super().__post_init__()
      check_position(self.position)

  can_be_split: ClassVar[bool] = True
  positions: ClassVar[tuple[str, ...]] = ('rotary',)
  stabilised: ClassVar[bool] = False
  epsilon: ClassVar[float] = 1e-6  # added to the normaliser, as in the paper's code

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.position, self.chunk = self.options.position, self.options.chunk
    self.heads = by_head.count_heads(form.width, self.options.heads, self.position)
    self.head_dim = form.width // self.heads
    self.features = self.head_dim
    embed, by_heads = {'embed': form.width}, {'heads': self.heads, 'head_dim': self.head_dim}
    query, key, value = by_head.draw_together(rngs, form.width, *(form.width,) * 3)
    self.query = Dense(embed, by_heads, kernel=query, dtype=form.dtype)
    self.key = Dense(embed, by_heads, kernel=key, dtype=form.dtype)
    self.value = Dense(embed, by_heads, kernel=value, dtype=form.dtype)
    self.output = Dense(by_heads, embed, rngs=rngs, dtype=form.dtype)

  def feature_map(self, q: jax.Array, k: jax.Array, key: Key | None) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Return φ(q) and φ(k) [b t h features], and if `stabilised` the log of a factor left out of φ(k) [b t h]."""
    raise NotImplementedError

  def state_spec(self, batch: int, max_length: int) -> dict[str, StateSpec]:
    del max_length
    spec = {
      's': by_head.sum_spec(batch, self.heads, self.features, self.head_dim),
      'n': StateSpec((batch, self.heads, self.features), (BATCH, 'heads', 'key_dim')),
    }
    if self.stabilised:
      spec['m'] = StateSpec((batch, self.heads), (BATCH, 'heads'))
    return spec | by_head.position_spec(batch, self.position)

  def init_state(self, batch: int, max_length: int) -> State:
    state = super().init_state(batch, max_length)
    return state | {'m': jnp.full_like(state['m'], kernel.NOTHING)} if self.stabilised else state

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    del memory
    total = self.feature_flops() + self._sum_flops(self.head_dim, length)
    return total + self._sum_flops(1, length) if self.position == 'rotary' else total

  def feature_flops(self) -> float:
    """Return the FLOPs a token of φ(q) and φ(k)."""
    return 0.0

  def _sum_flops(self, v: int, length: int) -> float:
    """Return those of sums over values `v` wide. Bidirectional, the sum is one, over all tokens at once."""
    kernels = self.kernels if self.causal else 'reference'
    return kernel.flops(self.features, v, self.heads, length, chunk=self.chunk, kernels=kernels)

  def mix(self, x: Activations, state: State | None, context: Context) -> tuple[Activations, State | None]:
    start = self.init_state(x.shape[0], 0) if state is None else state
    q, k, v = self.query(x), self.key(x), self.value(x)
    # The keys in a state have the fixed features: no other draw goes with it.
    q, k, log_input = self.feature_map(q, k, context.key if state is None else None)
    if self.position == 'rotary':
      where, end = positions.advance(start['position'], x.shape[1], context.documents)
      sums = {name: a for name, a in start.items() if name in ('s', 'm')}
      turned = positions.rotary(q, where), positions.rotary(k, where)
      (y, _, _), new = self._sums(*turned, v, sums, log_input, context)
      ones = jnp.ones_like(v[..., :1])
      normaliser, ends = self._sums(q, k, ones, sums | {'s': start['n'][..., None]}, log_input, context)
      n = normaliser.y[..., 0]
      new = new | {'n': ends['s'][..., 0], 'position': end}
    else:
      (y, n, _), new = self._sums(q, k, v, start, log_input, context)
    y = y / (n[..., None] + self.epsilon)
    return self.output(y), None if state is None else new

  def _sums(
    self, q: jax.Array, k: jax.Array, v: jax.Array, state: State, log_input: jax.Array | None, context: Context
  ) -> tuple[kernel.Sums, State]:
    settings: dict[str, Any] = {
      'log_input': log_input,
      'documents': context.documents,
      'chunk': self.chunk,
      'kernels': self.kernels,
      'dtype': self.dtype,
    }
    if not self.causal:
      return kernel.whole(q, k, v, **settings), state
    return kernel.linear_attention(q, k, v, state, **settings)


class LinearAttention(FeatureAttention):
  """φ = elu + 1, which has as many features as a head is wide (Katharopoulos et al. 2020)."""

  def feature_map(self, q: jax.Array, k: jax.Array, key: Key | None) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    del key
    return elu_plus_one(q), elu_plus_one(k), None
