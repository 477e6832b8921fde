"""Read the hourly M4 series: 414 of 700 to 960 hours, and the 48 hours after them (Makridakis et al. 2018)."""

import csv
import io
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from seqmodels.errors import InputError
from tasks.datasets import source

HORIZON = 48
_FOLDER = 'https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset'
TRAIN = source.RawFile(
  'm4/Hourly-train.csv',
  f'{_FOLDER}/Train/Hourly-train.csv',
  2_347_115,
  'ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f',
)
TEST = source.RawFile(
  'm4/Hourly-test.csv',
  f'{_FOLDER}/Test/Hourly-test.csv',
  132_820,
  '71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42',
)


def load() -> list[Float64[np.ndarray, 't 1']]:
  """Return each series with its test hours at the end; fetches the files the first time (errors: see source.read)."""
  train, test = (dict(_rows(source.read(file))) for file in (TRAIN, TEST))
  if train.keys() != test.keys():
    raise InputError('the training and test files of M4 do not hold the same series')
  return [np.concatenate([values, test[name]])[:, None] for name, values in train.items()]


def _rows(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
  """Yield name and values of each series; rows are as long as the longest, with empty cells at the end."""
  reader = csv.reader(io.StringIO(content.decode()))
  next(reader)
  for name, *cells in reader:
    yield name, np.array([float(cell) for cell in cells if cell])
