"""Gated linear attention: every feature of the key forgets at its own, data-dependent rate."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import Context, StateSpec
from seqmodels.kernels import gated_linear_attention as kernel
from seqmodels.layers import Dense, Norm
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.mixers.options import LARGEST, HeadOptions, check_range
from seqmodels.notation import Activations, State

TEMPERATURE = 16.0  # the decay is σ(·)^(1/16): slow from the start


class GLA(Directional):
  """Yang et al. (2024), Gated linear attention; see `Directional` for the two-directional form."""

  @dataclass(frozen=True)
  class Options(HeadOptions):
    """The options of GLA, beside those of `HeadOptions`.

    gate_rank  width between the two matrices of the decay
    """

    gate_rank: int = 16

    def __post_init__(self) -> None:
      super().__post_init__()
      check_range(self, 1, LARGEST, 'gate_rank')

  can_be_split: ClassVar[bool] = True

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    multiple = by_head.multiple(self.options.heads)
    self.set_directions(lambda size: GLADirection(form, size, self.options, rngs=rngs), multiple)


class GLADirection(Direction):
  """S_t = diag(α_t) S_{t-1} + k_t v_tᵀ with α = σ(X W_1 W_2 + b)^(1/16); (swish(X W_r) ⊙ norm(q_t S_t)) W_O.

  Keys are half as wide as values (Yang et al. 2024).
  """

  def __init__(self, form: Form, size: int, options: GLA.Options, *, rngs: nnx.Rngs) -> None:
    self.heads = by_head.count_heads(size, options.heads)
    self.value_dim, self.key_dim = size // self.heads, -(-size // (2 * self.heads))
    self.size, self.chunk = size, options.chunk
    self.kernels, self.dtype = form.kernels, jnp.dtype(form.dtype)
    embed, keys = {'embed': form.width}, {'heads': self.heads, 'key_dim': self.key_dim}
    values, low = {'heads': self.heads, 'value_dim': self.value_dim}, {'rank': options.gate_rank}
    columns = self.heads * self.key_dim, self.heads * self.key_dim, size, size, options.gate_rank
    query, key, value, gate, down = by_head.draw_together(rngs, form.width, *columns)
    self.query = Dense(embed, keys, kernel=query, dtype=form.dtype)
    self.key = Dense(embed, keys, kernel=key, dtype=form.dtype)
    self.value = Dense(embed, values, kernel=value, dtype=form.dtype)
    self.gate = Dense(embed, values, kernel=gate, dtype=form.dtype)
    self.decay_down = Dense(embed, low, kernel=down, dtype=form.dtype)
    self.decay_up = Dense(low, keys, rngs=rngs, bias=True, dtype=form.dtype)
    self.norm = Norm(values, axes=1)
    self.output = Dense(values, {'embed': size}, rngs=rngs, dtype=form.dtype)

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    return {'s': by_head.sum_spec(batch, self.heads, self.key_dim, self.value_dim)}

  def mixing_flops(self, length: int) -> float:
    return kernel.flops(self.key_dim, self.value_dim, self.heads, length, chunk=self.chunk, kernels=self.kernels)

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    q, k, v, gate = self.query(x), self.key(x), self.value(x), self.gate(x)
    log_decay = jax.nn.log_sigmoid(self.decay_up(self.decay_down(x), jnp.float32)) / TEMPERATURE
    y, s = kernel.gated_linear_attention(
      q * self.key_dim**-0.5,
      k,
      v,
      log_decay,
      state['s'],
      documents=context.documents,
      chunk=self.chunk,
      kernels=self.kernels,
      dtype=self.dtype,
    )
    return self.output(jax.nn.silu(gate.astype(jnp.float32)) * self.norm(y)), {'s': s}
