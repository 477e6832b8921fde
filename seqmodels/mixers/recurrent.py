"""Recurrent mixers: Elman RNN, LSTM, GRU. The state is a fixed number of vectors, whatever the length."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from seqmodels.kernels import recurrent, vendor_recurrent
from seqmodels.mixers.base import Direction, Directional, Mixer
from seqmodels.notation import Activations, Flags, State

AHEAD = 'ahead'  # in a state: the first layer's recurrent weights times its h


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
    return recurrent.project(x, self.input_kernel[...], self.bias[...], self.dtype)

  def weights(self) -> tuple[jax.Array, ...]:
    return self.input_kernel[...], self.recurrent_kernel[...], self.bias[...]

  def __call__(self, x, state, reset, mask, projected=None):
    how: dict[str, Any] = {'reset': reset, 'mask': mask, 'implementation': self.implementation, 'dtype': self.dtype}
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
    self.implementation = implementation
    how: dict[str, Any] = {'rngs': rngs, 'implementation': implementation, 'dtype': self.dtype}
    self.set_directions(lambda size: self.recurrence(width, size, **how))

  def steps_with(self, first: Mixer) -> bool:
    """Whether one call may compute a token of both; see `one_token`."""
    return type(self) is type(first) and self.causal and self.implementation in ('auto', 'native')


def one_token(
  mixers: Sequence[Mixer],
  x: Float[Array, 'b 1 d'],
  states: Sequence[State],
  reset: Flags | None,
  mask: Flags | None,
  projected: Float[Array, 'b 1 z'] | None,
  head: tuple[jax.Array, jax.Array] | None,
) -> tuple[Float[Array, 'b 1 n'], tuple[State, ...]]:
  """One token through mixers that follow each other directly, and a dense layer behind them, in one native call."""
  layers = _layers(mixers)
  for mixer, state in zip(mixers, states, strict=True):
    mixer.check_call(x, state)
  if reset is not None:
    forgets = reset if mask is None else reset & mask
    states = jax.tree.map(lambda a: jnp.where(forgets, 0.0, a), states)
  names, ahead = layers[0].carries, states[0].get(AHEAD)
  carries = [tuple(state[name] for name in names) for state in states]
  z = layers[0].project(x) if projected is None else projected
  weights = [layer.weights() for layer in layers]
  new, ahead, out = recurrent.step(layers[0].cell, z[:, 0], ahead, carries, weights, head)
  after = [dict(zip(names, carry, strict=True)) for carry in new]
  if ahead is not None:
    after[0][AHEAD] = ahead
  if mask is not None:
    after = jax.tree.map(lambda a, old: jnp.where(mask, a, old), after, list(states))
  return (after[-1]['h'] if out is None else out)[:, None], tuple(after)


def look_ahead(mixers: Sequence[Mixer], states: tuple[State, ...]) -> tuple[State, ...]:
  """The states for `one_token`, with what it can know of the next one.

  A reset clears it like the rest of a state, since it is linear in h.
  """
  ahead = recurrent.look_ahead(states[0]['h'], _layers(mixers)[0].recurrent_kernel[...])
  return states[0] | {AHEAD: ahead}, *states[1:]


def in_one_call(mixers: Sequence[Mixer], rows: int) -> bool:
  """Whether `one_token` is for these mixers and so many rows."""
  if not all(isinstance(mixer, Recurrent) and mixer.steps_with(mixers[0]) for mixer in mixers):
    return False
  return mixers[0].dtype == jnp.float32 and recurrent.steps_natively(rows, _layers(mixers)[0].recurrent_kernel[...])


def _layers(mixers: Sequence[Mixer]) -> list[Recurrence]:
  return [mixer.forward for mixer in mixers]  # type: ignore[attr-defined]


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
