"""Recurrent mixers: Elman RNN, LSTM, GRU. The state is a fixed number of vectors, whatever the length."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.errors import InputError, unknown
from seqmodels.kernels import recurrent
from seqmodels.mixers.base import Mixer
from seqmodels.notation import Activations, Flags, State


class Recurrence(nnx.Module):
  """One direction: the weights of a cell.

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

  def __call__(
    self, x: Activations, state: State, reset: Flags | None, mask: Flags | None
  ) -> tuple[Float[Array, 'b t e'], dict[str, jax.Array]]:
    raise NotImplementedError


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


class Recurrent(Mixer):
  """A recurrence over time; with `causal=False` one each way, each of half the width (Schuster & Paliwal, 1997).

  implementation: `fused` or `scan` (see `kernels/recurrent.py`).
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
    implementation: str = 'fused',
  ):
    super().__init__(width, rngs=rngs, causal=causal, dtype=dtype)
    if implementation not in self.implementations:
      raise unknown('mixer.implementation', implementation, self.implementations)
    if not causal and width < 2:
      raise InputError(f'width={width} must be at least 2 for two directions')
    backward = 0 if causal else width // 2
    make = functools.partial(self.recurrence, width, rngs=rngs, implementation=implementation, dtype=self.dtype)
    self.forward = make(size=width - backward)
    if not causal:
      self.backward = make(size=backward)

  def init_state(self, batch: int, max_length: int) -> State:
    del max_length
    return self.forward.init_state(batch)

  def __call__(
    self,
    x: Activations,
    state: State | None = None,
    *,
    reset: Flags | None = None,
    mask: Flags | None = None,
    rngs: nnx.Rngs | None = None,
  ) -> tuple[Activations, State | None]:
    del rngs
    self.check_call(x, state)
    if reset is not None and mask is not None:
      reset = reset & mask
    start = self.forward.init_state(x.shape[0]) if state is None else state
    y, end = self.forward(x, start, reset, mask)
    if not self.causal:
      y = jnp.concatenate([y, self._from_the_end(x, reset, mask)], axis=-1)
    return y, None if state is None else end

  def _from_the_end(self, x: Activations, reset: Flags | None, mask: Flags | None) -> Float[Array, 'b t e']:
    # A document that starts at t ends at t - 1: read backwards, t - 1 is where everything is forgotten.
    ends = None if reset is None else jnp.roll(reset, -1, axis=1).at[:, -1].set(False)
    ends, mask = (None if flags is None else jnp.flip(flags, 1) for flags in (ends, mask))
    y, _ = self.backward(jnp.flip(x, 1), self.backward.init_state(x.shape[0]), ends, mask)
    return jnp.flip(y, 1)


class RNN(Recurrent):
  """Elman (1990)."""

  recurrence = RNNRecurrence


class LSTM(Recurrent):
  """Hochreiter & Schmidhuber (1997), with the forget gate of Gers et al. (2000)."""

  recurrence = LSTMRecurrence


class GRU(Recurrent):
  """Cho et al. (2014), "reset after" form."""

  recurrence = GRURecurrence
