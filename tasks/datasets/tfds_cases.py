"""Read the labelled series or texts of a data set that TFDS has prepared: an array or a text, and its class."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from seqmodels.errors import InputError
from tasks.datasets import tfds_prepared, tfds_series

# Series side by side, filled up with zeros behind their lengths, and the number of their class.
Padded = tuple[Shaped[np.ndarray, 'b t d'], Int[np.ndarray, ' b'], Int[np.ndarray, ' b']]


class Labelled(NamedTuple):
  """Hold the splits that are prepared. content: the sha256 of each, by its name."""

  splits: dict[str, Padded]
  classes: tuple[str, ...]
  content: dict[str, str]


def load(dataset: str) -> Labelled:
  """Return the cases of train, test and, where it is there, validation.

  The series are those of the feature behind "#", the builder's input, or the only array of numbers: of shape [t], of
  shape [t, n], or images [h, w, c], read pixel by pixel. The classes are those of the builder's target, or of its only
  label.

  Raises:
    InputError: see tfds_prepared; for a data set without such features, or without a split train or test.
  """
  builder = tfds_prepared.opened(dataset)
  feature, label = _features(dataset, builder)
  sources = tfds_prepared.sources(dataset, builder)
  if 'test' not in sources:
    raise InputError(f'task.dataset={dataset!r} has no split test')
  cases = {split: list(_cases(dataset, split, rows, feature, label)) for split, rows in sources.items()}
  if empty := [split for split, found in cases.items() if not found]:
    raise InputError(f'task.dataset={dataset!r}: the split {empty[0]} has no examples')
  longest = max(len(series) for found in cases.values() for series, _ in found)
  splits = {split: _padded(dataset, found, longest) for split, found in cases.items()}
  names = dict(tfds_prepared.leaves(builder.info.features))[label].names
  return Labelled(splits, tuple(map(str, names)), {split: _checksum(part) for split, part in splits.items()})


def texts(dataset: str) -> dict[str, tuple[list[str], list[str]]]:
  """Return label and text of each example of each split, or of "full"; an example without a label has an empty one.

  The text is that of the feature behind "#", the builder's input, or the only one. Raises InputError as `load` does.
  """
  builder = tfds_prepared.opened(dataset)
  names = tfds_prepared.text_features(builder)
  source = (builder.info.supervised_keys or ('',))[0]
  feature = tfds_prepared.parse(dataset).feature or (source if source in names else names[0] if len(names) == 1 else '')
  if feature not in names:
    raise InputError(
      f'task.dataset={dataset!r} must name one of its texts behind "#": {", ".join(names) or "it has none"}'
    )
  label = _label(dataset, builder)
  classes = dict(tfds_prepared.leaves(builder.info.features))[label].names
  found = {}
  for split, examples in tfds_prepared.splits(dataset, builder).items():
    rows = [
      (int(tfds_prepared.at(row, label)), tfds_prepared.decoded(row, feature, split, number))
      for number, row in enumerate(examples)
    ]
    found[split] = [classes[number] if number >= 0 else '' for number, _ in rows], [text for _, text in rows]
  return found


def _label(dataset: str, builder: Any) -> str:
  """Return the name of the label: the builder's target, or the only feature that is one."""
  kind = tfds_prepared.class_label()
  labels = [name for name, feature in tfds_prepared.leaves(builder.info.features) if isinstance(feature, kind)]
  target = (builder.info.supervised_keys or ('',))[-1]
  label = target if target in labels else labels[0] if len(labels) == 1 else ''
  if not label:
    listed = ', '.join(labels) or 'none'
    raise InputError(f'task.dataset={dataset!r} must have one label, a feature ClassLabel; it has {listed}')
  return label


def _features(dataset: str, builder: Any) -> tuple[str, str]:
  """Return the names of the series and of its label."""
  arrays = [name for name, shape in tfds_series.numbers(builder).items() if 1 <= len(shape) <= 3]
  source = (builder.info.supervised_keys or ('',))[0]
  named = tfds_prepared.parse(dataset).feature
  feature = named or (source if source in arrays else arrays[0] if len(arrays) == 1 else '')
  if feature not in arrays:
    listed = ', '.join(arrays) or 'it has none'
    raise InputError(f'task.dataset={dataset!r} must name one of its series or images behind "#": {listed}')
  return feature, _label(dataset, builder)


def _cases(
  dataset: str, split: str, rows: Any, feature: str, label: str
) -> Iterator[tuple[Shaped[np.ndarray, 't d'], int]]:
  for number, row in enumerate(tfds_prepared.records(dataset, rows)):
    values, of_class = np.asarray(tfds_prepared.at(row, feature)), int(tfds_prepared.at(row, label))
    series = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    place = f'task.dataset={dataset!r}: in {split}, example {number}'
    if not len(series) or not np.isfinite(series).all():
      raise InputError(f'{place}: {feature} must have steps, and finite numbers alone')
    if of_class < 0:
      raise InputError(f'{place} has no label ({label} is {of_class})')
    yield series, of_class


def _padded(dataset: str, cases: list[tuple[np.ndarray, int]], longest: int) -> Padded:
  widths = sorted({series.shape[1] for series, _ in cases})
  if len(widths) > 1:
    raise InputError(f'task.dataset={dataset!r}: series of {widths[0]} to {widths[-1]} variables; one number is read')
  values = np.zeros((len(cases), longest, widths[0]), cases[0][0].dtype)
  for row, (series, _) in enumerate(cases):
    values[row, : len(series)] = series
  lengths = np.array([len(series) for series, _ in cases])
  return (values, lengths, np.array([of_class for _, of_class in cases], np.int32))


def _checksum(split: Padded) -> str:
  digest = hashlib.sha256(repr((split[0].shape, split[0].dtype.str)).encode())
  for part in split:
    digest.update(np.ascontiguousarray(part).tobytes())
  return digest.hexdigest()
