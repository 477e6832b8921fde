"""sLSTM (Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory"): exponential gates, a normaliser, heads."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import BATCH, Context, StateSpec
from seqmodels.errors import InputError
from seqmodels.kernels import slstm as kernel
from seqmodels.layers import CausalConvolution, Dense, Norm, parameter
from seqmodels.layers.convolution import draw_taps
from seqmodels.layers.dense import by_row
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.mixers.options import LARGEST, MOST_TAPS, check_range
from seqmodels.notation import Activations, State

PARTS = ('h', 'c', 'n', 'm')
HEADS, SMALLEST_HEAD = 4, 8  # where `heads` is not given


class SLSTM(Directional):
  """The sLSTM layer of the paper's figure 10, without the projections around it: those are the block's."""

  @dataclass(frozen=True)
  class Options:
    """The options of the sLSTM.

    heads           blocks of the recurrent weights; 0: up to four of at least eight channels
    temporal_width  taps of the convolution before the input and forget gates; 0: none
    """

    heads: int = 0
    temporal_width: int = 4

    def __post_init__(self) -> None:
      check_range(self, 0, LARGEST, 'heads')
      check_range(self, 0, MOST_TAPS, 'temporal_width')

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    heads = self.options.heads or _choose_heads(form)
    if form.width % heads:
      raise InputError(f'heads={heads} must divide width={form.width}')
    make = lambda size: ExponentialRecurrence(form, size, heads, self.options.temporal_width, rngs=rngs)
    self.set_directions(make, heads)


class ExponentialRecurrence(Direction):
  """The cell, with a convolution in front of its input and forget gates and a norm over each head behind it.

  Initialised as the authors' code: recurrent weights zero, forget biases from 5 down to -7 along each head by a power
  law (whose exponent grows from 0.3 to 1.6 over a model's layers; here 0.95, that of the middle), other biases zero.
  Input weights are LeCun normal.
  """

  def __init__(self, form: Form, size: int, heads: int, temporal_width: int, *, rngs: nnx.Rngs) -> None:
    head_dim = size // heads
    embed, by_heads = {'embed': form.width}, {'heads': heads, 'head_dim': head_dim}
    two_gates = {'heads': heads, 'gate': 2, 'head_dim': head_dim}
    self.input_forget = Dense(embed, two_gates, rngs=rngs, bias=True, dtype=form.dtype)
    self.cell_output = Dense(embed, two_gates, rngs=rngs, bias=True, dtype=form.dtype)
    forget = 5 - 12 * (jnp.arange(head_dim) / max(head_dim - 1, 1)) ** 0.95
    assert self.input_forget.bias is not None
    self.input_forget.bias[...] = self.input_forget.bias[...].at[:, 1].set(forget[None, :])
    recurrent = jnp.zeros((heads, head_dim, 4, head_dim), jnp.float32)
    self.recurrent_kernel = parameter(recurrent, ('heads', 'recurrent', 'gate', 'head_dim'))
    self.norm = Norm(by_heads, 'layer', axes=1, bias=False)
    taps = draw_taps(rngs, temporal_width, form.width) if temporal_width else None
    self.convolution = None if taps is None else CausalConvolution(embed, taps, bias=True)
    self.size, self.heads, self.head_dim = size, heads, head_dim
    self.kernels, self.dtype = form.kernels, jnp.dtype(form.dtype)

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    spec = StateSpec((batch, self.heads, self.head_dim), (BATCH, 'heads', 'head_dim'))
    specs = dict.fromkeys(PARTS, spec)
    return specs if self.convolution is None else specs | {'inputs': self.convolution.state_spec(batch)}

  def init_state(self, batch: int) -> State:
    state = super().init_state(batch)
    return state | {'m': jnp.full_like(state['m'], kernel.NOTHING)}

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    smooth, new = x, {}
    if self.convolution is not None:
      smooth, new['inputs'] = self.convolution(x, state['inputs'], context)
      smooth = jax.nn.silu(smooth)
    projected = _by_head(smooth, self.input_forget, context), _by_head(x, self.cell_output, context)
    gates = jnp.concatenate(projected, axis=3)  # [t heads b gate head_dim]
    hs, carry = kernel.slstm(
      gates.reshape(*gates.shape[:3], -1),
      tuple(state[part].swapaxes(0, 1) for part in PARTS),
      self.recurrent_kernel[...].reshape(self.heads, self.head_dim, -1),
      documents=context.documents,
      kernels=self.kernels,
      dtype=self.dtype,
    )
    new |= {part: a.swapaxes(0, 1) for part, a in zip(PARTS, carry, strict=True)}
    y = self.norm(hs.transpose(2, 0, 1, 3))  # [b t heads head_dim]
    return y.reshape(*x.shape[:2], self.size).astype(self.dtype), new


def _by_head(x: Activations, layer: Dense, context: Context) -> Float[Array, 't h b g k']:
  """Return layer(x), time and heads first, in float32."""
  y = by_row(lambda rows: layer.as_matrix(rows, jnp.float32), x.swapaxes(0, 1), context)
  return y.swapaxes(1, 2)


def _choose_heads(form: Form) -> int:
  """Return up to `HEADS` heads of at least `SMALLEST_HEAD` channels, in every direction."""
  smallest = form.width if form.causal else form.width // 2
  fits = lambda heads: math.gcd(heads, form.width, smallest) == heads
  return max(heads for heads in (1, 2, HEADS) if heads == 1 or (fits(heads) and smallest >= heads * SMALLEST_HEAD))
