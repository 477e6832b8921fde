"""Load time series for forecasting: one table, or many series of one variable, with the ends of their splits."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from seqmodels.errors import InputError, unknown
from tasks import fitted
from tasks.datasets import SERIES, ett, exchange_rate, files, m4, own_csv, tfds_prepared, tfds_series

SPLIT = 'auto'
HOURLY, QUARTERS, NONE = (24, 168), (96, 672), (1,)


@dataclass(frozen=True, eq=False)
class Series:
  """Hold `count` series of n variables, one after the other along the first axis of `values`.

  values: scaled by mean and deviation of each series' training rows.
  starts, ends: the first row of each series, and the ends of its training, validation and test rows.
  mean, deviation: of each series and variable, so that values · deviation + mean are the data again.
  naive: the mean absolute error of the seasonal naive forecast within the rows before the test, in the data's units.
  periods: steps of a season, the shortest first; the first is that of `naive`.
  identity: the sha256 of the data before scaling, or the version of what generates them.
  """

  values: Float64[np.ndarray, 't n']
  starts: Int64[np.ndarray, ' k']
  ends: Int64[np.ndarray, 'k 3']
  mean: Float64[np.ndarray, 'k n']
  deviation: Float64[np.ndarray, 'k n']
  naive: Float64[np.ndarray, 'k n']
  periods: tuple[int, ...]
  identity: dict[str, Any]

  @property
  def count(self) -> int:
    return len(self.starts)

  def owner(self, rows: Int64[np.ndarray, '*b']) -> Int64[np.ndarray, '*b']:
    """Return the number of the series that each row belongs to."""
    return np.searchsorted(self.starts, rows, side='right') - 1


@dataclass(frozen=True)
class Reading:
  """Say how the user's own file is read; see own_csv.load. `period`: steps of a season, 0: from the dates, or 1."""

  date: str = 'auto'
  columns: str = ''
  missing: str = 'refuse'
  period: int = 0


def check_options(name: str, split: str, reading: Reading) -> None:
  """Raise InputError for an unknown data set, and for options that it does not have."""
  if split != SPLIT:
    _percentages(split)
  if tfds_prepared.is_name(name):
    tfds_prepared.parse(name)
    without: tuple[str, ...] = ('date', 'missing')
  elif files.is_path(name) and name not in SERIES:
    without = ()
  elif name in SERIES:
    without = ('date', 'columns', 'missing', 'period')
  else:
    known = unknown('task.dataset', name, SERIES)
    raise InputError(f'{known}, the path of a CSV file, or {tfds_prepared.PREFIX}NAME')
  for option in without:
    if (value := getattr(reading, option)) != getattr(Reading(), option):
      raise InputError(f'task.{option}={value!r} has no meaning with task.dataset={name}: it is for a CSV file')
  if reading.missing not in own_csv.MISSING:
    raise unknown('task.missing', reading.missing, own_csv.MISSING)
  if reading.period < 0:
    raise InputError(f'task.period={reading.period} must be 0 (from the dates) or a number of steps')
  if name == 'm4_hourly' and split != SPLIT:
    raise InputError(f'task.split={split!r} must be auto with task.dataset=m4_hourly, which has its own test rows')


@functools.lru_cache(maxsize=4)
def load(name: str, split: str = SPLIT, reading: Reading = Reading(), stamp: tuple = ()) -> Series:
  """Return a data set by name or a CSV file of the user's; fetches its data the first time.

  Args:
    name: one of SERIES, the path of a CSV file, or tfds:NAME.
    split: percentages of training/validation/test in time; auto: what is usual for the data set, 70/10/20 else.
    reading: how a CSV file is read.
    stamp: of the files, so that changed ones are read anew.

  Raises:
    InputError: see source.read, own_csv.load and tfds_series.load.
  """
  del stamp
  if name == 'seasonal':
    # 60/20/20 % of 250 days.
    return _one(_seasonal(), _borders(6000, split, (3600, 4800, 6000)), HOURLY, {'version': 1})
  if name == 'm4_hourly':
    return _m4()
  if name == 'exchange_rate':
    table = exchange_rate.load()
    return _one(table, _borders(len(table), split), NONE, {'content': checksum([table])})
  if name in SERIES:
    return _ett(name, split)
  if tfds_prepared.is_name(name):
    return _tfds(name, split, reading)
  own = own_csv.load(files.find(name), reading.date, reading.columns, reading.missing)
  own.say_constant(_borders(len(own.values), split)[0])
  periods = (reading.period,) if reading.period else own.periods
  identity = {'content': checksum([own.values]), 'columns': list(own.names)}
  return _one(own.values, _borders(len(own.values), split), periods, identity)


def fitted_of(data: Series) -> dict[str, Any]:
  """Return as JSON the columns' names, where there are any, and the scale; empty for many series, scaled one by one."""
  if data.count > 1:
    return {}
  scale = {'mean': data.mean[0].tolist(), 'deviation': data.deviation[0].tolist()}
  return {'columns': data.identity.get('columns'), **scale}


