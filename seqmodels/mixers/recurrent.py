"""Recurrent mixers: Elman RNN, LSTM, GRU. The state is a fixed number of vectors, whatever the length."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import BATCH, Context, StateSpec
from seqmodels.kernels import recurrent
from seqmodels.layers import Dense, parameter
from seqmodels.layers.dense import lecun_normal
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.notation import Activations, State


class Cell(Direction):
  """The weights of a cell, its gates along an axis of their own.

  Input weights are LeCun normal, recurrent weights orthogonal gate by gate (Saxe et al. 2014), biases zero.
  """

  gates: ClassVar[int]
  carries: ClassVar[tuple[str, ...]] = ('h',)
  kernel: ClassVar[Any]

  def __init__(self, form: Form, size: int, *, rngs: nnx.Rngs) -> None:
    key = rngs.params()
    sizes = {'gate': self.gates, 'hidden': size}
    kernel = lecun_normal(key, (form.width, self.gates * size))
    self.input = Dense({'embed': form.width}, sizes, kernel=kernel, bias=True, dtype=form.dtype)
    # One gate at a time: on CPU a batched QR waits for threads of the pool that runs it, and two of them at once (two
    # layers) wait for each other for ever where the pool has two threads.
    orthogonal = lambda key: nnx.initializers.orthogonal()(key, (size, size), jnp.float32)
    per_gate = jax.lax.map(orthogonal, jax.random.split(jax.random.fold_in(key, 1), self.gates))
    self.recurrent_kernel = parameter(per_gate.swapaxes(0, 1), ('recurrent', 'gate', 'hidden'))
    self.size, self.kernels, self.dtype = size, form.kernels, jnp.dtype(form.dtype)

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    return {name: StateSpec((batch, self.size), (BATCH, 'hidden')) for name in self.carries}

  def weights(self) -> tuple[jax.Array, ...]:
    assert self.input.bias is not None
    return self.input.kernel[...], self.recurrent_kernel[...], self.input.bias[...]

  def _pinned(self, state: State, context: Context) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """Return carries and weights, of which a mesh must not split the units: every step would gather them.

    Gates and units of a kernel are pinned as one axis, as the op multiplies by them: with an axis of four gates behind
    the product, XLA for TPU keeps the sum of its gradient whole (v5e, JAX 0.10.2).
    """
    whole = lambda a, name: context.gather(a.reshape(a.shape[0], -1), name, 'unit').reshape(a.shape)
    carries = tuple(context.pin(state[name], BATCH, 'unit') for name in self.carries)
    input_kernel, recurrent_kernel, bias, *others = self.weights()
    kernels = whole(input_kernel, 'embed'), whole(recurrent_kernel, 'recurrent')
    return carries, (*kernels, context.pin(bias, 'gate', 'unit'), *(context.pin(a, 'unit') for a in others))

  def project(self, x: Activations) -> Float[Array, 'b t g e']:
    """Return the input's share of every gate, in float32."""
    return self.input(x, jnp.float32)

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    return self._run(x, None, state, context)

  def from_projection(
    self, projected: Float[Array, 'b t g e'], state: State, context: Context
  ) -> tuple[Float[Array, 'b t e'], State]:
    x = jnp.zeros((*projected.shape[:2], self.input.kernel.shape[0]), self.dtype)
    return self._run(x, projected.reshape(*projected.shape[:2], -1), state, context)

  def _run(
    self, x: Activations, projected: Float[Array, 'b t z'] | None, state: State, context: Context
  ) -> tuple[Float[Array, 'b t e'], State]:
    carries, weights = self._pinned(state, context)
    y, *carry = self.kernel(
      x,
      *carries,
      *weights,
      projected=projected,
      documents=context.documents,
      kernels=self.kernels,
      dtype=self.dtype,
    )
    return y, dict(zip(self.carries, carry, strict=True))


class RNNCell(Cell):
  gates = 1
  kernel = staticmethod(recurrent.rnn)


class LSTMCell(Cell):
  """The gates are input, forget, cell, output. The forget gate's bias starts at 1 (Jozefowicz et al. 2015)."""

  gates = 4
  carries = ('h', 'c')
  kernel = staticmethod(recurrent.lstm)

  def __init__(self, form: Form, size: int, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, size, rngs=rngs)
    assert self.input.bias is not None
    self.input.bias[...] = self.input.bias[...].at[1].set(1.0)


class GRUCell(Cell):
  """The gates are reset, update, new."""

  gates = 3
  kernel = staticmethod(recurrent.gru)

  def __init__(self, form: Form, size: int, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, size, rngs=rngs)
    self.recurrent_bias = parameter(jnp.zeros((size,)), ('hidden',))

  def weights(self) -> tuple[jax.Array, ...]:
    return *super().weights(), self.recurrent_bias[...]


class Recurrent(Directional):
  """A cell over time; see `Directional` for the two-directional form."""

  cell: ClassVar[type[Cell]]

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.set_directions(lambda size: self.cell(form, size, rngs=rngs))


class RNN(Recurrent):
  """h' = tanh(W x + U h + b) (Elman 1990)."""

  cell = RNNCell


class LSTM(Recurrent):
  """The LSTM of Hochreiter & Schmidhuber (1997), with the forget gate of Gers et al. (2000)."""

  cell = LSTMCell


class GRU(Recurrent):
  """The GRU of Cho et al. (2014) in its "reset after" form."""

  cell = GRUCell
