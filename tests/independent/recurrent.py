"""Elman's network, the LSTM, the GRU and the convolutional LSTM, one equation at a time."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.signal import correlate2d

from tests.independent.checks import Check, both_ways, mixer_deviation, one_way


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


def convolved(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
  """Return the sum over the channels n of image [h w n] and kernel [n i j], zeros being beyond the edges."""
  parts = (correlate2d(image[:, :, n], kernel[n], mode='same') for n in range(len(kernel)))
  return sum(parts, np.zeros(image.shape[:2]))


def images(height: int, width: int, weights: Any, x: np.ndarray) -> np.ndarray:
  """Equations 3 of Shi et al. (2015) for [t d], one output channel at a time; without peepholes they are zero."""
  channels = weights['bias'].shape[1]
  peephole = weights.get('peephole_scale', np.zeros((3, height, width, channels)))
  h = c = np.zeros((height, width, channels))
  ys = []
  for row in x:
    image = row.reshape(height, width, channels)
    new_h, new_c = np.zeros_like(h), np.zeros_like(c)
    for k in range(channels):
      of = lambda gate, h=h, image=image, k=k: (
        convolved(image, weights['input_kernel'][:, :, :, gate, k])
        + convolved(h, weights['recurrent_kernel'][:, :, :, gate, k])
        + weights['bias'][gate, k]
      )
      i = sigmoid(of(0) + peephole[0, :, :, k] * c[:, :, k])
      f = sigmoid(of(1) + peephole[1, :, :, k] * c[:, :, k])
      new_c[:, :, k] = f * c[:, :, k] + i * np.tanh(of(2))
      new_h[:, :, k] = sigmoid(of(3) + peephole[2, :, :, k] * new_c[:, :, k]) * np.tanh(new_c[:, :, k])
    h, c = new_h, new_c
    ys.append(h.ravel())
  return np.stack(ys)


def image_check(height: int, width: int, **options: Any) -> Check:
  reference = functools.partial(images, height, width)
  with_peepholes = ' with peepholes' if options else ''
  against = f"NumPy loop with SciPy's correlate2d{with_peepholes}, Shi et al. (2015)"
  sides = {'image_height': height, 'image_width': width}
  return Check('mixer', 'conv_lstm', against, lambda: mixer_deviation('conv_lstm', reference, **sides, **options))


CHECKS = tuple(
  check(*how, causal)
  for how in (
    ('rnn', rnn_step, 1, 'Elman (1990)'),
    ('lstm', lstm_step, 2, 'Hochreiter & Schmidhuber (1997), Gers et al. (2000)'),
    ('gru', gru_step, 1, 'Cho et al. (2014), reset after the product'),
  )
  for causal in (True, False)
)
CHECKS += (image_check(2, 2, peepholes=True), image_check(1, 4))