@functools.lru_cache(maxsize=4)
def rescaled(own: Series, name: str, restored: str) -> Series:
  """Return a series with the scale of a model that was trained on another; see `Fitted.restored`.

  Raises InputError for other columns than it was trained on.
  """
  kept = fitted.parse(restored)
  for before, now in ((kept['columns'], own.identity.get('columns')), (len(kept['mean']), own.mean.shape[1])):
    if before is not None and now is not None and before != now:
      both = (f'{one} columns' if isinstance(one, int) else f'the columns {", ".join(one)}' for one in (now, before))
      raise InputError(f'task.dataset={name!r} has {next(both)}; the model was trained on {next(both)}')
  if own.count > 1:
    raise InputError(f'task.dataset={name!r} has {own.count} series; the model was trained on the scale of one')
  mean, deviation = np.array(kept['mean'])[None], np.array(kept['deviation'])[None]
  values = (own.values * own.deviation + own.mean - mean) / deviation
  return dataclasses.replace(own, values=values, mean=mean, deviation=deviation)


def collected(tables: Sequence[np.ndarray], borders: Sequence[Sequence[int]], periods: tuple[int, ...], identity: dict):
  """Return Series of tables [t n], each with the ends of its training, validation and test rows."""
  used = [table[: ends[2]] for table, ends in zip(tables, borders, strict=True)]
  starts = np.cumsum([0, *map(len, used)], dtype=np.int64)[:-1]
  train = [table[: ends[0]] for table, ends in zip(used, borders, strict=True)]
  mean = np.stack([rows.mean(axis=0) for rows in train])
  deviation = np.stack([rows.std(axis=0) for rows in train])
  deviation[deviation == 0] = 1.0  # a column that does not change is only shifted
  # As the M4 competition does: over all that is known before the test rows.
  past = [table[: ends[1]] for table, ends in zip(used, borders, strict=True)]
  naive = np.stack([_seasonal_error(rows, periods[0]) for rows in past])
  scaled = zip(used, mean, deviation, strict=True)
  values = np.concatenate([(table - m[None, :]) / d[None, :] for table, m, d in scaled])
  ends = starts[:, None] + np.array(borders, np.int64)
  return Series(values, starts, ends, mean, deviation, naive, periods, identity)


def checksum(tables: Sequence[np.ndarray]) -> str:
  """Return the sha256 of tables, their shapes included."""
  digest = hashlib.sha256()
  for table in tables:
    digest.update(repr(table.shape).encode() + table.astype('<f8').tobytes())
  return digest.hexdigest()


def _one(table: np.ndarray, borders: tuple[int, int, int], periods: tuple[int, ...], identity: dict) -> Series:
  return collected([table], [borders], periods, identity)


def _seasonal_error(rows: Float64[np.ndarray, 't n'], period: int) -> Float64[np.ndarray, ' n']:
  """Return the in-sample error of the seasonal naive forecast, by which MASE scales; 0 where there is no season yet."""
  if len(rows) <= period:
    return np.zeros(rows.shape[1])
  return np.abs(rows[period:] - rows[:-period]).mean(axis=0)


def _borders(rows: int, split: str, usual: tuple[int, int, int] | None = None) -> tuple[int, int, int]:
  """Return the ends of the splits; as in the literature, train and test are rounded, validation is the rest."""
  if split == SPLIT and usual is not None:
    return usual
  train, _, test = _percentages('70/10/20' if split == SPLIT else split)
  return int(rows * train / 100), rows - int(rows * test / 100), rows


def _percentages(split: str) -> tuple[float, ...]:
  parts = files.percentages(split)
  if len(parts) != 3:
    raise InputError(f'task.split={split!r} must be auto, or three percentages that add up to 100, as 70/10/20')
  return parts


def _tfds(name: str, split: str, reading: Reading) -> Series:
  tables, ends = tfds_series.load(name, reading.columns)
  borders = [_borders(len(table), split, ends) for table in tables]
  if short := [number for number, (train, _, _) in enumerate(borders) if not train]:
    steps = len(tables[short[0]])
    raise InputError(
      f'task.dataset={name!r}: series {short[0]} of {len(tables)} has too few steps to train on: {steps}'
    )
  return collected(tables, borders, (reading.period or 1,), {'content': checksum(tables)})


def _ett(name: str, split: str) -> Series:
  steps = {'ETTh1': 1, 'ETTm1': 4}[name]  # an hour
  table = ett.load(name)
  # 12, 4 and 4 months of 30 days; the rest is not used (Zhou et al. 2021).
  months = tuple(month * 30 * 24 * steps for month in (12, 16, 20))
  borders = _borders(len(table), split, (months[0], months[1], months[2]))
  return _one(table, borders, HOURLY if steps == 1 else QUARTERS, {'content': checksum([table])})


def _m4() -> Series:
  """Return the hourly series of M4: the last 48 hours are the test (as published), the 48 before validation."""
  tables = m4.load()
  borders = [(len(table) - 2 * m4.HORIZON, len(table) - m4.HORIZON, len(table)) for table in tables]
  return collected(tables, borders, HOURLY, {'content': checksum(tables)})


def _seasonal(rows: int = 6000, channels: int = 4) -> Float64[np.ndarray, 't n']:
  """Return daily and weekly cycles with harmonics, a slow trend, and autocorrelated noise."""
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
