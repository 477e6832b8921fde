"""minGRU and minLSTM (Feng et al. 2024, "Were RNNs all we needed?"): gates that see the input only.

The states are then diagonal linear recurrences, parallel in time. These are the paper's vanilla equations (its
algorithms for the parallel mode without logarithms): candidates are any real numbers. Its log-space form exists because
a parallel scan by cumulative sums overflows, and passes candidates through a positive g(x). Neither is needed here: the
recurrence is computed as it stands.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from seqmodels.context import BATCH, Context, StateSpec
from seqmodels.kernels import diagonal
from seqmodels.layers import Dense
from seqmodels.layers.dense import time_major
from seqmodels.mixers.base import Direction, Directional, Form
from seqmodels.notation import Activations, State


@dataclass(frozen=True)
class Options:
  """The options of a minimal recurrence.

  negative_eigenvalues  the factor of the state is 2a - 1, in (-1, 1), in place of a, in (0, 1): what parity needs
                        (Grazzi et al. 2024)
  """

  negative_eigenvalues: bool = False


class MinimalRecurrence(Direction):
  """One projection for gates and candidate: LeCun normal weights, zero biases."""

  gates: ClassVar[int]  # the candidate included

  def __init__(self, form: Form, size: int, options: Options, *, rngs: nnx.Rngs) -> None:
    sizes = {'gate': self.gates, 'hidden': size}
    self.input = Dense({'embed': form.width}, sizes, rngs=rngs, bias=True, dtype=form.dtype)
    self.size, self.negative = size, options.negative_eigenvalues
    self.kernels, self.dtype = form.kernels, jnp.dtype(form.dtype)

  def state_spec(self, batch: int) -> dict[str, StateSpec]:
    return {'h': StateSpec((batch, self.size), (BATCH, 'hidden'))}

  def decay_and_input(self, *gates: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return (a, b) of h = a h + b."""
    raise NotImplementedError

  def project(self, x: Activations) -> Float[Array, 'b t g e']:
    """Return the gates before their nonlinearities, in float32."""
    return self.input(x, jnp.float32)

  def __call__(self, x: Activations, state: State, context: Context) -> tuple[Float[Array, 'b t e'], State]:
    return self._run(time_major(x, self.input, context), state, context)

  def from_projection(
    self, projected: Float[Array, 'b t g e'], state: State, context: Context
  ) -> tuple[Float[Array, 'b t e'], State]:
    return self._run(projected.swapaxes(0, 1), state, context)

  def _run(
    self, projected: Float[Array, 't b g e'], state: State, context: Context
  ) -> tuple[Float[Array, 'b t e'], State]:
    a, b = self.decay_and_input(*(projected[:, :, gate] for gate in range(self.gates)))
    a = 2 * a - 1 if self.negative else a
    y, h = diagonal.diagonal(a, b, state['h'], documents=context.documents, kernels=self.kernels)
    return y.astype(self.dtype).swapaxes(0, 1), {'h': h}


class MinGRURecurrence(MinimalRecurrence):
  """h = (1 - z) h + z h̃ with z = σ(W_z x + b_z), h̃ = W_h x + b_h; the gates are z, h̃."""

  gates = 2

  def decay_and_input(self, *gates: jax.Array) -> tuple[jax.Array, jax.Array]:
    update, candidate = gates
    return jax.nn.sigmoid(-update), jax.nn.sigmoid(update) * candidate


class MinLSTMRecurrence(MinimalRecurrence):
  """h = f' h + i' h̃ with f' = f / (f + i), i' = i / (f + i), f = σ(W_f x + b_f), i = σ(W_i x + b_i).

  The gates are f, i, h̃.
  """

  gates = 3

  def decay_and_input(self, *gates: jax.Array) -> tuple[jax.Array, jax.Array]:
    forget, take, candidate = gates
    # f / (f + i) = σ(log f - log i), which does not divide 0 by 0 where both gates are shut.
    odds = jax.nn.softplus(-take) - jax.nn.softplus(-forget)
    return jax.nn.sigmoid(odds), jax.nn.sigmoid(-odds) * candidate


class MinimalRecurrent(Directional):
  """A minimal recurrence over time; see `Directional` for the two-directional form."""

  Options: ClassVar[type] = Options
  can_be_split: ClassVar[bool] = True
  recurrence: ClassVar[type[MinimalRecurrence]]

  def __init__(self, form: Form, options: Any = None, *, rngs: nnx.Rngs) -> None:
    super().__init__(form, options, rngs=rngs)
    self.set_directions(lambda size: self.recurrence(form, size, self.options, rngs=rngs))


class MinGRU(MinimalRecurrent):
  """Feng et al. (2024), section 3.1."""

  recurrence = MinGRURecurrence


class MinLSTM(MinimalRecurrent):
  """Feng et al. (2024), section 3.2, in the time-independent form, whose gates are normalised to sum to one."""

  recurrence = MinLSTMRecurrence
