"""Linear recurrences v_t = A_t v_{t-1} + b_t over the leading axis, v_{-1} = 0, in log2(t) passes.

A state has components (h, or h and c), each `[t b e]`. A is a Jacobian of one of two forms: whole, one matrix
`[t b n n]` for all units of all components, n = components · e; or by unit, the components of each unit alone, A[i][j]
`[t b e]` leading from component j to component i.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Component = Float[Array, 't b e']
Components = tuple[Component, ...]
WholeJacobian = Float[Array, 't b n n']
UnitJacobian = tuple[tuple[Component, ...], ...]


def solve_whole(a: WholeJacobian, b: Components, reverse: bool = False) -> Components:
  """Return all v; with `reverse`, of v_t = A_t v_{t+1} + b_t."""

  def join(earlier: Any, later: Any) -> Any:
    (a, v), (a_later, v_later) = earlier, later
    return jnp.matmul(a_later, a), jnp.matmul(a_later, v) + v_later

  _, v = jax.lax.associative_scan(join, (a, jnp.concatenate(b, axis=-1)[..., None]), reverse=reverse)
  return tuple(jnp.split(v[..., 0], len(b), axis=-1))


def solve_by_unit(a: UnitJacobian, b: Components) -> Components:
  """Return all v."""
  components = range(len(b))

  def join(earlier: Any, later: Any) -> Any:
    (a, v), (a_later, v_later) = earlier, later
    joined = tuple(tuple(sum(a_later[i][j] * a[j][k] for j in components) for k in components) for i in components)
    return joined, tuple(sum(a_later[i][j] * v[j] for j in components) + v_later[i] for i in components)

  return jax.lax.associative_scan(join, (a, b))[1]
