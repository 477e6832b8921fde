"""Gated DeltaNet: a linear attention that replaces what a key recalls instead of adding to it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import Context, StateSpec
from seqmodels.kernels import delta as kernel
from seqmodels.layers import CausalConvolution, Dense, Norm
from seqmodels.layers.convolution import draw_taps
from seqmodels.mixers import heads as by_head
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.mixers.options import MOST_TAPS, HeadOptions, check_range
from seqmodels.notation import Activations, State


class GatedDelta(Directional):
  """Yang et al. (2025), Gated delta networks; see `Directional` for the two-directional form."""

  @dataclass(frozen=True)
  class Options(HeadOptions):
    """The options of the gated delta rule, beside those of `HeadOptions`.

    expand                value width as a multiple of the width; 2 in the paper, whose keys are 3/4 of the width
    kernel_size           taps of the short convolution
    negative_eigenvalues  β is in (0, 2) in place of (0, 1), so that the transition I - β k kᵀ may reflect: what parity
                          needs (Grazzi et al. 2024)
    """

    expand: int = 1
    kernel_size: int = 4
    negative_eigenvalues: bool = False

    def __post_init__(self) -> None:
      super().__post_init__()
      check_range(self, 1, 64, 'expand')
      check_range(self, 1, MOST_TAPS, 'kernel_size')

  can_be_split: ClassVar[bool] = True

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    multiple = by_head.multiple(self.options.heads)
    self.set_directions(lambda size: GatedDeltaDirection(form, size, self.options, rngs=rngs), multiple)


class GatedDeltaDirection(Direction):
  """S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ; (swish(X W_g) ⊙ norm(q_t S_t)) W_O (Yang et al. 2025).

  q, k and v pass a short convolution and swish, q and k are of length one; β = σ(X W_β), and the decay is that of
  Mamba-2. The `gates` are X W_β and the input of the decay.
  """

  def __init__(self, form: Form, size: int, options: GatedDelta.Options, *, rngs: nnx.Rngs) -> None:
    self.heads, inner = by_head.count_heads(size, options.heads), options.expand * size
    self.key_dim, self.value_dim = size // self.heads, inner // self.heads
    self.size, self.chunk, self.largest_beta = size, options.chunk, 2.0 if options.negative_eigenvalues else 1.0
    self.kernels, self.dtype = form.kernels, jnp.dtype(form.dtype)
    embed, keys = {'embed': form.width}, {'heads': self.heads, 'key_dim': self.key_dim}
    values = {'heads': self.heads, 'value_dim': self.value_dim}
    query, key, value, gate = by_head.draw_together(rngs, form.width, size, size, inner, inner)
    self.query = Dense(embed, keys, kernel=query, dtype=form.dtype)
    self.key = Dense(embed, keys, kernel=key, dtype=form.dtype)
    self.value = Dense(embed, values, kernel=value, dtype=form.dtype)
    self.gate = Dense(embed, values, kernel=gate, dtype=form.dtype)
    self.gates = Dense(embed, {'gate': 2, 'heads': self.heads}, rngs=rngs, dtype=form.dtype)
    of_query, of_key, of_value = jnp.split(
      draw_taps(rngs, options.kernel_size, 2 * size + inner), [size, 2 * size], axis=1
    )
    self.query_convolution = CausalConvolution(keys, of_query)
    self.key_convolution = CausalConvolution(keys, of_key)
    self.value_convolution = CausalConvolution(values, of_value)
    self.decay = by_head.Decay(self.heads, rngs=rngs)
    self.norm = Norm(values, axes=1)
    self.output = Dense(values, {'embed': size}, rngs=rngs, dtype=form.dtype)

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    return {
      's': by_head.sum_spec(batch, self.heads, self.key_dim, self.value_dim),
      'query': self.query_convolution.state_spec(batch),
      'key': self.key_convolution.state_spec(batch),
      'value': self.value_convolution.state_spec(batch),
    }

  def mixing_flops(self, length: int) -> float:
    return kernel.flops(self.key_dim, self.value_dim, self.heads, length, chunk=self.chunk, kernels=self.kernels)

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    q, k, v, gate = self.query(x), self.key(x), self.value(x), self.gate(x)
    new = {}
    q, new['query'] = self.query_convolution(q, state['query'], context)
    k, new['key'] = self.key_convolution(k, state['key'], context)
    v, new['value'] = self.value_convolution(v, state['value'], context)
    q, k, v = (jax.nn.silu(a) for a in (q, k, v))
    gates = self.gates(x, jnp.float32)
    log_decay, _ = self.decay(gates[:, :, 1])
    y, s = kernel.gated_delta(
      by_head.unit(q) * self.key_dim**-0.5,
      by_head.unit(k),
      v,
      self.largest_beta * jax.nn.sigmoid(gates[:, :, 0]),
      log_decay,
      state['s'],
      documents=context.documents,
      chunk=self.chunk,
      kernels=self.kernels,
      dtype=self.dtype,
    )
    return self.output(jax.nn.silu(gate.astype(jnp.float32)) * self.norm(y)), new | {'s': s}
