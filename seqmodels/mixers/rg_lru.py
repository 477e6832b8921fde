"""Griffin's recurrent block around the Real-Gated Linear Recurrent Unit (De et al. 2024)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import BATCH, Context, StateSpec
from seqmodels.errors import InputError
from seqmodels.kernels import diagonal
from seqmodels.layers import CausalConvolution, Dense, HeadDense, parameter
from seqmodels.layers.convolution import draw_taps
from seqmodels.layers.dense import batch_major, by_row, time_major
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.mixers.options import LARGEST, MOST_TAPS, check_range
from seqmodels.notation import Activations, State

C = 8.0  # the exponent of the paper's equation 4
HEAD_DIM = 64  # of a gate's block where `heads` is not given
SMALLEST = 1e-12  # of 1 - a², whose root has no gradient at 0


class RGLRU(Directional):
  """De et al. (2024), figure 2 (c): the whole recurrent block, with its two branches."""

  @dataclass(frozen=True)
  class Options:
    """The options of the RG-LRU.

    expansion             recurrent width as a multiple of a direction's output, rounded to a multiple of the heads
    heads                 blocks of the block-diagonal gates; 0: one for each 64 channels
    temporal_width        taps of the convolution
    negative_eigenvalues  the decay is 2a - 1, in (-1, 1), in place of a, in (0, 1): what parity needs (Grazzi et al.
                          2024)
    """

    expansion: float = 4 / 3
    heads: int = 0
    temporal_width: int = 4
    negative_eigenvalues: bool = False

    def __post_init__(self) -> None:
      if not 0 < self.expansion <= 64:
        raise InputError(f'mixer.expansion={self.expansion} must be in (0, 64]')
      check_range(self, 0, LARGEST, 'heads')
      check_range(self, 1, MOST_TAPS, 'temporal_width')

  can_be_split: ClassVar[bool] = True

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.set_directions(lambda size: GatedRecurrence(form, size, self.options, rngs=rngs))


class GatedRecurrence(Direction):
  """GELU(W_g x) ⊙ RGLRU(conv(W_x x)), then a projection; `input` has W_x and W_g along its axis `branch`.

  RG-LRU: r = σ(W_a x + b_a), i = σ(W_i x + b_i), log a = -c · softplus(-Λ) · r, h_t = a h_{t-1} + √(1 - a²) (i ⊙ x).
  Λ, `decay_logit`, starts so that a^c at r = 1 is uniform in [0.9, 0.999]; other weights are LeCun normal, biases zero.
  """

  def __init__(self, form: Form, size: int, options: RGLRU.Options, *, rngs: nnx.Rngs) -> None:
    heads = options.heads or max(1, round(options.expansion * size / HEAD_DIM))
    head_dim = max(1, round(options.expansion * size / heads))
    inner = heads * head_dim
    embed, hidden = {'embed': form.width}, {'hidden': inner}
    self.input = Dense(embed, {'branch': 2} | hidden, rngs=rngs, bias=True, dtype=form.dtype)
    self.convolution = CausalConvolution(hidden, draw_taps(rngs, options.temporal_width, inner), bias=True)
    self.gates = HeadDense(heads, head_dim, {'gate': 2, 'head_dim': head_dim}, rngs=rngs, bias=True, dtype=form.dtype)
    decay = jax.random.uniform(rngs.params(), (inner,), minval=0.9, maxval=0.999) ** (1 / C)
    self.decay_logit = parameter(jnp.log(decay) - jnp.log1p(-decay), ('hidden',))
    self.output = Dense(hidden, {'embed': size}, rngs=rngs, bias=True, dtype=form.dtype)
    self.size, self.inner, self.heads, self.negative = size, inner, heads, options.negative_eigenvalues
    self.kernels, self.dtype = form.kernels, jnp.dtype(form.dtype)

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    return {'h': StateSpec((batch, self.inner), (BATCH, 'hidden')), 'inputs': self.convolution.state_spec(batch)}

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    projected = time_major(x, self.input, context).astype(self.dtype)
    branch, gate = projected[:, :, 0], projected[:, :, 1]
    branch, inputs = self.convolution(branch.swapaxes(0, 1), state['inputs'], context)
    a, b = self._decay_and_input(branch.swapaxes(0, 1), context)
    hs, h = diagonal.diagonal(a, b, state['h'], documents=context.documents, kernels=self.kernels)
    y = batch_major(jax.nn.gelu(gate, approximate=True) * hs.astype(self.dtype), self.output, context)
    return y, {'h': h, 'inputs': inputs}

  def _decay_and_input(
    self, x: Float[Array, 't b e'], context: Context
  ) -> tuple[Float[Array, 't b e'], Float[Array, 't b e']]:
    """Return (a, √(1 - a²) (i ⊙ x)), float32, from x in the computation's dtype."""
    t, b, _ = x.shape
    by_head = x.reshape(t, b, self.heads, -1)
    gates = jax.nn.sigmoid(by_row(lambda rows: self.gates(rows, jnp.float32), by_head, context))
    r, i = (gates[:, :, :, gate].reshape(t, b, self.inner) for gate in (0, 1))
    log_a = -C * r * jax.nn.softplus(-self.decay_logit[...])[None, None, :]
    a, rest = jnp.exp(log_a), -jnp.expm1(2 * log_a)  # 1 - a²
    if self.negative:
      a, rest = 2 * a - 1, -4 * a * jnp.expm1(log_a)
    return a, jnp.sqrt(jnp.maximum(rest, SMALLEST)) * i * x.astype(jnp.float32)
