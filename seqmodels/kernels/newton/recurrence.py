"""Linear recurrences v_t = A_t v_{t-1} + b_t over the leading axis, v_{-1} = 0, in log2(t) passes.

A state has parts (h, or h and c), each `[t b e]`. A has one of two forms: for `dense` one matrix `[t b n n]` for all
units of all parts, n = parts · e; for `by_unit` the parts of each unit alone, A[i][j] `[t b e]` leading from part j to
part i.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Part = Float[Array, 't b e']
Parts = tuple[Part, ...]
Matrix = Float[Array, 't b n n']
ByUnit = tuple[tuple[Part, ...], ...]


def dense(a: Matrix, b: Parts, reverse: bool = False) -> Parts:
  """Return all v; with `reverse`, of v_t = A_t v_{t+1} + b_t."""

  def join(earlier: Any, later: Any) -> Any:
    (a, v), (a_later, v_later) = earlier, later
    return jnp.matmul(a_later, a), jnp.matmul(a_later, v) + v_later

  _, v = jax.lax.associative_scan(join, (a, jnp.concatenate(b, axis=-1)[..., None]), reverse=reverse)
  return tuple(jnp.split(v[..., 0], len(b), axis=-1))


def by_unit(a: ByUnit, b: Parts) -> Parts:
  """Return all v."""
  parts = range(len(b))

  def join(earlier: Any, later: Any) -> Any:
    (a, v), (a_later, v_later) = earlier, later
    joined = tuple(tuple(sum(a_later[i][j] * a[j][k] for j in parts) for k in parts) for i in parts)
    return joined, tuple(sum(a_later[i][j] * v[j] for j in parts) + v_later[i] for i in parts)

  return jax.lax.associative_scan(join, (a, b))[1]
