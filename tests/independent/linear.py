"""Linear attention and its relatives, one token and one equation at a time; bidirectional ones as whole matrices."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from seqmodels.context import Context
from tests.cases import Case, draw_input
from tests.independent import LENGTH, Check, Direction, both_ways, columns, mixer_deviation, one_way, rows

HEADS = 2


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


def projected(weights: Any, x: np.ndarray, *names: str) -> list[np.ndarray]:
  """Return x times each kernel, heads side by side."""
  return [x @ columns(weights[name]) for name in names or ('query', 'key', 'value')]


def parts(heads: int, *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
  """Each head's share of every array's last axis."""
  return zip(*(np.split(a, heads, axis=-1) for a in arrays), strict=True)


def turn(x: np.ndarray) -> np.ndarray:
  """Pairs (x[i], x[i + k/2]) as complex numbers, turned by position · 10,000^(-2i/k) (Su et al., 2021)."""
  half = x.shape[-1] // 2
  angle = np.arange(len(x))[:, None] * 10_000.0 ** (-np.arange(half) / half)[None, :]
  pairs = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angle)
  return np.concatenate([pairs.real, pairs.imag], axis=-1)


def convolved(x: np.ndarray, layer: Any) -> np.ndarray:
  taps = layer['taps'].reshape(len(layer['taps']), -1)
  padded = np.concatenate([np.zeros((len(taps) - 1, x.shape[1])), x])
  return (
    np.stack([(padded[t : t + len(taps)] * taps).sum(0) for t in range(len(x))])
    + layer.get('bias', np.zeros(1)).ravel()
  )


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
  for q, k, v in parts(HEADS, *projected(params, x)):
    q, k = features(q, k)
    above, below = (turn(q) @ turn(k).T if rotary else q @ k.T), q @ k.T
    if causal:
      above, below = np.tril(above), np.tril(below)
    ys.append(above @ v / below.sum(1, keepdims=True))
  return np.concatenate(ys, axis=-1) @ rows(params['output'])


def softmax_attention(params: Any, x: np.ndarray) -> np.ndarray:
  ys = []
  for q, k, v in parts(HEADS, *projected(params, x)):
    scores = q @ k.T / math.sqrt(q.shape[1])
    ys.append(softmax(np.where(np.tril(np.ones(scores.shape)) > 0, scores, -np.inf)) @ v)
  return np.concatenate(ys, axis=-1) @ rows(params['output'])


def softmax_deviation() -> float:
  case = Case('performer', (('heads', HEADS), ('features', 4096)))
  x = draw_input(0, LENGTH)
  small = {name: {'kernel': case.params[name]['kernel'] * np.float32(0.3)} for name in ('query', 'key')}
  params = case.params | small
  actual = np.asarray(case.apply(params, x, None, Context())[0])
  params = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
  expected = np.stack([softmax_attention(params, row) for row in np.asarray(x, np.float64)])
  return float(np.abs(actual - expected).max() / np.abs(expected).max())


def linformer(params: Any, x: np.ndarray) -> np.ndarray:
  e, f = (params[name][: len(x)] for name in ('key_mixture', 'value_mixture'))
  ys = []
  for q, k, v in parts(HEADS, *projected(params, x)):
    ys.append(softmax(q @ (e.T @ k).T / math.sqrt(q.shape[1])) @ (f.T @ v))
  return np.concatenate(ys, axis=-1) @ rows(params['output'])


def retention(weights: Any, x: np.ndarray, *, rotary: bool) -> np.ndarray:
  *joined, gate = projected(weights, x, 'query', 'key', 'value', 'gate')
  norm, ys = weights['norm'], []
  for head, (q, k, v) in enumerate(parts(HEADS, *joined)):
    q, k = (turn(q), turn(k)) if rotary else (q, k)
    s, outputs = np.zeros((k.shape[1], v.shape[1])), []
    for t in range(len(x)):
      s = (1 - 2.0 ** (-5 - head)) * s + np.outer(k[t], v[t])
      y = q[t] @ s / math.sqrt(q.shape[1])
      outputs.append((y - y.mean()) / np.sqrt(y.var() + 1e-6) * norm['scale'][head] + norm['bias'][head])
    ys.append(np.stack(outputs))
  return (swish(gate) * np.concatenate(ys, axis=-1)) @ rows(weights['output'])


def ssd(weights: Any, x: np.ndarray) -> np.ndarray:
  names = ('value', 'key', 'query')
  joined = projected(weights, x, *names)
  inputs, b, c = (swish(convolved(a, weights[f'{name}_convolution'])) for name, a in zip(names, joined, strict=True))
  (z,) = projected(weights, x, 'gate')
  delta = softplus(x @ columns(weights['step']) + weights['decay']['bias'])
  a = -np.exp(weights['decay']['log_rate'])
  ys = []
  for head, (u,) in enumerate(parts(HEADS, inputs)):
    h, outputs = np.zeros((b.shape[1], u.shape[1])), []
    for t in range(len(x)):
      h = np.exp(delta[t, head] * a[head]) * h + delta[t, head] * np.outer(b[t], u[t])
      outputs.append(c[t] @ h + weights['skip'][head] * u[t])
    ys.append(np.stack(outputs))
  y = np.concatenate(ys, axis=-1) * swish(z)
  y = np.stack([rms(row) for row in y]) * weights['norm']['scale'].ravel()
  return y @ rows(weights['output'])


def gla(weights: Any, x: np.ndarray) -> np.ndarray:
  *joined, gate, low = projected(weights, x, 'query', 'key', 'value', 'gate', 'decay_down')
  decays = sigmoid(low @ columns(weights['decay_up']) + weights['decay_up']['bias'].ravel()) ** (1 / 16)
  ys = []
  for head, (q, k, v, alpha) in enumerate(parts(HEADS, *joined, decays)):
    s, outputs = np.zeros((k.shape[1], v.shape[1])), []
    for t in range(len(x)):
      s = alpha[t][:, None] * s + np.outer(k[t], v[t])
      outputs.append(rms(q[t] @ s / math.sqrt(q.shape[1])) * weights['norm']['scale'][head])
    ys.append(np.stack(outputs))
  return (swish(gate) * np.concatenate(ys, axis=-1)) @ rows(weights['output'])


def gated_delta(weights: Any, x: np.ndarray) -> np.ndarray:
  names = ('query', 'key', 'value')
  joined = projected(weights, x, *names)
  joined = [swish(convolved(a, weights[f'{name}_convolution'])) for name, a in zip(names, joined, strict=True)]
  (gate,) = projected(weights, x, 'gate')
  beta, step = np.moveaxis(np.einsum('td,dgh->tgh', x, weights['gates']['kernel']), 1, 0)
  decay = weights['decay']
  beta, alpha = sigmoid(beta), np.exp(-np.exp(decay['log_rate']) * softplus(step + decay['bias']))
  ys = []
  for head, (q, k, v) in enumerate(parts(HEADS, *joined)):
    q, k = (a / np.sqrt((a**2).sum(1, keepdims=True) + 1e-6) for a in (q, k))
    s, outputs = np.zeros((v.shape[1], k.shape[1])), []
    for t in range(len(x)):
      forget = alpha[t, head] * (np.eye(k.shape[1]) - beta[t, head] * np.outer(k[t], k[t]))
      s = s @ forget + beta[t, head] * np.outer(v[t], k[t])
      outputs.append(rms(s @ q[t] / math.sqrt(q.shape[1])) * weights['norm']['scale'][head])
    ys.append(np.stack(outputs))
  return (swish(gate) * np.concatenate(ys, axis=-1)) @ rows(weights['output'])


def mlstm(weights: Any, x: np.ndarray) -> np.ndarray:
  """Equations 19 to 27, with no stabiliser: float64 holds the exponentials."""
  *joined, gate = projected(weights, x, 'query', 'key', 'value', 'gate')
  gates = np.einsum('td,dgh->tgh', x, weights['gates']['kernel']) + weights['gates']['bias']
  ys = []
  for head, (q, k, v) in enumerate(parts(HEADS, *joined)):
    c, n, outputs = np.zeros((v.shape[1], k.shape[1])), np.zeros(k.shape[1]), []
    for t in range(len(x)):
      f, i, key = sigmoid(gates[t, 1, head]), np.exp(gates[t, 0, head]), k[t] / math.sqrt(k.shape[1])
      c, n = f * c + i * np.outer(v[t], key), f * n + i * key
      outputs.append(rms(c @ q[t] / max(abs(n @ q[t]), 1.0)) * weights['norm']['scale'][head])
    ys.append(np.stack(outputs))
  return (sigmoid(gate) * np.concatenate(ys, axis=-1)) @ rows(weights['output'])


def check(
  name: str,
  against: str,
  reference: Callable[..., Any],
  *,
  causal: bool = True,
  **options: Any,
) -> Check:
  options = {'heads': HEADS} | options
  return Check('mixer', name, against, lambda: mixer_deviation(name, reference, causal=causal, **options))


def directions(name: str, paper: str, form: Direction, **options: Any) -> tuple[Check, Check]:
  """The causal and the bidirectional form."""
  return (
    check(name, f'NumPy loop over the equations, {paper}', functools.partial(one_way, form), **options),
    check(name, f'NumPy loop both ways, {paper}', functools.partial(both_ways, form), causal=False, **options),
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
  *directions('gla', 'Yang et al. (2024), equations 3 and 5', gla, gate_rank=4),
  *directions('gated_delta', 'Yang et al. (2025), equation 10', gated_delta),
  *directions('mlstm', 'Beck et al. (2024), equations 19 to 27', mlstm),
)
