"""Mamba-2: a selective state space whose decay is one number a head, computed as linear attention."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import Context, StateSpec
from seqmodels.kernels import linear_attention as kernel
from seqmodels.layers import CausalConvolution, Dense, Norm, parameter
from seqmodels.layers.convolution import draw_taps
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.mixers.options import LARGEST, MOST_TAPS, HeadOptions, check_range
from seqmodels.notation import Activations, State


class SSD(Directional):
  """Mamba-2's mixer (Dao & Gu 2024); see `Directional` for the two-directional form."""

  @dataclass(frozen=True)
  class Options(HeadOptions):
    """The options of SSD, beside those of `HeadOptions`, whose heads divide the inner width.

    expand                inner width as a multiple of the width
    state_width           width of B and C, the paper's N
    kernel_size           taps of the short convolution
    negative_eigenvalues  the factor of the state is 2 exp(Δ A) - 1, in (-1, 1), in place of exp(Δ A), in (0, 1): what
                          parity needs (Grazzi et al. 2024)
    """

    expand: int = 2
    state_width: int = 64
    kernel_size: int = 4
    negative_eigenvalues: bool = False

    def __post_init__(self) -> None:
      super().__post_init__()
      check_range(self, 1, 64, 'expand')
      check_range(self, 1, LARGEST, 'state_width')
      check_range(self, 1, MOST_TAPS, 'kernel_size')

  can_be_split: ClassVar[bool] = True

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    multiple = by_head.multiple(self.options.heads)
    self.set_directions(lambda size: SSDDirection(form, size, self.options, rngs=rngs), multiple)


class SSDDirection(Direction):
  """h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_tᵀ, y_t = C_t h_t + D x_t; RMSNorm(y ⊙ swish(z)) W_O (Dao & Gu 2024).

  x (`value`), B (`key`) and C (`query`) pass a short convolution and swish; all heads share B and C. z is the `gate`, Δ
  and A are the `decay`, D, the `skip`, starts at 1.
  """

  def __init__(self, form: Form, size: int, options: SSD.Options, *, rngs: nnx.Rngs) -> None:
    inner, keys = options.expand * size, options.state_width
    self.heads = by_head.count_heads(inner, options.heads)
    self.size, self.key_dim, self.value_dim = size, keys, inner // self.heads
    self.chunk, self.negative = options.chunk, options.negative_eigenvalues
    self.kernels, self.dtype = form.kernels, jnp.dtype(form.dtype)
    embed, values = {'embed': form.width}, {'heads': self.heads, 'value_dim': self.value_dim}
    shared = {'key_dim': keys}
    value, key, query, gate = by_head.draw_together(rngs, form.width, inner, keys, keys, inner)
    self.value = Dense(embed, values, kernel=value, dtype=form.dtype)
    self.key = Dense(embed, shared, kernel=key, dtype=form.dtype)
    self.query = Dense(embed, shared, kernel=query, dtype=form.dtype)
    self.gate = Dense(embed, values, kernel=gate, dtype=form.dtype)
    self.step = Dense(embed, {'heads': self.heads}, rngs=rngs, dtype=form.dtype)
    of_value, of_key, of_query = jnp.split(
      draw_taps(rngs, options.kernel_size, inner + 2 * keys), [inner, inner + keys], 1
    )
    self.value_convolution = CausalConvolution(values, of_value, bias=True)
    self.key_convolution = CausalConvolution(shared, of_key, bias=True)
    self.query_convolution = CausalConvolution(shared, of_query, bias=True)
    self.decay = by_head.Decay(self.heads, rngs=rngs)
    self.skip = parameter(jnp.ones((self.heads,)), ('heads',))
    self.norm = Norm(values)
    self.output = Dense(values, {'embed': size}, rngs=rngs, dtype=form.dtype)

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    return {
      's': by_head.sum_spec(batch, self.heads, self.key_dim, self.value_dim),
      'value': self.value_convolution.state_spec(batch),
      'key': self.key_convolution.state_spec(batch),
      'query': self.query_convolution.state_spec(batch),
    }

  def mixing_flops(self, length: int) -> float:
    sizes = self.key_dim, self.value_dim, self.heads, length
    return kernel.flops(*sizes, chunk=self.chunk, kernels=self.kernels, key_heads=1)

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    v, gate = self.value(x), self.gate(x)
    k, q = self.key(x), self.query(x)
    new = {}
    v, new['value'] = self.value_convolution(v, state['value'], context)
    k, new['key'] = self.key_convolution(k, state['key'], context)
    q, new['query'] = self.query_convolution(q, state['query'], context)
    log_decay, step = self.decay(self.step(x, jnp.float32))
    v = jax.nn.silu(v).astype(jnp.float32)
    signs, sign = jnp.ones((1, 1, 1)), jnp.ones((1, 1))
    if self.negative:
      log_decay, below = by_head.reflected(log_decay)
      signs, sign = by_head.running_signs(below, context.documents)
    (y, _, _), memory = kernel.linear_attention(
      jax.nn.silu(q)[:, :, None],
      jax.nn.silu(k)[:, :, None],
      (signs * step)[..., None] * v,
      {'s': state['s']},
      log_decay=log_decay,
      documents=context.documents,
      chunk=self.chunk,
      kernels=self.kernels,
      dtype=self.dtype,
    )
    y = (signs[..., None] * y + self.skip[...][None, None, :, None] * v) * jax.nn.silu(gate.astype(jnp.float32))
    return self.output(self.norm(y)), new | {'s': sign[..., None, None] * memory['s']}
