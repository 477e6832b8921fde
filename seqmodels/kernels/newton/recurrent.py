"""LSTM and GRU in parallel over time by Newton's method.

After DEER (Lim et al., 2024), quasi-DEER (Gonzalez et al., 2024) and ParaRNN (Danieli et al., 2025). All states of a
row solve s_t = cell(s_{t-1}, x_t). An iteration takes a guess of all of them, computes the residuals
r_t = cell(s_{t-1}, x_t) - s_t and the Jacobians J_t of the cell at all positions at once, and adds the solution of the
linear recurrence d_t = J_t d_{t-1} + r_t, which an associative scan finds in log2(t) passes. `newton` takes the whole
Jacobians: it converges quadratically near the solution, at e³ operations a position. `quasi_newton` takes what leads
from each unit to itself, at e operations a position beside the recurrent product, and converges linearly, or not at all
where units depend strongly on each other. Either settles at least one position more in each iteration.

At most ITERATIONS or QUASI_ITERATIONS are made. If a residual is then above TOLERANCE in any row, the whole call is
computed by the sequential scan of `xla`: the results are always those of the cell. A trajectory with residuals of
rounding size is as near to the exact one as that of the scan, whose own residuals are of that size.

The gradient follows from the equations by the implicit function theorem, and does not depend on the iterations: the
adjoint recurrence l_t = g_t + J_{t+1}ᵀ l_{t+1} is linear. `newton` solves it by one more associative scan,
`quasi_newton` by the backward scan of `xla`, and so do both where the scan gave the states. Neither has a second
derivative.

With bfloat16 the recurrent weights are rounded and the state is not: a cell that rounds its state is a step function,
on which Newton's method does not converge.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from seqmodels.context import ONE_DOCUMENT, Documents
from seqmodels.kernels.newton import cells, recurrence
from seqmodels.kernels.newton.cells import EXACT, Carry, Cell, Slopes, Weights
from seqmodels.kernels.newton.recurrence import Parts
from seqmodels.kernels.xla import recurrent as xla

# At most. From orthogonal recurrent weights (e 8 and 32, t 256 and 2,048) `newton` needs 4 and `quasi_newton` 13 to 18;
# from twice such weights 5 to 9, and 26 to more than 64 (JAX 0.10.2 on CPU).
ITERATIONS, QUASI_ITERATIONS = 16, 32
TOLERANCE = 1e-6  # of a residual, in relation to states above 1; rounding leaves 2e-7 to 5e-7
WIDEST = 64  # units of whole Jacobians
MOST_BYTES = 2**30  # of all whole Jacobians of a call

NEWTON, QUASI_NEWTON = 'newton', 'quasi_newton'
CELLS = {'lstm': cells.LSTM, 'gru': cells.GRU}
IS_SIGMOID = {'lstm': (True, True, False, True), 'gru': (True, True, False)}


class Solution(NamedTuple):
  """All states after the last iteration, and how near they are to those of the cell.

  states      next states of the cell, computed from the last guess
  saved       by the cell, for its derivatives
  residuals   of each row the largest difference between guess and next state, of either in relation to it where above 1
  iterations  that were made
  """

  states: Parts
  saved: Any
  residuals: Float[Array, ' b']
  iterations: Int[Array, '']

  def has_converged(self, tolerance: float = TOLERANCE) -> Bool[Array, '']:
    """Return whether every row is within the tolerance."""
    return jnp.all(self.residuals <= tolerance)


class Method(NamedTuple):
  """Which cell, and whether with its whole Jacobian; hashable."""

  cell: str
  whole: bool

  @property
  def iterations(self) -> int:
    """Return how many are made at most."""
    return ITERATIONS if self.whole else QUASI_ITERATIONS

  def step(self, slopes: Slopes, residuals: Parts, u: jax.Array, documents: Documents) -> Parts:
    """Return what an iteration adds to the states."""
    if self.whole:
      return recurrence.dense(cells.dense(slopes, u, documents), residuals)
    return recurrence.by_unit(cells.by_unit(slopes, u, documents), residuals)


def why_not(x: Any, carry: Any, weights: Any, projected: Any, documents: Documents, *, dtype: Any) -> str | None:
  """Return why whole Jacobians are not taken of such a layer, or None."""
  del weights, projected, documents, dtype
  width = carry[0].shape[-1]
  if width > WIDEST:
    return (
      f'width={width} of a layer is above {WIDEST}, which is too wide for whole Jacobians; quasi_newton has no limit'
    )
  needed = 4 * x.shape[0] * x.shape[1] * (len(carry) * width) ** 2
  if needed > MOST_BYTES:
    return f'the Jacobians would take {needed / 2**30:.1f} GiB; at most {MOST_BYTES / 2**30:g} GiB are taken'
  return None


def solve(
  method: Method,
  z: Float[Array, 't b z'],
  carry: Carry,
  weights: Weights,
  documents: Documents,
  iterations: int | None = None,
  tolerance: float = TOLERANCE,
) -> Solution:
  """Return the states after as many iterations as are needed. Not differentiable.

  z: the input's share of the gates, time first; documents: `[t b]`; weights: those of the cell behind the input's.
  iterations: at most; None: those of the method
  """
  cell, most = CELLS[method.cell], method.iterations if iterations is None else iterations
  # An output is a mean of numbers within ±1, or less; a cell state grows by at most 1 in a step.
  steps = jnp.arange(1, z.shape[0] + 1, dtype=jnp.float32)[:, None, None]
  limits = [jnp.maximum(jnp.abs(carry[0]), 1)[None], *(jnp.abs(c)[None] + steps for c in carry[1:])]

  def evaluate(states: Parts) -> tuple[Parts, Any, jax.Array]:
    new, saved = cell.evaluate(z, _before(carry, states, documents), weights, documents)
    off = [jnp.max(jnp.abs(n - s) / jnp.maximum(jnp.abs(n), 1), axis=(0, 2)) for n, s in zip(new, states, strict=True)]
    return new, saved, functools.reduce(jnp.maximum, off)

  def is_unfinished(now: Any) -> jax.Array:
    count, _, (_, _, residuals) = now
    return (count < most) & ~jnp.all(residuals <= tolerance)

  def iterate(now: Any) -> Any:
    count, states, (new, saved, _) = now
    slopes = cell.slopes(_before(carry, states, documents), new, saved, documents)
    residuals = tuple(n - s for n, s in zip(new, states, strict=True))
    added = method.step(slopes, residuals, weights[0], documents)
    # A step that leaves the numbers goes to the next state of the cell instead.
    moved = [jnp.where(jnp.isfinite(s + d), s + d, n) for s, d, n in zip(states, added, new, strict=True)]
    states = tuple(jnp.clip(s, -limit, limit) for s, limit in zip(moved, limits, strict=True))
    return count + 1, states, evaluate(states)

  guess = tuple(jnp.zeros((z.shape[0], *a.shape), jnp.float32) for a in carry)
  guess, _, _ = evaluate(guess)
  count, _, (states, saved, residuals) = jax.lax.while_loop(
    is_unfinished, iterate, (jnp.zeros((), jnp.int32), guess, evaluate(guess))
  )
  return Solution(states, saved, residuals, count)


def _before(carry: Carry, states: Parts, documents: Documents) -> Parts:
  return tuple(xla.states_before(first, a, documents) for first, a in zip(carry, states, strict=True))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(
  method: Method, z: Float[Array, 't b z'], carry: Carry, weights: Weights, documents: Documents
) -> tuple[Float[Array, 't b e'], Carry]:
  """Return (all h, the last carry)."""
  return _forward(method, z, carry, weights, documents)[0]


def _forward(method: Method, z: jax.Array, carry: Carry, weights: Weights, documents: Documents) -> Any:
  solution = solve(method, z, carry, weights, documents)
  has_converged, scan = solution.has_converged(), CELLS[method.cell].scan
  states, saved = jax.lax.cond(
    has_converged, lambda: (solution.states, solution.saved), lambda: scan(z, carry, weights, documents)
  )
  return (states[0], tuple(a[-1] for a in states)), (carry, weights, documents, states, saved, has_converged)


def _backward(method: Method, kept: Any, gradients: Any) -> Any:
  carry, weights, documents, states, saved, has_converged = kept
  known = carry, weights, documents, states, saved
  cell = CELLS[method.cell]
  sequential = lambda: cell.scan_back(*known, gradients)
  if not method.whole:
    return *sequential(), None
  # Products of Jacobians may leave the numbers where no iteration converges.
  return *jax.lax.cond(has_converged, lambda: _adjoint(cell, *known, gradients), sequential), None


def _adjoint(
  cell: Cell, carry: Carry, weights: Weights, documents: Documents, states: Parts, saved: Any, gradients: Any
) -> tuple[jax.Array, Carry, Weights]:
  """Return the gradients of z, carry and weights by the adjoint recurrence."""
  d_hs, d_last = gradients
  before = _before(carry, states, documents)
  slopes = cell.slopes(before, states, saved, documents)
  transposed = cells.dense(slopes, weights[0], documents).swapaxes(-1, -2)
  of_next = jnp.concatenate([transposed[1:], jnp.zeros_like(transposed[:1])])
  direct = [d_hs, *(jnp.zeros_like(d_hs) for _ in carry[1:])]
  direct = [d.at[-1].add(last) for d, last in zip(direct, d_last, strict=True)]
  adjoint = recurrence.dense(of_next, tuple(direct), reverse=True, precision=EXACT)
  dz, d_product = cell.gradients(slopes, adjoint, saved)
  du = xla.weight_gradient(before[0], d_product, jnp.float32)
  of_bias = d_product[..., -carry[0].shape[-1] :].sum((0, 1))
  first = jnp.concatenate([a[0] for a in adjoint], axis=-1)
  d_carry = jnp.matmul(transposed[0], first[..., None], precision=EXACT)[..., 0]
  return dz, tuple(jnp.split(d_carry, len(carry), axis=-1)), (du, *(of_bias for _ in weights[1:]))


_run.defvjp(_forward, _backward)


def progress(
  cell: str,
  x: Float[Array, 'b t d'],
  carry: Carry,
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
  z, u, others = xla.projections(IS_SIGMOID[cell], x, weights, None, jnp.dtype(dtype))
  recurrent = _rounded(u, dtype), *others
  return solve(Method(cell, whole), z, carry, recurrent, documents.time_major(), iterations, tolerance)


def _rounded(u: jax.Array, dtype: DTypeLike) -> jax.Array:
  return u.astype(dtype).astype(jnp.float32)


def _cell(method: Method, z: jax.Array, *rest: Any) -> tuple[jax.Array, ...]:
  """Return (all h, *the last carry), as `xla.layer` calls its cells."""
  *arrays, documents, dtype = rest
  carries = 2 if method.cell == 'lstm' else 1
  carry, (u, *others) = tuple(arrays[:carries]), arrays[carries:]
  hs, last = _run(method, z, carry, (_rounded(u, dtype), *others), documents)
  return hs, *last


def _layer(method: Method, *arrays: Any, **options: Any) -> Any:
  return xla.layer(functools.partial(_cell, method), IS_SIGMOID[method.cell], *arrays, **options)


lstm, gru = (functools.partial(_layer, Method(cell, whole=True)) for cell in CELLS)
quasi_lstm, quasi_gru = (functools.partial(_layer, Method(cell, whole=False)) for cell in CELLS)
