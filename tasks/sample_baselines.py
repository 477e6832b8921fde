"""Predict µ-law samples without a network: counts of samples, and linear prediction. NumPy only."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from tasks import audio

ORDER = 12  # of linear prediction
RANGES = 32  # of loudness
SMALLEST, SCALES = 2.0**-15, 15  # the least width that is tried, and how many, each twice the last
LARGEST = 200_000  # samples that the prediction is fitted to, about
LEAST = 1e-6  # probability of a sample

Waves = Sequence[UInt8[np.ndarray, ' n']]


def scores(train: Waves, test: Waves) -> dict[str, dict[str, float]]:
  """Return bits and loss (nats) a sample of each baseline, over all test samples but the ends."""
  nats = {'unigram': _unigram(train, test), 'previous sample': _bigram(train, test)}
  if any(len(wave) > ORDER for wave in train):
    nats[f'linear prediction of {ORDER}'] = _linear(train, test)
  return {name: {'loss': value, 'bits': value / math.log(2)} for name, value in nats.items()}


def _unigram(train: Waves, test: Waves) -> float:
  counts = np.bincount(np.concatenate(train), minlength=audio.LEVELS) + 1.0
  return float(-np.log(counts / counts.sum())[np.concatenate(test)].mean())


def _bigram(train: Waves, test: Waves) -> float:
  """Return the nats of counts after each sample, mixed with those of all samples; silence stands before the first."""
  before, now = _pairs(train)
  counts = np.zeros((audio.LEVELS, audio.LEVELS))
  np.add.at(counts, (before, now), 1.0)
  every = counts.sum(axis=0) + 1
  every /= every.sum()
  mixed = (counts + 16 * every[None]) / (counts.sum(axis=1, keepdims=True) + 16)
  before, now = _pairs(test)
  return float(-np.log(mixed[before, now]).mean())


def _pairs(waves: Waves) -> tuple[np.ndarray, np.ndarray]:
  before = np.concatenate([np.concatenate([[audio.LEVELS // 2], wave[:-1]]) for wave in waves])
  return before.astype(np.int64), np.concatenate(waves).astype(np.int64)


def _linear(train: Waves, test: Waves) -> float:
  """Return the nats of a logistic distribution around a least-squares prediction from the last ORDER samples.

  Predicted is the sound itself; a code has the mass of its interval. The distribution is the wider, the louder the last
  samples: one width for each of RANGES ranges of loudness, fitted to the training samples.
  """
  past, now = _windows(train[: _enough(train)], np.empty(0, np.uint8))  # a beginning is no sound like any other
  sound = audio.from_mu_law(np.arange(audio.LEVELS, dtype=np.uint8)).astype(np.float64)
  loudness = _loudness(past)
  scale = 1 / (loudness + SMALLEST)  # so that quiet samples count as much as loud ones
  weights, *_ = np.linalg.lstsq(past * scale[:, None], sound[now] * scale, rcond=None)
  centre = past @ weights
  edges = np.quantile(loudness, np.linspace(0, 1, RANGES + 1)[1:-1])
  ranges = np.searchsorted(edges, loudness)
  widths = np.array([_best_width(centre[ranges == i], now[ranges == i]) for i in range(RANGES)])
  past, now = _windows(test, np.full(ORDER, audio.LEVELS // 2, np.uint8))
  return float(_logistic_nats(past @ weights, now, widths[np.searchsorted(edges, _loudness(past))]).mean())


def _enough(waves: Waves) -> int:
  """Return how many waves have LARGEST samples, or all."""
  return 1 + int(np.searchsorted(np.cumsum([len(wave) for wave in waves]), LARGEST))


def _windows(waves: Waves, silence: UInt8[np.ndarray, ' m']) -> tuple[Float[np.ndarray, 'n k'], Int[np.ndarray, ' n']]:
  """Return the sound of the ORDER samples before each sample, the newest last, and its code.

  silence: what stands before each wave; samples without ORDER others before them are left out.
  """
  joined = [np.concatenate([silence, wave]) for wave in waves if len(silence) + len(wave) > ORDER]
  table = np.concatenate([np.lib.stride_tricks.sliding_window_view(wave, ORDER + 1) for wave in joined])
  return audio.from_mu_law(table[:, :-1]).astype(np.float64), table[:, -1].astype(np.int64)


def _loudness(past: Float[np.ndarray, 'n k']) -> Float[np.ndarray, ' n']:
  return np.abs(past).mean(axis=1)


def _best_width(centre: Float[np.ndarray, ' n'], codes: Int[np.ndarray, ' n']) -> float:
  """Return the width of the likeliest distribution of the samples, of SCALES that are tried."""
  if not len(codes):
    return SMALLEST
  return float(min(SMALLEST * 2.0 ** np.arange(SCALES), key=lambda width: _logistic_nats(centre, codes, width).mean()))


def _logistic_nats(
  centre: Float[np.ndarray, ' n'], codes: Int[np.ndarray, ' n'], width: Float[np.ndarray, ' n'] | float
) -> Float[np.ndarray, ' n']:
  """Return −log of the mass that a logistic distribution around `centre` has in the intervals of the codes."""
  between = np.clip((2 * np.arange(1, audio.LEVELS) - 1) / audio.MU - 1, -1, 1)  # on the even scale of the codes
  borders = np.sign(between) * np.expm1(np.abs(between) * math.log1p(audio.MU)) / audio.MU
  borders = np.concatenate([[-1e9], borders, [1e9]])
  cumulative = lambda x: 0.5 * (1 + np.tanh(np.clip(x, -50, 50) / 2))
  mass = cumulative((borders[codes + 1] - centre) / width) - cumulative((borders[codes] - centre) / width)
  return -np.log(np.maximum(mass, LEAST))
