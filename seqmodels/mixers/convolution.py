"""Causal convolution as a mixer: depthwise over time, then pointwise over channels."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import Context, StateSpec
from seqmodels.errors import InputError
from seqmodels.layers import CausalConvolution, Dense
from seqmodels.layers.convolution import draw_taps
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.mixers.options import LARGEST, LONGEST_REACH, MOST_TAPS, check_range
from seqmodels.notation import Activations, State


class Convolution(Directional):
  """Depthwise separable causal convolution (Chollet 2017; causal and dilated as in van den Oord et al. 2016)."""

  @dataclass(frozen=True)
  class Options:
    """The options of the convolution.

    kernel_size  taps over time
    dilation     positions between two taps: a layer sees the last (kernel_size - 1) · dilation + 1 positions. Doubling
                 it from layer to layer makes a temporal convolutional network (Bai et al. 2018)
    """

    kernel_size: int = 8
    dilation: int = 1

    def __post_init__(self) -> None:
      check_range(self, 1, MOST_TAPS, 'kernel_size')
      check_range(self, 1, LARGEST, 'dilation')
      reach = (self.kernel_size - 1) * self.dilation
      if reach > LONGEST_REACH:
        product = f'(mixer.kernel_size={self.kernel_size} - 1) * mixer.dilation={self.dilation} is {reach}'
        raise InputError(f'{product}; it must be at most {LONGEST_REACH}')

  can_be_split: ClassVar[bool] = True

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.set_directions(lambda size: SeparableConvolution(form, size, self.options, rngs=rngs))


class SeparableConvolution(Direction):
  """W · SiLU(taps * x + bias): weights are LeCun normal over what they sum, biases zero."""

  def __init__(self, form: Form, size: int, options: Convolution.Options, *, rngs: nnx.Rngs) -> None:
    hidden, taps = {'hidden': form.width}, draw_taps(rngs, options.kernel_size, form.width)
    self.depthwise = CausalConvolution(hidden, taps, bias=True, dilation=options.dilation)
    self.output = Dense(hidden, {'embed': size}, rngs=rngs, dtype=form.dtype)
    self.size = size

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    return {'inputs': self.depthwise.state_spec(batch)}

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    y, inputs = self.depthwise(x, state['inputs'], context)
    return self.output(jax.nn.silu(y), jnp.float32), {'inputs': inputs}
