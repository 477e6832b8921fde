"""The convolutional LSTM (Shi et al. 2015) as a mixer: every token is an image, and so is the state."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import BATCH, Context, StateSpec
from seqmodels.errors import InputError
from seqmodels.kernels import conv_lstm as kernel
from seqmodels.layers import parameter
from seqmodels.layers.dense import lecun_normal
from seqmodels.mixers.base import Form, Mixer
from seqmodels.mixers.options import LARGEST, check_range
from seqmodels.notation import Activations, State

LARGEST_KERNEL = 63
PARTS = ('h', 'c')


class ConvLSTM(Mixer):
  """An LSTM over images: a token [d] is read as height × width places of d / (height · width) channels, row by row.

  Input weights are LeCun normal, recurrent weights orthogonal at the middle of the kernel, gate by gate, and zero
  around it: at first every place is an LSTM of its own. The forget gate's bias starts at 1, other biases and peepholes
  at 0. Each direction in time would be half of the channels of a place, so the mixer is for causal models only.
  """

  can_be_bidirectional = False

  @dataclass(frozen=True)
  class Options:
    """The options of the convolutional LSTM.

    image_height, image_width  places of the image; 0: those of the task's inputs, which no others can take the place
                  of; one place if the inputs are no images
    image_kernel  rows and columns of the kernels, odd; fewer where no two places are so far from each other
    peepholes     whether the gates see the cell, as in the paper; most programs since do without
    """

    image_height: int = 0
    image_width: int = 0
    image_kernel: int = 3
    peepholes: bool = False

    def __post_init__(self) -> None:
      check_range(self, 0, LARGEST, 'image_height', 'image_width')
      if not (1 <= self.image_kernel <= LARGEST_KERNEL and self.image_kernel % 2):
        raise InputError(f'mixer.image_kernel={self.image_kernel} must be odd, from 1 to {LARGEST_KERNEL}')

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    own = self.options.image_height, self.options.image_width
    height, width = (mine or of_task for mine, of_task in zip(own, form.image, strict=True))
    if form.image not in ((1, 1), (height, width)):
      raise InputError(
        f'mixer.image_height={height} and mixer.image_width={width} must be 0 or those of the images of the task, '
        f'{form.image[0]} and {form.image[1]}'
      )
    if form.width % (height * width):
      raise InputError(
        f'mixer.image_height={height} times mixer.image_width={width} must divide model.width={form.width}: a token is '
        f'an image of {height * width} places with equally many channels'
      )
    self.height, self.image_width, self.channels = height, width, form.width // (height * width)
    self._draw(rngs)

  def _draw(self, rngs: nnx.Rngs) -> None:
    channels, key = self.channels, rngs.params()
    rows, columns = (min(self.options.image_kernel, 2 * side - 1) for side in (self.height, self.image_width))
    axes = 'kernel_height', 'kernel_width', 'gate', 'hidden'
    drawn = lecun_normal(key, (channels * rows * columns, 4 * channels)).astype(jnp.float32)
    self.input_kernel = parameter(drawn.reshape(channels, rows, columns, 4, channels), ('embed', *axes))
    recurrent = jnp.zeros((channels, rows, columns, 4, channels))
    recurrent = recurrent.at[:, rows // 2, columns // 2].set(_orthogonal(key, channels))
    self.recurrent_kernel = parameter(recurrent, ('recurrent', *axes))
    self.bias = parameter(jnp.zeros((4, channels)).at[1].set(1.0), ('gate', 'hidden'))
    peepholes = jnp.zeros((3, self.height, self.image_width, channels))
    names = 'gate', 'height', 'width', 'hidden'
    self.peephole_scale = parameter(peepholes, names) if self.options.peepholes else None

  def state_spec(self, batch: int, max_length: int) -> dict[str, StateSpec]:
    del max_length
    shape = (batch, self.height, self.image_width, self.channels)
    return dict.fromkeys(PARTS, StateSpec(shape, (BATCH, 'height', 'width', 'hidden')))

  def mix(self, x: Activations, state: State | None, context: Context) -> tuple[Activations, State | None]:
    return self._run(self._images(x), None, state, context)

  def project(self, x: Activations) -> Float[Array, 'b t h w z']:
    """Return the input's share of every gate, in float32."""
    return kernel.project(self._images(x), self.input_kernel[...], self.bias[...], self.dtype)

  def from_projection(
    self, projected: Float[Array, 'b t h w z'], state: State, context: Context
  ) -> tuple[Activations, State]:
    context = context.with_documents(context.documents.counted())
    unread = jnp.zeros((*projected.shape[:4], self.channels), self.dtype)
    y, state = self._run(unread, projected, state, context)
    return y, state

  def mixing_flops(self, length: int, memory: int = 0) -> float:
    """See `Mixer`: every weight of a kernel is multiplied at every place, those beyond the edges with zeros."""
    del length, memory
    weights = self.input_kernel.size + self.recurrent_kernel.size
    return 2.0 * weights * (self.height * self.image_width - 1)

  def _images(self, x: Activations) -> Float[Array, 'b t h w c']:
    return x.reshape(*x.shape[:2], self.height, self.image_width, self.channels)

  def _run(
    self, x: jax.Array, projected: jax.Array | None, state: State | None, context: Context
  ) -> tuple[Activations, State | None]:
    """Return what a call returns. On a mesh the channels are not split: every step would gather them."""
    start = self.init_state(x.shape[0], 1) if state is None else state
    h, c = (context.pin(start[part], BATCH, 'height', 'width', 'unit') for part in PARTS)
    names = 'kernel_height', 'kernel_width', 'gate', 'unit'
    scale = self.peephole_scale
    y, (h, c) = kernel.conv_lstm(
      x,
      (h, c),
      context.gather(self.input_kernel[...], 'embed', *names),
      context.gather(self.recurrent_kernel[...], 'recurrent', *names),
      context.pin(self.bias[...], 'gate', 'unit'),
      None if scale is None else context.pin(scale[...], 'gate', 'height', 'width', 'unit'),
      projected=projected,
      documents=context.documents,
      kernels=self.kernels,
      dtype=self.dtype,
    )
    return y.reshape(*y.shape[:2], self.width), None if state is None else {'h': h, 'c': c}


def _orthogonal(key: jax.Array, channels: int) -> Float[Array, 'c 4 c']:
  """Return recurrent weights of four gates; one at a time, as in `recurrent.Cell`."""
  draw = lambda key: nnx.initializers.orthogonal()(key, (channels, channels), jnp.float32)
  return jax.lax.map(draw, jax.random.split(jax.random.fold_in(key, 1), 4)).swapaxes(0, 1)
