"""Linear Recurrent Unit (Orvieto et al. 2023, "Resurrecting Recurrent Neural Networks for Long Sequences")."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import BATCH, Context, StateSpec
from seqmodels.errors import InputError
from seqmodels.kernels import diagonal
from seqmodels.layers import Dense, parameter
from seqmodels.layers.dense import batch_major, time_major
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.mixers.options import LARGEST, check_range
from seqmodels.notation import Activations, State


class LRU(Directional):
  """y = Re(C h) + D ⊙ x; see `Directional` for the two-directional form."""

  @dataclass(frozen=True)
  class Options:
    """The options of the LRU.

    state_size    complex channels; 0: as many as a direction puts out
    r_min, r_max  the ring of the first |λ|
    max_phase     the largest first phase, in radians
    """

    state_size: int = 0
    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 2 * math.pi

    def __post_init__(self) -> None:
      check_range(self, 0, LARGEST, 'state_size')
      if not 0 <= self.r_min < self.r_max <= 1:
        raise InputError(f'mixer.r_min={self.r_min} and mixer.r_max={self.r_max} must be 0 <= r_min < r_max <= 1')
      if not 0 < self.max_phase <= 2 * math.pi:
        raise InputError(f'mixer.max_phase={self.max_phase} must be in (0, 2π]')

  can_be_split: ClassVar[bool] = True

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.set_directions(lambda size: LinearRecurrence(form, size, self.options, rngs=rngs))
    self.skip = parameter(jax.random.normal(rngs.params(), (form.width,)), ('embed',))

  def mix(self, x: Activations, state: State | None, context: Context) -> tuple[Activations, State | None]:
    y, state = super().mix(x, state, context)
    return y + self.skip[...].astype(self.dtype)[None, None, :] * x, state


class LinearRecurrence(Direction):
  """Re(C h) with h_t = λ ⊙ h_{t-1} + exp(γ_log) ⊙ B x_t, all complex, λ = exp(-exp(ν_log) + i exp(θ_log)).

  |λ|² is uniform in [r_min², r_max²], the phase uniform in [0, max_phase], and γ = √(1 - |λ|²). B, the kernel of
  `input`, and C, that of `output`, have an axis for their real and imaginary parts.
  """

  def __init__(self, form: Form, size: int, options: LRU.Options, *, rngs: nnx.Rngs) -> None:
    state_size, width = options.state_size or size, form.width
    squared = jax.random.uniform(rngs.params(), (state_size,), minval=options.r_min**2, maxval=options.r_max**2)
    squared = jnp.clip(squared, 1e-6, 1 - 1e-6)  # the logarithms below
    phase = jax.random.uniform(rngs.params(), (state_size,), minval=1e-6, maxval=options.max_phase)
    self.nu_log = parameter(jnp.log(-0.5 * jnp.log(squared)), ('hidden',))
    self.theta_log = parameter(jnp.log(phase), ('hidden',))
    self.gamma_log = parameter(0.5 * jnp.log1p(-squared), ('hidden',))
    draw = lambda deviation: lambda key, shape: deviation * jax.random.normal(key, shape)
    embed, parts = {'embed': width}, {'complex': 2, 'hidden': state_size}
    self.input = Dense(embed, parts, rngs=rngs, init=draw((2 * width) ** -0.5), dtype=form.dtype)
    self.output = Dense(parts, {'embed': size}, rngs=rngs, init=draw(state_size**-0.5), dtype=form.dtype)
    self.size, self.state_size, self.kernels = size, state_size, form.kernels

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    return {part: StateSpec((batch, self.state_size), (BATCH, 'hidden')) for part in ('re', 'im')}

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    size, phase = jnp.exp(-jnp.exp(self.nu_log[...])), jnp.exp(self.theta_log[...])
    decay = size * jnp.cos(phase), size * jnp.sin(phase)
    inputs = time_major(x, self.input, context, scale=jnp.exp(self.gamma_log[...])[None, None, :])
    h, (re, im) = diagonal.rotating(
      decay,
      (inputs[:, :, 0], inputs[:, :, 1]),
      (state['re'], state['im']),
      documents=context.documents,
      kernels=self.kernels,
    )
    # Re(C h) = Re C · Re h - Im C · Im h.
    y = batch_major(jnp.stack(h, axis=2), self.output, context, scale=jnp.array([1.0, -1.0])[:, None, None])
    return y, {'re': re, 'im': im}
