"""Read the time series of a data set that TFDS has prepared: an example is a series of its own, or one time step."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from seqmodels.errors import InputError
from tasks.datasets import tfds_prepared

log = logging.getLogger('seqmodels')


class Tables(NamedTuple):
  """Hold series [t n]. ends: of training, validation and test rows of the only one, where the data set says them."""

  values: list[Float64[np.ndarray, 't n']]
  ends: tuple[int, int, int] | None = None


def load(dataset: str, columns: str = '') -> Tables:
  """Return the series of a data set.

  The numbers are those of the feature behind "#", those that `columns` joins by `+`, or the only ones. A feature of
  shape [None] or [t, n] is a whole series: every example of the split `train` is one, and other splits are not read.
  Otherwise ([] or [n]) an example is one time step, in the order of training, validation and test.

  Raises:
    InputError: see tfds_prepared; for other features, and for values that are no numbers.
  """
  builder = tfds_prepared.opened(dataset)
  shapes = {name: shape for name, shape in numbers(builder).items() if len(shape) <= 2}
  chosen = _chosen(dataset, columns, shapes)
  if any(is_series(shapes[name]) for name in chosen):
    sources = tfds_prepared.sources(dataset, builder)
    if others := sorted(set(sources) - {'train'}):
      log.info('%s: the series of %s are not read; those of train are cut in time', dataset, ' and '.join(others))
    rows = tfds_prepared.records(dataset, sources['train'])
    tables = [_series(dataset, number, row, chosen[0]) for number, row in enumerate(rows)]
    widths = sorted({table.shape[1] for table in tables})
    if len(widths) != 1:
      found = f'{widths[0]} to {widths[-1]} variables' if widths else 'no examples'
      raise InputError(f'task.dataset={dataset!r}: {chosen[0]} has {found}; series of one number of them are read')
    return Tables(tables)
  parts = [_steps(dataset, split, rows, chosen) for split, rows in tfds_prepared.splits(dataset, builder).items()]
  lengths = np.cumsum([len(part) for part in parts]).tolist()
  return Tables([np.concatenate(parts)], (lengths[0], lengths[1], lengths[2]) if len(lengths) == 3 else None)


def is_series(shape: tuple[int | None, ...]) -> bool:
  """Return whether a feature of this shape holds a series, and not one step of it."""
  return len(shape) == 2 or shape == (None,)


def numbers(builder: Any) -> dict[str, tuple[int | None, ...]]:
  """Return the shapes of the features that are arrays of numbers, and no labels of classes."""
  label = tfds_prepared.class_label()
  return {
    name: feature.shape
    for name, feature in sorted(tfds_prepared.leaves(builder.info.features))
    if isinstance(feature.shape, tuple) and not isinstance(feature, label) and _is_number(feature.np_dtype)
  }


def _is_number(dtype: Any) -> bool:
  return isinstance(dtype, type | np.dtype) and any(np.issubdtype(dtype, kind) for kind in (np.floating, np.integer))


def _chosen(dataset: str, columns: str, shapes: Mapping[str, tuple[int | None, ...]]) -> tuple[str, ...]:
  """Return the features to read: one, or several that are one number each."""
  listed = ', '.join(shapes) or 'it has none'
  feature = tfds_prepared.parse(dataset).feature
  if feature and columns:
    raise InputError(f'task.columns={columns!r} has no meaning with a feature behind "#" in task.dataset={dataset!r}')
  chosen = tuple(columns.split('+')) if columns else (feature,) if feature else tuple(shapes)
  if strange := [name for name in chosen if name not in shapes]:
    option = f'task.columns={columns!r}' if columns else f'task.dataset={dataset!r}'
    raise InputError(f'{option}: {strange[0]!r} is none of its features of numbers: {listed}')
  if not chosen or (len(chosen) > 1 and not (columns and all(shapes[name] == () for name in chosen))):
    raise InputError(
      f'task.dataset={dataset!r} must name one of its features of numbers behind "#", or task.columns those of one '
      f'number: {listed}'
    )
  return chosen


def _series(dataset: str, number: int, row: Any, name: str) -> Float64[np.ndarray, 't n']:
  values = _at(row, name)
  return _finite(
    values[:, None] if values.ndim == 1 else values, f'{dataset!r}: in example {number}, step {{}} of {name}'
  )


def _steps(dataset: str, split: str, rows: Iterator[Any], chosen: tuple[str, ...]) -> Float64[np.ndarray, 't n']:
  """Return a row for each example."""
  table = np.array([np.concatenate([_at(row, name).ravel() for name in chosen]) for row in rows])
  return _finite(table, f'{dataset!r}: in {split}, example {{}} of {" and ".join(chosen)}')


def _at(row: Any, name: str) -> Float64[np.ndarray, '...']:
  return np.asarray(tfds_prepared.at(row, name), np.float64)


def _finite(table: np.ndarray, place: str) -> np.ndarray:
  """Return the table. Raises InputError where it has a value that is no number."""
  if not np.isfinite(table).all():
    row, column = np.argwhere(~np.isfinite(table))[0]
    raise InputError(f'task.dataset={place.format(row)} is {table[row, column]:g}; it must be a finite number')
  return table
