"""LSTM and GRU in parallel over time by Newton's method.

After DEER (Lim et al., 2024), quasi-DEER (Gonzalez et al., 2024) and ParaRNN (Danieli et al., 2025). All states of a
row solve s_t = cell(s_{t-1}, x_t). An iteration takes a guess of all of them, computes the residuals
r_t = cell(s_{t-1}, x_t) - s_t and the Jacobians J_t of the cell at all positions at once, and adds the solution of the
linear recurrence d_t = J_t d_{t-1} + r_t, which an associative scan finds in log2(t) passes. `newton` takes the whole
Jacobians: it converges quadratically near the solution, at e³ operations a position. `quasi_newton` takes what leads
from each unit to itself, at e operations a position beside the recurrent product, and converges linearly, or not at all
where units depend strongly on each other. Either settles at least one position more in each iteration.

The iterations end when the residuals of all rows are within TOLERANCE both before and after one of them. If that takes
more than ITERATIONS or QUASI_ITERATIONS, the sequential scan of `xla` computes the whole call. Guaranteed are the
residuals r, not the errors (I - J)⁻¹ r, which are larger by up to 1 / (1 - forget gate). The last iteration corrects
the errors that residuals just within the tolerance leave: to the order of their square (`newton`), or by the factor by
which the iterations converge (`quasi_newton`). Errors of rounding remain, as in the scan: with forget biases of 6 and 8
and t = 2,048 the errors were at most 1.1 times those of `xla` (JAX 0.10.2 on CPU).

The gradient follows from the equations by the implicit function theorem, and does not depend on the iterations: the
adjoint recurrence l_t = g_t + J_{t+1}ᵀ l_{t+1} is linear. `newton` solves it by one more associative scan,
`quasi_newton` by the backward scan of `xla`, and so do both where the scan gave the states. Products of Jacobians that
overflow are not finite where the gradient may be: `newton` then takes the backward scan, too. Neither has a second
derivative.

The recurrent products of cells, of the scan and of all backward passes are float32 with Precision.HIGHEST, so that
results do not depend on which of the two computed them; `kernels=xla` has the platform's default. With bfloat16 the
recurrent weights are rounded and the state is not: a cell that rounds its state is a step function, on which Newton's
method does not converge. The gradient of the weights is float32, as that of `xla`.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels.newton import cells, recurrence
from seqmodels.kernels.newton.cells import Carries, Cell, Slopes, Weights, exactly
from seqmodels.kernels.newton.recurrence import Components
from seqmodels.kernels.xla import recurrent as xla

# At most. From orthogonal recurrent weights (e 8 and 32, t 256 and 2,048) `newton` needs 5 or 6 and `quasi_newton` 15
# to 20; from twice such weights of an LSTM 7 to 11, and more than 32 (JAX 0.10.2 on CPU).
ITERATIONS, QUASI_ITERATIONS = 16, 32
TOLERANCE = 1e-6  # of a residual, in relation to states above 1; rounding leaves 2e-7 to 5e-7
WIDEST = 64  # units of whole Jacobians
MOST_BYTES = 2**30  # of all whole Jacobians of a call
COPIES = 3  # of all Jacobians that a layer keeps at a time, 2.6 to 3.2 (compiled by JAX 0.10.2 for CPU)

CELLS = {'lstm': cells.LSTM, 'gru': cells.GRU}


class Solution(NamedTuple):
  """All states after the last iteration, and how near they are to those of the cell.

  states      next states of the cell, computed from the last guess
  saved       by the cell, for its derivatives
  residuals   of each row the largest difference between guess and next state, of either in relation to it where above 1
  iterations  that were made
  has_converged  whether the residuals of all rows were within the tolerance before and after the last iteration
  """

  states: Components
  saved: Any
  residuals: Float[Array, ' b']
  iterations: Int[Array, '']
  has_converged: Bool[Array, '']


class Method(NamedTuple):
  """Which cell, whether with its whole Jacobian, and the dtype of its recurrent weights; hashable."""

  cell: str
  whole: bool
  dtype: np.dtype = np.dtype('float32')

  @property
  def iterations(self) -> int:
    """Return how many are made at most."""
    return ITERATIONS if self.whole else QUASI_ITERATIONS

  def round(self, weights: Weights) -> Weights:
    """Return the weights as the cell reads them, in float32."""
    u, *others = weights
    return u.astype(self.dtype).astype(jnp.float32), *others

  def step(self, slopes: Slopes, residuals: Components, u: jax.Array, documents: Documents) -> Components:
    """Return what an iteration adds to the states."""
    if self.whole:
      return recurrence.solve_whole(cells.whole_jacobian(slopes, u, documents), residuals)
    return recurrence.solve_by_unit(cells.unit_jacobian(slopes, u, documents), residuals)


def why_not(x: Any, carry: Any, weights: Any, projected: Any, documents: Documents, *, dtype: Any) -> str | None:
  """Return why whole Jacobians are not taken of such a layer, or None."""
  del weights, projected, documents, dtype
  (batch, length, _), width = x.shape, carry[0].shape[-1]
  if width > WIDEST:
    return (
      f'width={width} of a layer is above {WIDEST}, which is too wide for whole Jacobians; quasi_newton has no limit'
    )
  of_position = 4 * (len(carry) * width) ** 2
  if (needed := of_position * batch * length) > MOST_BYTES:
    return (
      f'batch={batch}, length={length} and width={width} make {needed / 2**30:.1f} GiB of Jacobians, and the scan over '
      f'them takes about {COPIES} times that; at most {MOST_BYTES / 2**30:g} GiB of Jacobians are allowed, at this '
      f'width batch × length up to {MOST_BYTES // of_position}; quasi_newton has no limit'
    )
  return None


def solve(
  method: Method,
  z: Float[Array, 't b z'],
  carries: Carries,
  weights: Weights,
  documents: Documents,
  iterations: int | None = None,
  tolerance: float = TOLERANCE,
) -> Solution:
  """Return the states after as many iterations as are needed. Not differentiable.

  z: the input's share of the gates, time first; documents: `[t b]`; weights: those of the cell behind the input's, as
  it reads them (`Method.round`).
  iterations: at most; None: those of the method
  """
  cell, most = CELLS[method.cell], method.iterations if iterations is None else iterations
  # An output is a mean of numbers within ±1, or less; a cell state grows by at most 1 in a step.
  steps = jnp.arange(1, z.shape[0] + 1, dtype=jnp.float32)[:, None, None]
  limits = [jnp.maximum(jnp.abs(carries[0]), 1)[None], *(jnp.abs(c)[None] + steps for c in carries[1:])]

  def evaluate(states: Components) -> tuple[Components, Any, jax.Array]:
    new, saved = cell.evaluate(z, _before(carries, states, documents), weights, documents)
    off = [jnp.max(jnp.abs(n - s) / jnp.maximum(jnp.abs(n), 1), axis=(0, 2)) for n, s in zip(new, states, strict=True)]
    return new, saved, functools.reduce(jnp.maximum, off)

  def is_near(now: Any) -> jax.Array:
    _, _, _, (_, _, residuals) = now
    return jnp.all(residuals <= tolerance)

  def is_unfinished(now: Any) -> jax.Array:
    count, was_near, *_ = now
    return (count < most) & ~(was_near & is_near(now))

  def iterate(now: Any) -> Any:
    count, _, states, (new, saved, _) = now
    slopes = cell.slopes(_before(carries, states, documents), new, saved, documents)
    residuals = tuple(n - s for n, s in zip(new, states, strict=True))
    added = method.step(slopes, residuals, weights[0], documents)
    # A step that leaves the numbers goes to the next state of the cell instead.
    moved = [jnp.where(jnp.isfinite(s + d), s + d, n) for s, d, n in zip(states, added, new, strict=True)]
    states = tuple(jnp.clip(s, -limit, limit) for s, limit in zip(moved, limits, strict=True))
    return count + 1, is_near(now), states, evaluate(states)

  guess = tuple(jnp.zeros((z.shape[0], *a.shape), jnp.float32) for a in carries)
  guess, _, _ = evaluate(guess)
  start = jnp.zeros((), jnp.int32), jnp.zeros((), bool), guess, evaluate(guess)
  last = jax.lax.while_loop(is_unfinished, iterate, start)
  count, was_near, _, (states, saved, residuals) = last
  return Solution(states, saved, residuals, count, was_near & is_near(last))


def _before(carries: Carries, states: Components, documents: Documents) -> Components:
  return tuple(xla.states_before(first, a, documents) for first, a in zip(carries, states, strict=True))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(
  method: Method, z: Float[Array, 't b z'], carries: Carries, weights: Weights, documents: Documents
) -> tuple[Float[Array, 't b e'], Carries]:
  """Return (all h, the last carries). Rounds the weights itself: outside, the gradient would be rounded with them."""
  return _forward(method, z, carries, weights, documents)[0]


def _forward(method: Method, z: jax.Array, carries: Carries, weights: Weights, documents: Documents) -> Any:
  weights = method.round(weights)
  solution = solve(method, z, carries, weights, documents)
  scan = functools.partial(CELLS[method.cell].scan, z, carries, weights, documents)
  with exactly():
    states, saved = jax.lax.cond(solution.has_converged, lambda: (solution.states, solution.saved), scan)
  kept = carries, weights, documents, states, saved, solution.has_converged
  return (states[0], tuple(a[-1] for a in states)), kept


def _backward(method: Method, kept: Any, gradients: Any) -> Any:
  carries, weights, documents, states, saved, has_converged = kept
  known = carries, weights, documents, states, saved
  cell = CELLS[method.cell]
  sequential = lambda: cell.scan_back(*known, gradients)

  def parallel() -> Any:
    found = _adjoint(cell, *known, gradients)
    is_finite = functools.reduce(jnp.logical_and, [jnp.isfinite(a).all() for a in jax.tree.leaves(found)])
    # Where products of Jacobians overflow, times zero behind a reset they are nan.
    return jax.lax.cond(is_finite, lambda: found, sequential)

  with exactly():
    # Where no iteration converges, products of Jacobians mean nothing.
    found = jax.lax.cond(has_converged, parallel, sequential) if method.whole else sequential()
  return *found, None


def _adjoint(
  cell: Cell, carries: Carries, weights: Weights, documents: Documents, states: Components, saved: Any, gradients: Any
) -> tuple[jax.Array, Carries, Weights]:
  """Return the gradients of z, carries and weights by the adjoint recurrence."""
  d_hs, d_last = gradients
  before = _before(carries, states, documents)
  slopes = cell.slopes(before, states, saved, documents)
  transposed = cells.whole_jacobian(slopes, weights[0], documents).swapaxes(-1, -2)
  of_next = jnp.concatenate([transposed[1:], jnp.zeros_like(transposed[:1])])
  direct = [d_hs, *(jnp.zeros_like(d_hs) for _ in carries[1:])]
  direct = [d.at[-1].add(last) for d, last in zip(direct, d_last, strict=True)]
  adjoint = recurrence.solve_whole(of_next, tuple(direct), reverse=True)
  dz, d_product = cell.gradients(slopes, adjoint, saved)
  du = xla.weight_gradient(before[0], d_product, jnp.float32)
  of_bias = d_product[..., -carries[0].shape[-1] :].sum((0, 1))
  first = jnp.concatenate([a[0] for a in adjoint], axis=-1)
  d_carries = jnp.matmul(transposed[0], first[..., None])[..., 0]
  return dz, tuple(jnp.split(d_carries, len(carries), axis=-1)), (du, *(of_bias for _ in weights[1:]))


_run.defvjp(_forward, _backward)


def progress(
  cell: str,
  x: Float[Array, 'b t d'],
  carries: Carries,
  weights: Weights,
  documents: Documents = ONE_DOCUMENT,
  *,
  whole: bool = True,
  dtype: DTypeLike = jnp.float32,
  iterations: int | None = None,
  tolerance: float = TOLERANCE,
) -> Solution:
  """Return the iterations that a layer needs and the residuals that they leave; the layer's results are not changed.

  cell: lstm or gru; weights: (W, U, bias) with all gates in one axis, and the GRU's second bias; whole: Jacobians;
  iterations: at most; None: those of the method
  """
  method = Method(cell, whole, jnp.dtype(dtype))
  z, u, others = xla.projections(x, weights, None, method.dtype)
  return solve(method, z, carries, method.round((u, *others)), documents.time_major(), iterations, tolerance)


def _cell(method: Method, z: jax.Array, *rest: Any) -> tuple[jax.Array, ...]:
  """Return (all h, *the last carries), as `xla.layer` calls its cells."""
  *arrays, documents, dtype = rest
  count = 2 if method.cell == 'lstm' else 1
  hs, last = _run(method._replace(dtype=dtype), z, tuple(arrays[:count]), tuple(arrays[count:]), documents)
  return hs, *last


def _layer(method: Method, *arrays: Any, **options: Any) -> Any:
  return xla.layer(functools.partial(_cell, method), *arrays, **options)


lstm, gru = (functools.partial(_layer, Method(cell, whole=True)) for cell in CELLS)
quasi_lstm, quasi_gru = (functools.partial(_layer, Method(cell, whole=False)) for cell in CELLS)
