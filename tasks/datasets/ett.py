"""Read ETT-small: two years of two electricity transformers (Zhou et al. 2021, Informer)."""

import io

import numpy as np
from jaxtyping import Float64

from tasks.datasets import source

_FOLDER = 'https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small'
COLUMNS = 7  # six loads and the oil temperature; the date in front is not used


def _file(name: str, size: int, sha256: str) -> source.RawFile:
  return source.RawFile(f'ett/{name}.csv', f'{_FOLDER}/{name}.csv', size, sha256)


# The first transformer: 17,420 hours, and 69,680 quarters of an hour.
FILES = {
  'ETTh1': _file('ETTh1', 2_589_657, 'f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066'),
  'ETTm1': _file('ETTm1', 10_360_719, '6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e'),
}


def load(name: str) -> Float64[np.ndarray, 't n']:
  """Return the rows of seven variables; fetches the file the first time (errors: see source.read)."""
  content = io.BytesIO(source.read(FILES[name]))
  return np.loadtxt(content, delimiter=',', skiprows=1, usecols=range(1, COLUMNS + 1))
