"""Linear attention and its relatives, one token and one equation at a time; bidirectional ones as whole matrices."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from seqmodels.context import Context
from tests.cases import Case, draw_input
from tests.independent.checks import LENGTH, REFLECTED, Check, Direction, both_ways, mixer_deviation, one_way

HEADS = 2
QKV = ('query', 'key', 'value')


def sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def swish(x: np.ndarray) -> np.ndarray:
  return x * sigmoid(x)


def softplus(x: np.ndarray) -> np.ndarray:
  return np.log1p(np.exp(x))


def softmax(x: np.ndarray) -> np.ndarray:
  weights = np.exp(x - x.max(-1, keepdims=True))
  return weights / weights.sum(-1, keepdims=True)


def rms(x: np.ndarray) -> np.ndarray:
  return x / np.sqrt((x**2).mean() + 1e-6)


def read(weights: Any, x: np.ndarray, *names: str) -> list[np.ndarray]:
  """Return x times the kernel of each of the named layers, heads side by side."""
  return [x @ weights[name]['kernel'].reshape(x.shape[1], -1) for name in names]


def write(weights: Any, y: np.ndarray) -> np.ndarray:
  """Return y, heads side by side, times the kernel of the output layer."""
  return y @ weights['output']['kernel'].reshape(y.shape[1], -1)


def parts(heads: int, *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
  """Each head's share of every array's last axis."""
  return zip(*(np.split(a, heads, axis=-1) for a in arrays), strict=True)


def turn(x: np.ndarray) -> np.ndarray:
  """Pairs (x[i], x[i + k/2]) as complex numbers, turned by position · 10,000^(-2i/k) (Su et al., 2021)."""
  half = x.shape[-1] // 2
  angle = np.arange(len(x))[:, None] * 10_000.0 ** (-np.arange(half) / half)[None, :]
  pairs = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angle)
  return np.concatenate([pairs.real, pairs.imag], axis=-1)


def convolved(x: np.ndarray, weights: Any) -> np.ndarray:
  taps = weights['taps'].reshape(-1, x.shape[1])
  padded = np.concatenate([np.zeros((len(taps) - 1, x.shape[1])), x])
  y = np.stack([(padded[t : t + len(taps)] * taps).sum(0) for t in range(len(x))])
  return y + weights['bias'].ravel() if 'bias' in weights else y


def elu_features(q: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  elu = lambda x: np.where(x > 0, x, np.expm1(x))
  return elu(q) + 1, elu(k) + 1


def gram_schmidt(a: np.ndarray) -> np.ndarray:
  """Orthonormal columns."""
  columns: list[np.ndarray] = []
  for column in a.T:
    for _ in range(2):
      column = column - sum((column @ c) * c for c in columns)
    columns.append(column / np.linalg.norm(column))
  return np.stack(columns, axis=1)


def favor_features(q: np.ndarray, k: np.ndarray, *, features: int) -> tuple[np.ndarray, np.ndarray]:
  """Choromanski et al. (2021), lemma 1, on orthogonal directions with the lengths of Gaussian vectors."""
  width = q.shape[1]
  random = np.random.RandomState(0)
  blocks = [gram_schmidt(random.normal(size=(width, width))) for _ in range(-(-features // width))]
  lengths = np.sqrt((random.normal(size=(features, width)) ** 2).sum(1))
  w = np.concatenate(blocks)[:features] * lengths[:, None]
  q, k = (np.exp(x @ w.T - (x**2).sum(1, keepdims=True) / 2) for x in (q / width**0.25, k / width**0.25))
  return q, k


def feature_attention(
  features: Callable[..., Any], params: Any, x: np.ndarray, *, causal: bool, rotary: bool = False
) -> np.ndarray:
  ys = []
  for q, k, v in parts(HEADS, *read(params, x, *QKV)):
    q, k = features(q, k)
    above, below = (turn(q) @ turn(k).T if rotary else q @ k.T), q @ k.T
    if causal:
      above, below = np.tril(above), np.tril(below)
    ys.append(above @ v / below.sum(1, keepdims=True))
  return write(params, np.concatenate(ys, axis=-1))


def softmax_attention(params: Any, x: np.ndarray) -> np.ndarray:
  ys = []
  for q, k, v in parts(HEADS, *read(params, x, *QKV)):
    scores = q @ k.T / math.sqrt(q.shape[1])
    ys.append(softmax(np.where(np.tril(np.ones(scores.shape)) > 0, scores, -np.inf)) @ v)
  return write(params, np.concatenate(ys, axis=-1))


def softmax_deviation() -> float:
  case = Case('performer', (('heads', HEADS), ('features', 4096)))
  x = draw_input(0, LENGTH)
  small = {name: {'kernel': np.float32(0.3) * case.params[name]['kernel']} for name in ('query', 'key')}
  params = case.params | small
  actual = np.asarray(case.apply(params, x, None, Context())[0])
  params = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
  expected = np.stack([softmax_attention(params, row) for row in np.asarray(x, np.float64)])
  return float(np.abs(actual - expected).max() / np.abs(expected).max())


def linformer(params: Any, x: np.ndarray) -> np.ndarray:
  e, f = (params[name][: len(x)] for name in ('key_mixture', 'value_mixture'))
  ys = []
  for q, k, v in parts(HEADS, *read(params, x, *QKV)):
    ys.append(softmax(q @ (e.T @ k).T / math.sqrt(q.shape[1])) @ (f.T @ v))
  return write(params, np.concatenate(ys, axis=-1))


def retention(weights: Any, x: np.ndarray, *, rotary: bool) -> np.ndarray:
  q, k, v, gate = read(weights, x, *QKV, 'gate')
  shares, ys = parts(HEADS, q, k, v), []
  for head, (q, k, v) in enumerate(shares):
    q, k = (turn(q), turn(k)) if rotary else (q, k)
    s, rows = np.zeros((k.shape[1], v.shape[1])), []
    for t in range(len(x)):
      s = (1 - 2.0 ** (-5 - head)) * s + np.outer(k[t], v[t])
      y = q[t] @ s / math.sqrt(q.shape[1])
      rows.append((y - y.mean()) / np.sqrt(y.var() + 1e-6))
    ys.append(np.stack(rows))
  y = np.concatenate(ys, axis=-1) * weights['norm']['scale'].ravel() + weights['norm']['bias'].ravel()
  return write(weights, swish(gate) * y)


def ssd(weights: Any, x: np.ndarray, *, negative: bool = False) -> np.ndarray:
  u, b, c = (
    swish(convolved(a, weights[f'{name}_convolution']))
    for name, a in zip(('value', 'key', 'query'), read(weights, x, 'value', 'key', 'query'), strict=True)
  )
  z, step = read(weights, x, 'gate', 'step')
  delta, a = softplus(step + weights['decay']['bias']), -np.exp(weights['decay']['log_rate'])
  shares, ys = parts(HEADS, u), []
  for head, (u,) in enumerate(shares):
    h, rows = np.zeros((b.shape[1], u.shape[1])), []
    for t in range(len(x)):
      keep = np.exp(delta[t, head] * a[head])
      h = (2 * keep - 1 if negative else keep) * h + delta[t, head] * np.outer(b[t], u[t])
      rows.append(c[t] @ h + weights['skip'][head] * u[t])
    ys.append(np.stack(rows))
  y = np.concatenate(ys, axis=-1) * swish(z)
  return write(weights, np.stack([rms(row) for row in y]) * weights['norm']['scale'].ravel())


def gla(weights: Any, x: np.ndarray) -> np.ndarray:
  q, k, v, gate, low = read(weights, x, *QKV, 'gate', 'decay_down')
  (decay,) = read(weights, low, 'decay_up')
  alpha = sigmoid(decay + weights['decay_up']['bias'].ravel()) ** (1 / 16)
  shares, ys = parts(HEADS, q, k, v, alpha), []
  for q, k, v, alpha in shares:
    s, rows = np.zeros((k.shape[1], v.shape[1])), []
    for t in range(len(x)):
      s = alpha[t][:, None] * s + np.outer(k[t], v[t])
      rows.append(rms(q[t] @ s / math.sqrt(q.shape[1])))
    ys.append(np.stack(rows))
  return write(weights, swish(gate) * np.concatenate(ys, axis=-1) * weights['norm']['scale'].ravel())


def gated_delta(weights: Any, x: np.ndarray, *, largest_beta: float = 1.0) -> np.ndarray:
  q, k, v = (
    swish(convolved(a, weights[f'{name}_convolution'])) for name, a in zip(QKV, read(weights, x, *QKV), strict=True)
  )
  gate, gates = read(weights, x, 'gate', 'gates')
  beta, step = np.split(gates, 2, axis=-1)
  beta = largest_beta * sigmoid(beta)
  alpha = np.exp(-np.exp(weights['decay']['log_rate']) * softplus(step + weights['decay']['bias']))
  shares, ys = parts(HEADS, q, k, v), []
  for head, (q, k, v) in enumerate(shares):
    q, k = (a / np.sqrt((a**2).sum(1, keepdims=True) + 1e-6) for a in (q, k))
    s, rows = np.zeros((v.shape[1], k.shape[1])), []
    for t in range(len(x)):
      forget = alpha[t, head] * (np.eye(k.shape[1]) - beta[t, head] * np.outer(k[t], k[t]))
      s = s @ forget + beta[t, head] * np.outer(v[t], k[t])
      rows.append(rms(s @ q[t] / math.sqrt(q.shape[1])))
    ys.append(np.stack(rows))
  return write(weights, swish(gate) * np.concatenate(ys, axis=-1) * weights['norm']['scale'].ravel())


def mlstm(weights: Any, x: np.ndarray) -> np.ndarray:
  """Equations 19 to 27, with no stabiliser: float64 holds the exponentials."""
  q, k, v, gate, gates = read(weights, x, *QKV, 'gate', 'gates')
  inputs, forget = np.split(gates + weights['gates']['bias'].ravel(), 2, axis=-1)
  shares, ys = parts(HEADS, q, k, v), []
  for head, (q, k, v) in enumerate(shares):
    c, n, rows = np.zeros((v.shape[1], k.shape[1])), np.zeros(k.shape[1]), []
    for t in range(len(x)):
      f, i, key = sigmoid(forget[t, head]), np.exp(inputs[t, head]), k[t] / math.sqrt(k.shape[1])
      c, n = f * c + i * np.outer(v[t], key), f * n + i * key
      rows.append(rms(c @ q[t] / max(abs(n @ q[t]), 1.0)))
    ys.append(np.stack(rows))
  return write(weights, sigmoid(gate) * np.concatenate(ys, axis=-1) * weights['norm']['scale'].ravel())


def check(
  name: str,
  against: str,
  reference: Callable[..., Any],
  *,
  causal: bool = True,
  tolerance: float = 1e-5,
  **options: Any,
) -> Check:
  options = {'heads': HEADS} | options
  return Check('mixer', name, against, lambda: mixer_deviation(name, reference, causal=causal, **options), tolerance)


def directions(
  name: str, paper: str, form: Direction, *, both_tolerance: float = 1e-5, **options: Any
) -> tuple[Check, Check]:
  """Return the checks of the causal and of the bidirectional form."""
  return (
    check(name, f'NumPy loop over the equations, {paper}', functools.partial(one_way, form), **options),
    check(
      name,
      f'NumPy loop both ways, {paper}',
      functools.partial(both_ways, form),
      causal=False,
      tolerance=both_tolerance,
      **options,
    ),
  )


elu = functools.partial(feature_attention, elu_features)
favor = functools.partial(feature_attention, functools.partial(favor_features, features=6))
turned = functools.partial(retention, rotary=True)
still = functools.partial(retention, rotary=False)
KATHAROPOULOS = 'Katharopoulos et al. (2020), equation 8'
CHOROMANSKI = 'Choromanski et al. (2021), directions by Gram–Schmidt'

CHECKS = (
  check('linear_attention', f'NumPy matrix, {KATHAROPOULOS}', functools.partial(elu, causal=True)),
  check(
    'linear_attention',
    'NumPy matrix of complex numbers, rotary in the numerator, Su et al. (2021), equation 19',
    functools.partial(elu, causal=True, rotary=True),
    position='rotary',
  ),
  check('linear_attention', f'NumPy whole matrix, {KATHAROPOULOS}', functools.partial(elu, causal=False), causal=False),
  check('performer', f'NumPy matrix, {CHOROMANSKI}', functools.partial(favor, causal=True), features=6),
  check(
    'performer', f'NumPy whole matrix, {CHOROMANSKI}', functools.partial(favor, causal=False), causal=False, features=6
  ),
  # Small queries and keys: the error of a feature grows as exp(|q + k|²).
  Check('mixer', 'performer', 'NumPy softmax attention, with 4,096 features', softmax_deviation, tolerance=0.02),
  check('linformer', 'NumPy matrices, Wang et al. (2020), equation 7', linformer, causal=False, length=40, rank=8),
  *directions('retention', 'Sun et al. (2023), equations 5 to 8', still),
  check(
    'retention',
    'NumPy loop with complex rotations, Sun et al. (2023)',
    functools.partial(one_way, turned),
    position='rotary',
  ),
  *directions('ssd', 'Dao & Gu (2024), equation 1 and figure 6', ssd, state_width=4),
  check(
    'ssd',
    REFLECTED,
    functools.partial(one_way, functools.partial(ssd, negative=True)),
    state_width=4,
    negative_eigenvalues=True,
  ),
  *directions('gla', 'Yang et al. (2024), equations 3 and 5', gla, gate_rank=4),
  # The inverse of a triangle amplifies rounding: both ways 5.0e-06 with JAX 0.10.2, 1.4e-05 with JAX 0.12.0.
  *directions('gated_delta', 'Yang et al. (2025), equation 10', gated_delta, both_tolerance=3e-5),
  check(
    'gated_delta',
    REFLECTED,
    functools.partial(one_way, functools.partial(gated_delta, largest_beta=2.0)),
    negative_eigenvalues=True,
  ),
  *directions('mlstm', 'Beck et al. (2024), equations 19 to 27', mlstm),
)
