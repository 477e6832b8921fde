"""Trees of arrays: flat names of their leaves, shapes alone, copies on the host."""

from typing import Any

import jax
import numpy as np


def flatten(tree: Any) -> dict[str, Any]:
  """Return `tree` as {path: leaf}, in the order of its leaves."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf for path, leaf in leaves}


def shape_only(x: Any) -> np.ndarray:
  """Return an array of the shape and dtype of `x` that takes no memory and can be sliced."""
  return np.broadcast_to(np.zeros((), x.dtype), np.shape(x))


def to_host(x: Any) -> np.ndarray:
  """Return a copy: on CPU, NumPy would otherwise look at memory that the next step reuses."""
  return np.array(x, copy=True)


def first_not_finite(tree: Any) -> str | None:
  """Return the name of the first NumPy array that holds NaN or infinity."""
  return next((name for name, x in flatten(tree).items() if not np.isfinite(x).all()), None)
