"""ETT-small: two years of two electricity transformers (Zhou et al. 2021, Informer)."""

import io

import numpy as np
import tensorflow_datasets as tfds

from tasks.datasets.builder import RawFileBuilder, Records
from tasks.datasets.source import RawFile

_FOLDER = 'https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small'
COLUMNS = 7  # six loads and the oil temperature; the date in front is not used


class _Ett(RawFileBuilder):
  homepage = 'https://github.com/zhouhaoyi/ETDataset'
  citation = 'Zhou et al. 2021, Informer: Beyond Efficient Transformer for Long Sequence Time-Series Forecasting'

  def features(self) -> tfds.features.FeaturesDict:
    values = tfds.features.Tensor(shape=(None, COLUMNS), dtype=np.float64, encoding='zlib')
    return tfds.features.FeaturesDict({'values': values})

  def records(self, contents: list[bytes]) -> Records:
    table = np.loadtxt(io.BytesIO(contents[0]), delimiter=',', skiprows=1, usecols=range(1, COLUMNS + 1))
    return {'full': [{'values': table}]}


class EttH1(_Ett):
  """The first transformer, hourly: 17,420 rows of seven variables."""

  name = 'seqmodels_etth1'
  files = (
    RawFile(
      'ett/ETTh1.csv',
      f'{_FOLDER}/ETTh1.csv',
      2_589_657,
      'f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066',
    ),
  )


class EttM1(_Ett):
  """The first transformer, every 15 minutes: 69,680 rows of seven variables."""

  name = 'seqmodels_ettm1'
  files = (
    RawFile(
      'ett/ETTm1.csv',
      f'{_FOLDER}/ETTm1.csv',
      10_360_719,
      '6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e',
    ),
  )
