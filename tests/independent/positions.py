"""Position encodings inside the attention of `attention.py`, from their papers' formulas one pair at a time."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from seqmodels.config import ModelConfig
from seqmodels.models import build
from seqmodels.spec import Spec, Vectors
from tests.cases import D, draw_input
from tests.independent.attention_loop import attention
from tests.independent.checks import LENGTH, Check, mixer_deviation

HEADS, K = 2, D // 2


def wave(position: float, width: int) -> np.ndarray:
  """Vaswani et al. (2017), section 3.5; all sines first, as in Dai et al. (2019)."""
  angles = [position / 10_000 ** (2 * i / width) for i in range(width // 2)]
  return np.array([*np.sin(angles), *np.cos(angles)])


def rotary(params: Any, h: int, i: int, j: int, q: np.ndarray, k: np.ndarray) -> float:
  """Su et al. (2021), equation 12: pairs as complex numbers, turned by their positions."""
  turn = np.exp(1j * np.array([10_000 ** (-2 * m / K) for m in range(K // 2)]))
  q, k = (a[: K // 2] + 1j * a[K // 2 :] for a in (q, k))
  return float(np.real(np.sum(q * turn**i * np.conj(k * turn**j)))) / np.sqrt(K)


def shaw(params: Any, h: int, i: int, j: int, q: np.ndarray, k: np.ndarray) -> float:
  """Shaw et al. (2018), equation 4, with distances clipped at 64."""
  table = params['distances']['table']
  middle = 0 if len(table) == 65 else 64
  return q @ (k + table[middle + max(-64, min(64, i - j))]) / np.sqrt(K)


@functools.cache
def t5_bucket(distance: int, count: int) -> int:
  exact = count // 2
  edges = [exact * (128 / exact) ** (n / (count - exact)) for n in range(1, count - exact)]
  return distance if distance < exact else exact + sum(edge <= distance + 1e-9 for edge in edges)


def t5(params: Any, h: int, i: int, j: int, q: np.ndarray, k: np.ndarray) -> float:
  """Raffel et al. (2020), section 2.1; the buckets by search: the first whose upper edge lies beyond the distance."""
  count = 16 if 'both' in params else 32
  return q @ k / np.sqrt(K) + params['distances']['table'][t5_bucket(abs(i - j), count) + (count if j > i else 0), h]


def alibi(params: Any, h: int, i: int, j: int, q: np.ndarray, k: np.ndarray) -> float:
  """Press et al. (2022), equation of section 3, with slopes 1/16 and 1/256 for two heads."""
  return q @ k / np.sqrt(K) - (1 / 16, 1 / 256)[h] * abs(i - j)


def transformer_xl(params: Any, h: int, i: int, j: int, q: np.ndarray, k: np.ndarray) -> float:
  """Dai et al. (2019), section 3.3: the four terms (a) to (d)."""
  p = params['distances']
  u, v = p['content_bias'][h], p['position_bias'][h]
  r = wave(i - j, D) @ p['projection']['kernel'][:, h]
  return (q @ k + q @ r + u @ k + v @ r) / np.sqrt(K)


def inside(
  position: str, score: Callable[..., float], paper: str, *, both: bool = False, tokens: int = LENGTH
) -> Check:
  def reference(params: Any, x: np.ndarray) -> np.ndarray:
    if both:
      params = params | {'both': True}
    sees = (lambda i, j: True) if both else (lambda i, j: j <= i)
    return attention(params, x, HEADS, score=functools.partial(score, params), sees=sees)

  against = f'NumPy loop over pairs, {paper}' + (', both directions' if both else '')
  rows = 2 if tokens == LENGTH else 1  # the loop is slow
  deviation = lambda: mixer_deviation(
    'attention', reference, causal=not both, tokens=tokens, rows=rows, heads=HEADS, position=position
  )
  return Check('position', position, against, deviation)


def added(position: str, encoding: Callable[[Any, int], np.ndarray], against: str) -> Check:
  """A model of one attention layer, computed from its parameters with `encoding` added to its inputs."""

  def deviation() -> float:
    spec = Spec('causal', Vectors(D), Vectors(D), LENGTH)
    config = ModelConfig(width=D, depth=1, block='plain', feedforward=0.0, position=position, heads=HEADS)
    model = build(config, spec)
    params = model.init(jax.random.key(0))
    x = draw_input(0, LENGTH)
    actual = np.asarray(jax.jit(lambda p, x: model.apply(p, x)[0])(params, x))
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    (layer,) = (jax.tree.map(lambda a: a[0], group['mixer']) for group in p['stack'].values())
    expected = []
    for row in np.asarray(x, np.float64):
      row = row @ p['input']['kernel'] + np.stack([encoding(p, i) for i in range(LENGTH)])
      row = attention(layer, row, HEADS)
      expected.append(row @ p['output']['kernel'])
    return float(np.abs(actual - np.stack(expected)).max())

  return Check('position', position, against, deviation)


CHECKS = (
  added('sinusoidal', lambda p, i: wave(i, D), 'the formula added in NumPy, Vaswani et al. (2017)'),
  added('learned', lambda p, i: p['position_table'][i], 'the table added in NumPy'),
  inside('rotary', rotary, 'Su et al. (2021) in complex numbers'),
  inside('rotary', rotary, 'Su et al. (2021) in complex numbers', both=True),
  inside('relative', shaw, 'Shaw et al. (2018), distances up to 69, clipped at 64', tokens=70),
  inside('relative', shaw, 'Shaw et al. (2018), distances up to 69, clipped at 64', tokens=70, both=True),
  inside('t5', t5, 'Raffel et al. (2020), distances up to 134, one bucket from 128 on', tokens=135),
  inside('t5', t5, 'Raffel et al. (2020), distances up to 134, one bucket from 128 on', tokens=135, both=True),
  inside('alibi', alibi, 'Press et al. (2022)'),
  inside('alibi', alibi, 'Press et al. (2022)', both=True),
  inside('transformer_xl', transformer_xl, 'Dai et al. (2019), section 3.3'),
  inside('transformer_xl', transformer_xl, 'Dai et al. (2019), section 3.3', both=True),
)
