"""Elman's network, the LSTM and the GRU, one equation at a time."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.independent import Check, both_ways, mixer_deviation, one_way


def sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def sums(x, h, weights, gate):
  """Return W x + b and U h of one gate."""
  of_input, recurrent = weights['input'], weights['recurrent_kernel']
  return x @ of_input['kernel'][:, gate] + of_input['bias'][gate], h @ recurrent[:, gate]


def rnn_step(x, carry, weights):
  return (np.tanh(sum(sums(x, carry[0], weights, 0))),)


def lstm_step(x, carry, weights):
  h, c = carry
  i, f, g, o = (sum(sums(x, h, weights, gate)) for gate in range(4))
  c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
  return sigmoid(o) * np.tanh(c), c


def gru_step(x, carry, weights):
  (h,) = carry
  r, z = (sigmoid(sum(sums(x, h, weights, gate))) for gate in range(2))
  from_x, from_h = sums(x, h, weights, 2)
  n = np.tanh(from_x + r * (from_h + weights['recurrent_bias']))
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
