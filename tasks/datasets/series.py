"""Time series for forecasting, as one table each, with the borders of their splits."""

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

SERIES = ('seasonal', 'ETTh1', 'ETTm1')


@dataclass(frozen=True)
class Series:
  """`values` scaled by mean and deviation of the training rows; `borders` are the ends of train, validation, test.

  identity: the sha256 of the table before scaling, or the version of what generates it.
  """

  values: Float64[np.ndarray, 't n']
  borders: tuple[int, int, int]
  period: int  # steps a day
  identity: dict[str, Any]


@functools.lru_cache(maxsize=4)
def load(name: str) -> Series:
  """A series by name; prepares its data the first time. Raises InputError (see source.read)."""
  if name == 'seasonal':
    # 60/20/20 % of 250 days.
    return _scaled(_seasonal(), (3600, 4800, 6000), period=24, identity={'version': 1})
  # TFDS takes a second to import, and only real data needs it.
  from tasks.datasets.builder import load as load_records
  from tasks.datasets.ett import EttH1, EttM1

  steps = {'ETTh1': 1, 'ETTm1': 4}[name]  # an hour
  table = load_records(EttH1 if name == 'ETTh1' else EttM1)['full'][0]['values']
  # 12, 4 and 4 months of 30 days; the rest is not used (Zhou et al. 2021).
  months = (12, 16, 20)
  borders = tuple(month * 30 * 24 * steps for month in months)
  return _scaled(table, borders, period=24 * steps, identity={'content': _checksum(table)})


def _checksum(table: Float64[np.ndarray, 't n']) -> str:
  return hashlib.sha256(repr(table.shape).encode() + table.astype('<f8').tobytes()).hexdigest()


def _scaled(table: np.ndarray, borders: tuple[int, ...], period: int, identity: dict[str, Any]) -> Series:
  train = table[: borders[0]]
  values = (table[: borders[2]] - train.mean(axis=0, keepdims=True)) / train.std(axis=0, keepdims=True)
  return Series(values, (borders[0], borders[1], borders[2]), period, identity)


def _seasonal(rows: int = 6000, channels: int = 4) -> Float64[np.ndarray, 't n']:
  """Daily and weekly cycles with harmonics, a slow trend, and noise that an hour remembers from the last."""
  random = np.random.default_rng(0)
  hours = np.arange(rows)[:, None]
  values = random.normal(size=(1, channels)) * hours / rows
  for period, strength in ((24, 1.0), (12, 0.5), (8, 0.25), (168, 0.7), (84, 0.35)):
    phase, amplitude = random.uniform(0, 2 * np.pi, (1, channels)), random.uniform(0.5, 1.0, (1, channels))
    values += strength * amplitude * np.sin(2 * np.pi * hours / period + phase)
  noise, memory = random.normal(size=(rows, channels)), 0.8
  for t in range(1, rows):
    noise[t] = memory * noise[t - 1] + np.sqrt(1 - memory**2) * noise[t]
  return values + 0.5 * noise
