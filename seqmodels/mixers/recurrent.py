"""Recurrent mixers: Elman RNN, LSTM, GRU. The state is a fixed number of vectors, whatever the length."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from seqmodels.kernels import recurrent, vendor_recurrent
from seqmodels.mixers.base import Direction, Directional


class Recurrence(Direction):
  """The weights of a cell.

  Input weights are LeCun normal, recurrent weights orthogonal gate by gate (Saxe et al., 2014), biases zero.
  """

  gates: int
  carries: tuple[str, ...] = ('h',)

  def __init__(self, width: int, size: int, *, rngs: nnx.Rngs, implementation: str, dtype: DTypeLike):
    key = rngs.params()
    orthogonal = lambda key: nnx.initializers.orthogonal()(key, (size, size), jnp.float32)
    # One gate at a time: on CPU a batched QR waits for threads of the pool that runs it, and two of them at once (two
    # layers) wait for each other for ever where the pool has two threads.
    per_gate = jax.lax.map(orthogonal, jax.random.split(jax.random.fold_in(key, 1), self.gates))
    self.input_kernel = nnx.Param(nnx.initializers.lecun_normal()(key, (width, self.gates * size), jnp.float32))
    self.recurrent_kernel = nnx.Param(jnp.concatenate(list(per_gate), axis=1))
    self.bias = nnx.Param(jnp.zeros((self.gates * size,), jnp.float32))
    self.size = size
    self.implementation = implementation
    self.dtype = dtype

  def init_state(self, batch: int) -> dict[str, jax.Array]:
    return {name: jnp.zeros((batch, self.size), jnp.float32) for name in self.carries}


class RNNRecurrence(Recurrence):
  gates = 1

  def __call__(self, x, state, reset, mask):
    weights = self.input_kernel[...], self.recurrent_kernel[...], self.bias[...]
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'implementation': self.implementation, 'dtype': self.dtype}
    y, h = recurrent.rnn(x, state['h'], *weights, **how)
    return y, {'h': h}


class LSTMRecurrence(Recurrence):
  """The forget gate's bias starts at 1 (Jozefowicz et al., 2015)."""

  gates = 4
  carries = ('h', 'c')

  def __init__(self, width: int, size: int, *, rngs: nnx.Rngs, implementation: str, dtype: DTypeLike):
    super().__init__(width, size, rngs=rngs, implementation=implementation, dtype=dtype)
    self.bias[...] = self.bias[...].at[size : 2 * size].set(1.0)

  def __call__(self, x, state, reset, mask):
    weights = self.input_kernel[...], self.recurrent_kernel[...], self.bias[...]
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'implementation': self.implementation, 'dtype': self.dtype}
    y, h, c = recurrent.lstm(x, state['h'], state['c'], *weights, **how)
    return y, {'h': h, 'c': c}


class GRURecurrence(Recurrence):
  gates = 3

  def __init__(self, width: int, size: int, *, rngs: nnx.Rngs, implementation: str, dtype: DTypeLike):
    super().__init__(width, size, rngs=rngs, implementation=implementation, dtype=dtype)
    self.recurrent_bias = nnx.Param(jnp.zeros((size,), jnp.float32))

  def __call__(self, x, state, reset, mask):
    weights = self.input_kernel[...], self.recurrent_kernel[...], self.bias[...], self.recurrent_bias[...]
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'implementation': self.implementation, 'dtype': self.dtype}
    y, h = recurrent.gru(x, state['h'], *weights, **how)
    return y, {'h': h}


class Recurrent(Directional):
  """A cell over time; see `Directional` for the two-directional form.

  implementation: `auto`, `fused`, `scan`; in float32 on a CPU `native`; of the LSTM in float32 on an NVIDIA GPU
  `vendor` (see `kernels/recurrent.py`).
  """

  implementations = recurrent.IMPLEMENTATIONS
  recurrence: type[Recurrence]

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
    if implementation in self.on_some_devices:
      vendor_recurrent.check(self.dtype)
    how: dict[str, Any] = {'rngs': rngs, 'implementation': implementation, 'dtype': self.dtype}
    self.set_directions(lambda size: self.recurrence(width, size, **how))


class RNN(Recurrent):
  """Elman (1990)."""

  recurrence = RNNRecurrence


class LSTM(Recurrent):
  """Hochreiter & Schmidhuber (1997), with the forget gate of Gers et al. (2000)."""

  recurrence = LSTMRecurrence
  on_some_devices = ('vendor',)


class GRU(Recurrent):
  """Cho et al. (2014), "reset after" form."""

  recurrence = GRURecurrence
