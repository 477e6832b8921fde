"""Count the errors of a transcript: the edits that turn it into the reference (Levenshtein 1966)."""

from collections.abc import Hashable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


def edit_distance(written: Sequence[Hashable], reference: Sequence[Hashable]) -> int:
  """Return the least number of insertions, deletions and substitutions between two sequences."""
  row = np.arange(len(reference) + 1)
  places = row.copy()
  for item in written:
    differs = np.array([item != other for other in reference], int)
    changed = np.concatenate([[row[0] + 1], np.minimum(row[1:] + 1, row[:-1] + differs)])
    # An insertion moves one to the right for one more: the least over all places to the left.
    row = np.minimum.accumulate(changed - places) + places
  return int(row[-1])


def edit_distances(
  written: Int[Array, 'b t'], is_written: Bool[Array, 'b t'], reference: Int[Array, 'b l'], lengths: Int[Array, ' b']
) -> Float[Array, ' b']:
  """Return the edit distance of each row, in JAX.

  Args:
    written: items, of which those where `is_written` count, in their order.
    reference: items, the first `lengths` of each row.
  """
  rows, most = reference.shape
  places = jnp.arange(most + 1)[None, :]

  def step(row: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
    item, counts = now
    differs = (item[:, None] != reference).astype(row.dtype)
    changed = jnp.concatenate([row[:, :1] + 1, jnp.minimum(row[:, 1:] + 1, row[:, :-1] + differs)], axis=1)
    changed = jax.lax.cummin(changed - places, axis=1) + places
    return jnp.where(counts[:, None], changed, row), None

  first = jnp.tile(places, (rows, 1))
  row, _ = jax.lax.scan(step, first, (written.T, is_written.T))
  return jnp.take_along_axis(row, lengths[:, None], axis=1)[:, 0].astype(jnp.float32)
