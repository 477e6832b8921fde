"""Linear attention in chunks in C++ (`linear_attention.cc`), without decay and weights of inputs.

Every head has keys of its own.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.context import Documents
from seqmodels.kernels.cpu import library
from seqmodels.kernels.cpu.call import call


def covers(
  q: Any, k: Any, v: Any, state: Any, log_decay: Any, log_input: Any, documents: Documents, *, chunk: Any
) -> bool:
  """Return whether the kernels have such sums."""
  del q, state, documents, chunk
  return log_decay is None and log_input is None and k.shape[2] == v.shape[2]


def why_not(q: Any, k: Any, v: Any, state: Any, *arrays: Any, chunk: Any) -> str | None:
  """Return why the kernels cannot compute the sums, or None."""
  del arrays, chunk
  return library.why_not(q, k, v, *state.values())


def linear_attention(
  q: Any, k: Any, v: Any, state: Any, log_decay: Any, log_input: Any, documents: Documents, *, chunk: int
) -> Any:
  """Return (y, n, m, the last state) as in `kernels/linear_attention.py`."""
  del log_decay, log_input
  reset = jnp.zeros((0,), bool) if documents.reset is None else documents.reset
  y, n, *ends = _sums(q, k, v, state['s'], state.get('n', jnp.zeros((0,), jnp.float32)), reset, chunk)
  end = dict(zip(('s', 'n'), ends, strict=True))
  return y, n if 'n' in state else None, None, {name: end[name] for name in state}


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def _sums(q: Any, k: Any, v: Any, s: Any, n: Any, reset: Any, chunk: int) -> tuple[jax.Array, ...]:
  """Return (y, sums, last s, last n); n and reset may be empty."""
  shapes = v.shape, v.shape[:3] if n.size else (0,), s.shape, n.shape
  return tuple(call('linear_forward', shapes, (q, k, v, s, n, reset), (0,) * 6, (0,) * 4, chunk=np.int64(chunk)))


def _forward(q: Any, k: Any, v: Any, s: Any, n: Any, reset: Any, chunk: int) -> Any:
  return _sums(q, k, v, s, n, reset, chunk), (q, k, v, s, n, reset)


def _backward(chunk: int, saved: Any, gradients: Any) -> Any:
  shapes = [a.shape for a in saved[:5]]
  arrays = *saved, *gradients
  results = call('linear_backward', shapes, arrays, (0,) * len(arrays), (0,) * len(shapes), chunk=np.int64(chunk))
  return *results, None


_sums.defvjp(_forward, _backward)
