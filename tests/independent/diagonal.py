"""Gated linear recurrences, the sLSTM and the convolution, one equation at a time."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.independent import Check, Direction, both_ways, mixer_deviation, one_way


def sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
  """The tanh approximation (Hendrycks & Gimpel, 2016)."""
  return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def min_gru(weights: Any, x: np.ndarray) -> np.ndarray:
  w, b = weights['input']['kernel'], weights['input']['bias']
  h, ys = np.zeros(w.shape[2]), []
  for now in x:
    z = sigmoid(now @ w[:, 0] + b[0])
    h = (1 - z) * h + z * (now @ w[:, 1] + b[1])
    ys.append(h)
  return np.stack(ys)


def min_lstm(weights: Any, x: np.ndarray) -> np.ndarray:
  w, b = weights['input']['kernel'], weights['input']['bias']
  h, ys = np.zeros(w.shape[2]), []
  for now in x:
    f, i = sigmoid(now @ w[:, 0] + b[0]), sigmoid(now @ w[:, 1] + b[1])
    h = f / (f + i) * h + i / (f + i) * (now @ w[:, 2] + b[2])
    ys.append(h)
  return np.stack(ys)


def linear_recurrence(weights: Any, x: np.ndarray) -> np.ndarray:
  """In complex128, without the skip."""
  decay = np.exp(-np.exp(weights['nu_log']) + 1j * np.exp(weights['theta_log']))
  of_input, of_output = weights['input']['kernel'], weights['output']['kernel']
  b, c = of_input[:, 0] + 1j * of_input[:, 1], of_output[0] + 1j * of_output[1]
  h, ys = np.zeros(len(decay), np.complex128), []
  for now in x:
    h = decay * h + np.exp(weights['gamma_log']) * (now @ b)
    ys.append((h @ c).real)
  return np.stack(ys)


def griffin(weights: Any, x: np.ndarray) -> np.ndarray:
  """Equations 1 to 4, with a power of a = σ(Λ) instead of its logarithm."""
  w, b = weights['input']['kernel'], weights['input']['bias']
  taps, of_gates, output = weights['convolution']['taps'], weights['gates'], weights['output']
  block = of_gates['kernel'].shape[1]
  h, past, ys = np.zeros(w.shape[2]), [np.zeros(w.shape[2])] * (len(taps) - 1), []
  for now in x:
    past.append(now @ w[:, 0] + b[0])
    u = sum(taps[-1 - i] * past[-1 - i] for i in range(len(taps))) + weights['convolution']['bias']
    heads = list(zip(of_gates['kernel'], of_gates['bias'], strict=True))  # [inputs gate outputs], [gate outputs]
    r, i = (
      sigmoid(np.concatenate([u[n * block : (n + 1) * block] @ w[:, g] + b[g] for n, (w, b) in enumerate(heads)]))
      for g in range(2)
    )
    a = sigmoid(weights['decay_logit']) ** (8 * r)
    h = a * h + np.sqrt(1 - a**2) * (i * u)
    ys.append(gelu(now @ w[:, 1] + b[1]) * h @ output['kernel'] + output['bias'])
  return np.stack(ys)


def convolution(dilation: int, weights: Any, x: np.ndarray) -> np.ndarray:
  taps, ys = weights['depthwise']['taps'], []
  for t in range(len(x)):
    y = weights['depthwise']['bias'].copy()
    for i in range(len(taps)):
      if t - i * dilation >= 0:
        y += taps[len(taps) - 1 - i] * x[t - i * dilation]
    ys.append(y * sigmoid(y) @ weights['output']['kernel'])
  return np.stack(ys)


def exponential(weights: Any, x: np.ndarray) -> np.ndarray:
  """Equations 8 to 14 with no stabiliser: float64 holds the exponentials. Then each head is normalised."""
  recurrent, taps = weights['recurrent_kernel'], weights['convolution']['taps']
  heads, each = recurrent.shape[:2]
  h, c, n = (np.zeros((heads, each)) for _ in range(3))
  past, ys = [np.zeros(x.shape[1])] * (len(taps) - 1), []
  for now in x:
    past.append(now)
    smooth = sum(taps[-1 - i] * past[-1 - i] for i in range(len(taps))) + weights['convolution']['bias']
    smooth = smooth * sigmoid(smooth)
    rows = []
    for g in range(heads):
      gates = []
      for name, seen in (('input_forget', smooth), ('cell_output', now)):
        kernel, bias = weights[name]['kernel'][:, g], weights[name]['bias'][g]
        gates += [seen @ kernel[:, gate] + bias[gate] for gate in range(2)]
      i, f, z, o = (gate + h[g] @ recurrent[g, :, k] for k, gate in enumerate(gates))
      c[g] = sigmoid(f) * c[g] + np.exp(i) * np.tanh(z)
      n[g] = sigmoid(f) * n[g] + np.exp(i)
      h[g] = sigmoid(o) * c[g] / n[g]
      rows.append((h[g] - h[g].mean()) / np.sqrt(h[g].var() + 1e-6) * weights['norm']['scale'][g])
    ys.append(np.concatenate(rows))
  return np.stack(ys)


def with_skip(read: Callable[..., np.ndarray], direction: Direction, params: Any, x: np.ndarray) -> np.ndarray:
  return read(direction, params, x) + params.get('skip', 0.0) * x


def check(name: str, direction: Direction, against: str, *, causal: bool = True, **options: Any) -> Check:
  reference = functools.partial(with_skip, one_way if causal else both_ways, direction)
  return Check('mixer', name, against, lambda: mixer_deviation(name, reference, causal=causal, **options))


CHECKS = (
  check('min_gru', min_gru, 'NumPy loop over the equations, Feng et al. (2024)'),
  check('min_gru', min_gru, 'NumPy loop both ways, Feng et al. (2024)', causal=False),
  check('min_lstm', min_lstm, 'NumPy loop over the equations, Feng et al. (2024)'),
  check('min_lstm', min_lstm, 'NumPy loop both ways, Feng et al. (2024)', causal=False),
  check('lru', linear_recurrence, 'NumPy loop in complex128, Orvieto et al. (2023)', state_size=6, max_phase=1.5),
  check(
    'lru',
    linear_recurrence,
    'NumPy loop both ways in complex128, Orvieto et al. (2023)',
    causal=False,
    state_size=6,
    max_phase=1.5,
  ),
  check('rg_lru', griffin, 'NumPy loop over the equations, De et al. (2024)', heads=4, expansion=1.5),
  check('rg_lru', griffin, 'NumPy loop both ways, De et al. (2024)', causal=False),
  check('slstm', exponential, 'NumPy loop without the stabiliser, Beck et al. (2024)', heads=2),
  check('slstm', exponential, 'NumPy loop both ways without the stabiliser, Beck et al. (2024)', causal=False),
  check('conv', functools.partial(convolution, 3), 'NumPy loop over taps, dilation 3', kernel_size=4, dilation=3),
  check('conv', functools.partial(convolution, 1), 'NumPy loop over taps both ways', causal=False),
)
