"""minGRU and minLSTM (Feng et al., 2024, "Were RNNs all we needed?"): gates that see the input only.

The states are then diagonal linear recurrences, parallel in time. These are the paper's vanilla equations (its
algorithms for the parallel mode without logarithms): candidates are any real numbers. Its log-space form exists because
a parallel scan by cumulative sums overflows, and passes candidates through a positive g(x). Neither is needed here: the
recurrence is computed as it stands.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.kernels import diagonal
from seqmodels.kernels.projection import time_major
from seqmodels.mixers.base import Direction, Directional
from seqmodels.notation import Activations


class MinimalRecurrence(Direction):
  """One projection for gates and candidate: LeCun normal weights, zero biases."""

  projections: int

  def __init__(self, width: int, size: int, *, rngs: nnx.Rngs, implementation: str, dtype: DTypeLike):
    kernel = nnx.initializers.lecun_normal()
    self.kernel = nnx.Param(kernel(rngs.params(), (width, self.projections * size), jnp.float32))
    self.bias = nnx.Param(jnp.zeros((self.projections * size,), jnp.float32))
    self.size = size
    self.implementation = implementation
    self.dtype = dtype

  def init_state(self, batch: int) -> dict[str, jax.Array]:
    return {'h': jnp.zeros((batch, self.size), jnp.float32)}

  def decay_and_input(self, *projected: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(a, b) of h = a h + b."""
    raise NotImplementedError

  def project(self, x: Activations) -> Float[Array, 'b t z']:
    return self._project(x).swapaxes(0, 1)

  def _project(self, x: Activations) -> Float[Array, 't b z']:
    return time_major(x, self.kernel[...], self.bias[...], self.dtype)

  def __call__(self, x, state, reset, mask, projected=None):
    projected = self._project(x) if projected is None else projected.swapaxes(0, 1)
    a, b = self.decay_and_input(*jnp.split(projected, self.projections, axis=-1))
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'backend': self.implementation}
    y, h = diagonal.diagonal(a, b, state['h'], **how)
    return y.astype(self.dtype).swapaxes(0, 1), {'h': h}


class MinGRURecurrence(MinimalRecurrence):
  """h = (1 - z) h + z h̃ with z = σ(W_z x + b_z), h̃ = W_h x + b_h; projections in the order z, h̃."""

  projections = 2

  def decay_and_input(self, *projected):
    update, candidate = projected
    return jax.nn.sigmoid(-update), jax.nn.sigmoid(update) * candidate


class MinLSTMRecurrence(MinimalRecurrence):
  """h = f' h + i' h̃ with f' = f / (f + i), i' = i / (f + i), f = σ(W_f x + b_f), i = σ(W_i x + b_i); order f, i, h̃."""

  projections = 3

  def decay_and_input(self, *projected):
    forget, take, candidate = projected
    # f / (f + i) = σ(log f - log i), which does not divide 0 by 0 where both gates are shut.
    odds = jax.nn.softplus(-take) - jax.nn.softplus(-forget)
    return jax.nn.sigmoid(odds), jax.nn.sigmoid(-odds) * candidate


class MinimalRecurrent(Directional):
  """implementation: `auto`, `scan`, `associative` or `native` (see `kernels/diagonal.py`)."""

  implementations = ('auto', 'reference', 'associative', 'cpu')
  recurrence: type[MinimalRecurrence]

  def __init__(
    self,
    width: int,
    *,
    rngs: nnx.Rngs,
    causal: bool = True,
    dtype: DTypeLike = jnp.float32,
    implementation: str = 'auto',
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    self.check_implementation(implementation)
    how: dict[str, Any] = {'rngs': rngs, 'implementation': implementation, 'dtype': self.dtype}
    self.set_directions(lambda size: self.recurrence(width, size, **how))


class MinGRU(MinimalRecurrent):
  """Feng et al. (2024), section 3.1."""

  recurrence = MinGRURecurrence


class MinLSTM(MinimalRecurrent):
  """Feng et al. (2024), section 3.2, in the time-independent form, whose gates are normalised to sum to one."""

  recurrence = MinLSTMRecurrence
