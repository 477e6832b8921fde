"""Retention: linear attention with a constant decay a head."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels import positions
from seqmodels.context import Context, StateSpec
from seqmodels.kernels import linear_attention as kernel
from seqmodels.layers import Dense, Norm
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.mixers.options import HeadOptions, check_position, check_range
from seqmodels.notation import Activations, State


class Retention(Directional):
  """Sun et al. (2023), without biases; see `Directional` for the two-directional form."""

  @dataclass(frozen=True)
  class Options(HeadOptions):
    """The options of retention, beside those of `HeadOptions`.

    position  `rotary` turns queries and keys, as in the paper
    expand    value width as a multiple of the width; 2 in the paper
    """

    position: str = 'none'
    expand: int = 2

    def __post_init__(self) -> None:
      super().__post_init__()
      check_position(self.position)
      check_range(self, 1, 64, 'expand')

  can_be_split: ClassVar[bool] = True
  positions: ClassVar[tuple[str, ...]] = ('rotary',)

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    multiple = by_head.multiple(self.options.heads, self.options.position)
    self.set_directions(lambda size: RetentionDirection(form, size, self.options, rngs=rngs), multiple)


class RetentionDirection(Direction):
  """(swish(X W_G) ⊙ GroupNorm(q_t Σ γ^(t-s) k_s v_sᵀ)) W_O, head h having γ = 1 - 2^(-5-h) (Sun et al. 2023)."""

  def __init__(self, form: Form, size: int, options: Retention.Options, *, rngs: nnx.Rngs) -> None:
    self.heads = by_head.count_heads(size, options.heads, options.position)
    inner = options.expand * size
    self.key_dim, self.value_dim = size // self.heads, inner // self.heads
    self.size, self.position, self.chunk = size, options.position, options.chunk
    self.kernels, self.dtype = form.kernels, jnp.dtype(form.dtype)
    embed, keys = {'embed': form.width}, {'heads': self.heads, 'key_dim': self.key_dim}
    values = {'heads': self.heads, 'value_dim': self.value_dim}
    query, key, value, gate = by_head.draw_together(rngs, form.width, size, size, inner, inner)
    self.query = Dense(embed, keys, kernel=query, dtype=form.dtype)
    self.key = Dense(embed, keys, kernel=key, dtype=form.dtype)
    self.value = Dense(embed, values, kernel=value, dtype=form.dtype)
    self.gate = Dense(embed, values, kernel=gate, dtype=form.dtype)
    self.norm = Norm(values, 'layer', axes=1)
    self.output = Dense(values, {'embed': size}, rngs=rngs, dtype=form.dtype)

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    memory = by_head.sum_spec(batch, self.heads, self.key_dim, self.value_dim)
    return {'s': memory} | by_head.position_spec(batch, self.position)

  def mixing_flops(self, length: int) -> float:
    return kernel.flops(self.key_dim, self.value_dim, self.heads, length, chunk=self.chunk, kernels=self.kernels)

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    b, t, _ = x.shape
    q, k, v, gate = self.query(x), self.key(x), self.value(x), self.gate(x)
    new = {}
    if self.position == 'rotary':
      where, new['position'] = positions.advance(state['position'], t, context.documents)
      q, k = positions.rotary(q, where), positions.rotary(k, where)
    log_decay = jnp.log1p(-(2.0 ** (-5.0 - jnp.arange(self.heads))))
    (y, _, _), memory = kernel.linear_attention(
      q * self.key_dim**-0.5,
      k,
      v,
      {'s': state['s']},
      log_decay=jnp.broadcast_to(log_decay[None, None], (b, t, self.heads)),
      documents=context.documents,
      chunk=self.chunk,
      kernels=self.kernels,
      dtype=self.dtype,
    )
    return self.output(jax.nn.silu(gate.astype(jnp.float32)) * self.norm(y)), new | memory
