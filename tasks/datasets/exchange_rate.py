"""Read daily exchange rates of eight countries to the US dollar, 1990 to 2016 (Lai et al. 2018, LSTNet)."""

import io

import numpy as np
from jaxtyping import Float64

from tasks.datasets import source

FILE = source.RawFile(
  'exchange_rate/exchange_rate.txt',
  'https://raw.githubusercontent.com/laiguokun/multivariate-time-series-data/master/exchange_rate/exchange_rate.txt.gz',
  546_336,
  '0127465b51e3cd3c360f8eb2be30cfd294689a2a55903eb8245aafc396626c7f',
)


def load() -> Float64[np.ndarray, 't n']:
  """Return 7,588 rows of eight rates; fetches the file the first time (errors: see source.read)."""
  return np.loadtxt(io.BytesIO(source.read(FILE)), delimiter=',')
