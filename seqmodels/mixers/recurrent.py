"""Recurrent mixers: Elman RNN, LSTM, GRU. The state is a fixed number of vectors, whatever the length."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.kernels import recurrent
from seqmodels.mixers.base import Direction, Directional
from seqmodels.notation import Activations


class Recurrence(Direction):
  """The weights of a cell.

  Input weights are LeCun normal, recurrent weights orthogonal gate by gate (Saxe et al., 2014), biases zero.
  """

  cell: str
  gates: int
  carries: tuple[str, ...] = ('h',)
  kernel: Callable[..., Any]

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

  def project(self, x: Activations) -> Float[Array, 'b t z']:
    kernel, _, bias, *_ = self.weights()
    return recurrent.project(x, kernel, bias, self.dtype)

  def weights(self) -> tuple[jax.Array, ...]:
    by_gate = lambda a: a[...].reshape(*a.shape[:-1], self.gates, self.size)
    return by_gate(self.input_kernel), by_gate(self.recurrent_kernel), by_gate(self.bias)

  def __call__(self, x, state, reset, mask, projected=None):
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'backend': self.implementation, 'dtype': self.dtype}
    carry = (state[name] for name in self.carries)
    y, *carry = self.kernel(x, *carry, *self.weights(), projected=projected, **how)
    return y, dict(zip(self.carries, carry, strict=True))


class RNNRecurrence(Recurrence):
  gates = 1
  cell, kernel = 'rnn', staticmethod(recurrent.rnn)


class LSTMRecurrence(Recurrence):
  """The forget gate's bias starts at 1 (Jozefowicz et al., 2015)."""

  gates = 4
  carries = ('h', 'c')
  cell, kernel = 'lstm', staticmethod(recurrent.lstm)

  def __init__(self, width: int, size: int, *, rngs: nnx.Rngs, implementation: str, dtype: DTypeLike):
    super().__init__(width, size, rngs=rngs, implementation=implementation, dtype=dtype)
    self.bias[...] = self.bias[...].at[size : 2 * size].set(1.0)


class GRURecurrence(Recurrence):
  gates = 3
  cell, kernel = 'gru', staticmethod(recurrent.gru)

  def __init__(self, width: int, size: int, *, rngs: nnx.Rngs, implementation: str, dtype: DTypeLike):
    super().__init__(width, size, rngs=rngs, implementation=implementation, dtype=dtype)
    self.recurrent_bias = nnx.Param(jnp.zeros((size,), jnp.float32))

  def weights(self) -> tuple[jax.Array, ...]:
    return *super().weights(), self.recurrent_bias[...]


class Recurrent(Directional):
  """A cell over time; see `Directional` for the two-directional form.

  implementation: a backend of the kernels (`seqmodels/kernels`).
  """

  implementations = ('auto', 'xla', 'reference', 'cpu')
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
    self.implementation = implementation
    how: dict[str, Any] = {'rngs': rngs, 'implementation': implementation, 'dtype': self.dtype}
    self.set_directions(lambda size: self.recurrence(width, size, **how))


class RNN(Recurrent):
  """Elman (1990)."""

  recurrence = RNNRecurrence


class LSTM(Recurrent):
  """Hochreiter & Schmidhuber (1997), with the forget gate of Gers et al. (2000)."""

  recurrence = LSTMRecurrence


class GRU(Recurrent):
  """Cho et al. (2014), "reset after" form."""

  recurrence = GRURecurrence
