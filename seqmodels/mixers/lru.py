"""Linear Recurrent Unit (Orvieto et al., 2023, "Resurrecting Recurrent Neural Networks for Long Sequences")."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.errors import InputError
from seqmodels.kernels import diagonal
from seqmodels.kernels.projection import batch_major, time_major
from seqmodels.mixers.base import Direction, Directional
from seqmodels.notation import Activations, Flags, State


class LinearRecurrence(Direction):
  """Re(C h) with h_t = λ ⊙ h_{t-1} + exp(γ_log) ⊙ B x_t, all complex, λ = exp(-exp(ν_log) + i exp(θ_log)).

  |λ|² is uniform in [r_min², r_max²], the phase uniform in [0, max_phase], and γ = √(1 - |λ|²). B and C hold the real
  parts first, then the imaginary parts, along the state's axis.
  """

  def __init__(
    self,
    width: int,
    size: int,
    *,
    rngs: nnx.Rngs,
    state_size: int,
    r_min: float,
    r_max: float,
    max_phase: float,
    implementation: str,
    dtype: DTypeLike,
  ):
    squared = jax.random.uniform(rngs.params(), (state_size,), minval=r_min**2, maxval=r_max**2)
    squared = jnp.clip(squared, 1e-6, 1 - 1e-6)  # the logarithms below
    phase = jax.random.uniform(rngs.params(), (state_size,), minval=1e-6, maxval=max_phase)
    self.nu_log = nnx.Param(jnp.log(-0.5 * jnp.log(squared)))
    self.theta_log = nnx.Param(jnp.log(phase))
    self.gamma_log = nnx.Param(0.5 * jnp.log1p(-squared))
    normal = lambda shape, deviation: nnx.Param(deviation * jax.random.normal(rngs.params(), shape))
    self.input_kernel = normal((width, 2 * state_size), (2 * width) ** -0.5)
    self.output_kernel = normal((2 * state_size, size), state_size**-0.5)
    self.size, self.state_size = size, state_size
    self.implementation = implementation
    self.dtype = dtype

  def init_state(self, batch: int) -> dict[str, jax.Array]:
    return {part: jnp.zeros((batch, self.state_size), jnp.float32) for part in ('re', 'im')}

  def __call__(self, x, state, reset, mask):
    size, phase = jnp.exp(-jnp.exp(self.nu_log[...])), jnp.exp(self.theta_log[...])
    decay = size * jnp.cos(phase), size * jnp.sin(phase)
    scale = jnp.tile(jnp.exp(self.gamma_log[...]), 2)
    inputs = time_major(x, self.input_kernel[...] * scale[None, :], None, self.dtype)
    re, im = jnp.split(inputs, 2, axis=-1)
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'backend': self.implementation}
    h, (re, im) = diagonal.rotating(decay, (re, im), (state['re'], state['im']), **how)
    # Re(C h) = Re C · Re h - Im C · Im h.
    sign = jnp.repeat(jnp.array([1.0, -1.0]), self.state_size)
    y = batch_major(jnp.concatenate(h, axis=-1), self.output_kernel[...] * sign[:, None], self.dtype)
    return y, {'re': re, 'im': im}


class LRU(Directional):
  """y = Re(C h) + D ⊙ x.

  state_size      complex channels; 0: as many as a direction puts out
  r_min, r_max    the ring of the first |λ|; max_phase  the largest first phase, in radians
  implementation  `auto`, `scan` or `associative` (see `kernels/diagonal.py`)
  """

  implementations = ('auto', 'reference', 'associative')

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    state_size: int = 0,
    r_min: float = 0.0,
    r_max: float = 1.0,
    max_phase: float = 2 * math.pi,
    implementation: str = 'auto',
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation)
    if state_size < 0:
      raise InputError(f'mixer.state_size={state_size} must not be negative')
    if not 0 <= r_min < r_max <= 1:
      raise InputError(f'mixer.r_min={r_min} and mixer.r_max={r_max} must be 0 <= r_min < r_max <= 1')
    if not 0 < max_phase <= 2 * math.pi:
      raise InputError(f'mixer.max_phase={max_phase} must be in (0, 2π]')
    ring: dict[str, Any] = {'r_min': r_min, 'r_max': r_max, 'max_phase': max_phase}
    how: dict[str, Any] = {'rngs': rngs, 'implementation': implementation, 'dtype': self.dtype}
    self.set_directions(lambda size: LinearRecurrence(width, size, state_size=state_size or size, **ring, **how))
    self.skip = nnx.Param(jax.random.normal(rngs.params(), (width,)))

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: nnx.Rngs | None = None,
    projected: Float[Array, 'b t z'] | None = None,
  ) -> tuple[Activations, State | None]:
    y, state = super().__call__(x, state, reset=reset, mask=mask, rngs=rngs, projected=projected)
    return y + self.skip[...].astype(self.dtype)[None, None, :] * x.astype(self.dtype), state
