"""Gated linear recurrences, the sLSTM and the convolution, one equation at a time."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.independent.checks import REFLECTED, Check, Direction, both_ways, mixer_deviation, one_way


def sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
  """The tanh approximation (Hendrycks & Gimpel, 2016)."""
  return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def min_gru(weights: Any, x: np.ndarray, *, negative: bool = False) -> np.ndarray:
  """negative: 2a - 1 in place of the factor a of the state, as in min_lstm and griffin."""
  (w_z, w_h), (b_z, b_h) = (np.moveaxis(weights['input'][name], -2, 0) for name in ('kernel', 'bias'))
  h, ys = np.zeros(w_h.shape[1]), []
  for now in x:
    z = sigmoid(now @ w_z + b_z)
    h = (1 - 2 * z if negative else 1 - z) * h + z * (now @ w_h + b_h)
    ys.append(h)
  return np.stack(ys)


def min_lstm(weights: Any, x: np.ndarray, *, negative: bool = False) -> np.ndarray:
  (w_f, w_i, w_h), (b_f, b_i, b_h) = (np.moveaxis(weights['input'][name], -2, 0) for name in ('kernel', 'bias'))
  h, ys = np.zeros(w_h.shape[1]), []
  for now in x:
    f, i = sigmoid(now @ w_f + b_f), sigmoid(now @ w_i + b_i)
    h = ((f - i) if negative else f) / (f + i) * h + i / (f + i) * (now @ w_h + b_h)
    ys.append(h)
  return np.stack(ys)


def linear_recurrence(weights: Any, x: np.ndarray) -> np.ndarray:
  """In complex128, without the skip."""
  decay = np.exp(-np.exp(weights['nu_log']) + 1j * np.exp(weights['theta_log']))
  b_re, b_im = weights['input']['kernel'].swapaxes(0, 1)
  c_re, c_im = weights['output']['kernel']
  b, c = b_re + 1j * b_im, c_re + 1j * c_im
  h, ys = np.zeros(len(decay), np.complex128), []
  for now in x:
    h = decay * h + np.exp(weights['gamma_log']) * (now @ b)
    ys.append((h @ c).real)
  return np.stack(ys)


def griffin(weights: Any, x: np.ndarray, *, negative: bool = False) -> np.ndarray:
  """Equations 1 to 4, with a power of a = σ(Λ) instead of its logarithm. negative: with 2a - 1 in its place."""
  w_branch, w_gate = weights['input']['kernel'].swapaxes(0, 1)
  b_branch, b_gate = weights['input']['bias']
  taps, heads = weights['convolution']['taps'], weights['gates']['kernel']
  block = heads.shape[1]
  h, past, ys = np.zeros(w_gate.shape[1]), [np.zeros(w_gate.shape[1])] * (len(taps) - 1), []
  for now in x:
    past.append(now @ w_branch + b_branch)
    u = sum(taps[-1 - i] * past[-1 - i] for i in range(len(taps))) + weights['convolution']['bias']
    own = [u[n * block : (n + 1) * block] for n in range(len(heads))]
    r, i = (
      sigmoid(np.concatenate([own[n] @ w[:, gate] + weights['gates']['bias'][n, gate] for n, w in enumerate(heads)]))
      for gate in (0, 1)
    )
    a = sigmoid(weights['decay_logit']) ** (8 * r)
    a = 2 * a - 1 if negative else a
    h = a * h + np.sqrt(1 - a**2) * (i * u)
    ys.append(gelu(now @ w_gate + b_gate) * h @ weights['output']['kernel'] + weights['output']['bias'])
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
  heads, each, *_ = weights['recurrent_kernel'].shape
  taps = weights['convolution']['taps']
  h, c, n = (np.zeros((heads, each)) for _ in range(3))
  past, ys = [np.zeros(x.shape[1])] * (len(taps) - 1), []
  for now in x:
    past.append(now)
    smooth = sum(taps[-1 - i] * past[-1 - i] for i in range(len(taps))) + weights['convolution']['bias']
    smooth = smooth * sigmoid(smooth)
    rows = []
    for g in range(heads):
      recurrent = np.tensordot(h[g], weights['recurrent_kernel'][g], 1)
      (w_if, w_zo), (b_if, b_zo) = (
        [weights[pair][part][..., g, :, :] for pair in ('input_forget', 'cell_output')] for part in ('kernel', 'bias')
      )
      i, f = np.tensordot(smooth, w_if, 1) + b_if + recurrent[:2]
      z, o = np.tensordot(now, w_zo, 1) + b_zo + recurrent[2:]
      c[g] = sigmoid(f) * c[g] + np.exp(i) * np.tanh(z)
      n[g] = sigmoid(f) * n[g] + np.exp(i)
      h[g] = sigmoid(o) * c[g] / n[g]
      rows.append((h[g] - h[g].mean()) / np.sqrt(h[g].var() + 1e-6))
    ys.append((np.stack(rows) * weights['norm']['scale']).ravel())
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
  *(
    check(name, functools.partial(form, negative=True), REFLECTED, causal=True, negative_eigenvalues=True)
    for name, form in (('min_gru', min_gru), ('min_lstm', min_lstm))
  ),
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
  check(
    'rg_lru',
    functools.partial(griffin, negative=True),
    REFLECTED,
    negative_eigenvalues=True,
  ),
  check('slstm', exponential, 'NumPy loop without the stabiliser, Beck et al. (2024)', heads=2),
  check('slstm', exponential, 'NumPy loop both ways without the stabiliser, Beck et al. (2024)', causal=False),
  check('conv', functools.partial(convolution, 3), 'NumPy loop over taps, dilation 3', kernel_size=4, dilation=3),
  check('conv', functools.partial(convolution, 1), 'NumPy loop over taps both ways', causal=False),
)
