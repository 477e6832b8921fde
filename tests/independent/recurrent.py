"""Elman's network, the LSTM and the GRU, one equation at a time."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.independent import Check, both_ways, mixer_deviation, one_way


def sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def rnn_step(x, carry, weights):
  w, u, b = (weights[name] for name in ('input_kernel', 'recurrent_kernel', 'bias'))
  return (np.tanh(x @ w + carry[0] @ u + b),)


def lstm_step(x, carry, weights):
  h, c = carry
  w, u, b = (weights[name] for name in ('input_kernel', 'recurrent_kernel', 'bias'))
  i, f, g, o = np.split(x @ w + h @ u + b, 4)
  c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
  return sigmoid(o) * np.tanh(c), c


def gru_step(x, carry, weights):
  (h,) = carry
  w, u, b = (np.split(weights[name], 3, axis=-1) for name in ('input_kernel', 'recurrent_kernel', 'bias'))
  r = sigmoid(x @ w[0] + h @ u[0] + b[0])
  z = sigmoid(x @ w[1] + h @ u[1] + b[1])
  n = np.tanh(x @ w[2] + b[2] + r * (h @ u[2] + weights['recurrent_bias']))
  return ((1 - z) * n + z * h,)


def loop(step: Callable[..., Any], carries: int, weights: Any, x: np.ndarray) -> np.ndarray:
  carry = tuple(np.zeros(weights['recurrent_kernel'].shape[0]) for _ in range(carries))
  ys = []
  for row in x:
    carry = step(row, carry, weights)
    ys.append(carry[0])
  return np.stack(ys)


def check(name: str, step: Callable[..., Any], carries: int, paper: str, causal: bool) -> Check:
  reference = functools.partial(one_way if causal else both_ways, functools.partial(loop, step, carries))
  against = f'NumPy loop over the equations, {paper}' if causal else f'NumPy loop both ways, {paper}'
  return Check('mixer', name, against, lambda: mixer_deviation(name, reference, causal=causal))


CHECKS = tuple(
  check(*how, causal)
  for how in (
    ('rnn', rnn_step, 1, 'Elman (1990)'),
    ('lstm', lstm_step, 2, 'Hochreiter & Schmidhuber (1997), Gers et al. (2000)'),
    ('gru', gru_step, 1, 'Cho et al. (2014), reset after the product'),
  )
  for causal in (True, False)
)
