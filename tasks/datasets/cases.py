"""Read labelled series: made-up ones, MNIST as sequences of pixels, and the user's own .ts files."""

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from seqmodels.errors import InputError, unknown
from tasks import draws, fitted
from tasks.datasets import CASES as NAMES
from tasks.datasets import cylinder_bell_funnel, files, mnist, tfds_cases, tfds_prepared, ts_files

SPLITS = ('train', 'validation', 'test')


@dataclass(frozen=True)
class Split:
  """Hold series side by side, filled up with zeros behind their lengths."""

  values: Shaped[np.ndarray, 'b t d']
  lengths: Int[np.ndarray, ' b']
  labels: Int[np.ndarray, ' b']

  def part(self, rows: np.ndarray) -> 'Split':
    return Split(self.values[rows], self.lengths[rows], self.labels[rows])


@dataclass(frozen=True, eq=False)
class Cases:
  """Hold the splits of a data set, in an order that has nothing to do with their classes.

  mean, deviation: of each variable over the training series. content: the sha256 of each file, by split.
  """

  splits: dict[str, Split]
  classes: tuple[str, ...]
  mean: Float[np.ndarray, ' d']
  deviation: Float[np.ndarray, ' d']
  content: dict[str, str]


def check_options(dataset: str, validation: int, missing: str) -> None:
  """Raise InputError for an unknown data set or an option that has no meaning with it."""
  is_prepared = tfds_prepared.is_name(dataset)
  if is_prepared:
    tfds_prepared.parse(dataset)
  elif dataset not in NAMES and not files.is_path(dataset):
    known = unknown('task.dataset', dataset, NAMES)
    prepared = f'{tfds_prepared.PREFIX}NAME'
    raise InputError(f'{known}, {prepared}, or .ts files: a folder or a pattern such as ucr/JapaneseVowels_*.ts')
  if not 1 <= validation <= 50:
    raise InputError(f'task.validation={validation} must be a percentage of the training cases from 1 to 50')
  if missing not in ts_files.MISSING:
    raise unknown('task.missing', missing, ts_files.MISSING)
  if dataset in NAMES and validation != 20:
    raise InputError(f'task.validation={validation} has no meaning with task.dataset={dataset}, which has its own')
  if (dataset in NAMES or is_prepared) and missing != ts_files.MISSING[0]:
    raise InputError(f'task.missing={missing} has no meaning with task.dataset={dataset}; it is for .ts files')


@functools.lru_cache(maxsize=2)
def load(dataset: str, validation: int, missing: str, stamp: tuple = ()) -> Cases:
  """Return the cases of a data set or of the user's files; fetches its files the first time (errors: source.read).

  Args:
    dataset: a name of NAMES, tfds:NAME, or .ts files (see files.find).
    validation: percentage of the training cases of each class that validate, where no file holds them.
    missing: see ts_files.load.
    stamp: of the files, so that a changed file is read anew.
  """
  del stamp
  splits: dict[str, Split]
  classes: tuple[str, ...]
  content: dict[str, str]
  if dataset == 'cylinder_bell_funnel':
    splits, classes, content = _made(), cylinder_bell_funnel.CLASSES, {}
  elif dataset in NAMES:
    splits, classes, content = _mnist(dataset == 'permuted_mnist')
  elif tfds_prepared.is_name(dataset):
    prepared = tfds_cases.load(dataset)
    splits = {name: Split(*part) for name, part in prepared.splits.items()}
    classes, content = prepared.classes, prepared.content
  else:
    found = ts_files.load(files.find(dataset), missing)
    splits = {name: Split(*found.padded(name)) for name in found.cases}
    classes, content = found.classes, found.content
  if 'validation' not in splits:
    splits |= _held_out(splits['train'], validation)
  splits = {name: _reordered(splits[name], draws.key('cases', name)) for name in SPLITS}
  return Cases(splits, classes, *_scale(splits['train']), content)


@functools.lru_cache(maxsize=2)
def refitted(own: Cases, dataset: str, restored: str) -> Cases:
  """Return cases with the classes and the scale of a model that was trained on others; see `Fitted.restored`.

  Raises InputError for a class, or a number of variables, that the model was not trained with.
  """
  kept = fitted.parse(restored)
  classes = tuple(kept['classes'])
  if strange := sorted(set(own.classes) - set(classes)):
    raise InputError(f'task.dataset={dataset!r} has the class {strange[0]!r}; the model knows: {", ".join(classes)}')
  if len(kept['mean']) != len(own.mean):
    raise InputError(f'task.dataset={dataset!r} has {len(own.mean)} variables, the model reads {len(kept["mean"])}')
  numbers = np.array([classes.index(name) for name in own.classes], np.int32)
  splits = {name: dataclasses.replace(part, labels=numbers[part.labels]) for name, part in own.splits.items()}
  return Cases(splits, classes, np.array(kept['mean']), np.array(kept['deviation']), own.content)


def _reordered(split: Split, key: int) -> Split:
  number = len(split.labels)
  return split.part(draws.permuted(np.arange(number), number, key))


def _made() -> dict[str, Split]:
  splits = {}
  for name, count in cylinder_bell_funnel.COUNTS.items():
    values, labels = cylinder_bell_funnel.cases(draws.key('cylinder_bell_funnel', name), np.arange(count))
    splits[name] = Split(values[:, :, None], np.full(count, values.shape[1]), labels)
  return splits


def _mnist(is_permuted: bool) -> tuple[dict[str, Split], tuple[str, ...], dict[str, str]]:
  """Return the images as sequences of pixels, row by row or all in one random order (Le et al. 2015)."""
  pixels = np.arange(mnist.PIXELS)
  if is_permuted:
    pixels = draws.permuted(pixels, mnist.PIXELS, draws.key('permuted_mnist'))
  splits = {}
  for name, (images, labels) in mnist.load().items():
    values = np.ascontiguousarray(images.reshape(len(images), -1)[:, pixels])[:, :, None]
    splits[name] = Split(values, np.full(len(values), mnist.PIXELS), labels.astype(np.int32))
  content = {file.name: file.sha256 for file in mnist.FILES}
  return splits, tuple(map(str, range(10))), content


def _held_out(train: Split, percentage: int) -> dict[str, Split]:
  """Return training and validation: of each class a percentage, rounded up, is held out, but never all of it."""
  held = np.zeros(len(train.labels), bool)
  for label in np.unique(train.labels):
    rows = np.flatnonzero(train.labels == label)
    order = draws.permuted(np.arange(len(rows)), len(rows), draws.key('held out', int(label)))
    held[rows[order[: min(-(-percentage * len(rows) // 100), len(rows) - 1)]]] = True
  if not held.any():
    raise InputError(
      f'task.validation={percentage} leaves nothing for validation: each class has one of {len(held)} training cases; '
      'a file with valid in its name has them'
    )
  return {'train': train.part(~held), 'validation': train.part(held)}


def _scale(train: Split) -> tuple[np.ndarray, np.ndarray]:
  """Return mean and deviation of each variable; a variable that never changes has the deviation 1."""
  inside = np.arange(train.values.shape[1])[None, :] < train.lengths[:, None]
  mean, deviation = [], []
  for variable in range(train.values.shape[2]):  # one by one: the whole of MNIST in float64 is 400 MB
    seen = train.values[:, :, variable][inside]
    mean.append(seen.mean(dtype=np.float64))
    deviation.append(seen.std(dtype=np.float64))
  spread = np.array(deviation)
  return np.array(mean), np.where(spread > 0, spread, 1.0)
