"""Softmax attention, one query and one key at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np

Score = Callable[[int, int, int, np.ndarray, np.ndarray], float]  # head, i, j, query, key → score
Sees = Callable[[int, int], bool]


def scaled(h: int, i: int, j: int, q: np.ndarray, k: np.ndarray) -> float:
  del h, i, j
  return q @ k / np.sqrt(len(q))


def causal(i: int, j: int) -> bool:
  return j <= i


def attention(
  params: Any, x: np.ndarray, heads: int = 1, kv_heads: int = 0, score: Score = scaled, sees: Sees = causal
) -> np.ndarray:
  """Equation 1 of Vaswani et al. (2017), head h sharing the keys of group h // (heads / kv_heads)."""
  (t, d), kv_heads = x.shape, kv_heads or heads
  width = d // heads
  q, k, v = (x @ params[name]['kernel'].reshape(d, -1) for name in ('query', 'key', 'value'))
  out = np.zeros((t, d))
  for i in range(t):
    for h in range(heads):
      g = h // (heads // kv_heads)
      mine, theirs = slice(h * width, (h + 1) * width), slice(g * width, (g + 1) * width)
      seen = [j for j in range(t) if sees(i, j)]
      weights = np.exp([score(h, i, j, q[i, mine], k[j, theirs]) for j in seen])
      out[i, mine] = weights @ v[seen, theirs] / weights.sum()
  return out @ params['output']['kernel'].reshape(d, d)
