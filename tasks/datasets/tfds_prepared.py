"""Read data sets that TensorFlow Datasets has prepared: `tfds:NAME[/CONFIG][:VERSION][#FEATURE]`, without TensorFlow.

Its folder alone is read (ArrayRecord files), so that a builder that cannot be constructed without TensorFlow is no
obstacle. What is not prepared, or in another format, is one line with the command that helps.
"""

import difflib
import logging
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from seqmodels.errors import InputError, one_line
from tasks.datasets import source
from tasks.datasets.files import SPLIT_WORDS, MissingData

log = logging.getLogger('seqmodels')

PREFIX = 'tfds:'
FORMAT = 'array_record'
INFO = 'dataset_info.json'
NAME = re.compile(r'(?P<name>\w+)(/(?P<config>[\w.+-]+))?(:(?P<version>\d+\.\d+\.\d+))?(#(?P<feature>[\w/]+))?')
TOGETHER = 10_000  # records that are read at once
VALIDATION = 20  # without such a split, one in 20 training examples validates


def is_name(dataset: str) -> bool:
  """Return whether the option `dataset` names a data set of TFDS."""
  return dataset.startswith(PREFIX)


@dataclass(frozen=True)
class Name:
  name: str
  config: str
  version: str
  feature: str

  @property
  def path(self) -> str:
    return f'{self.name}/{self.config}' if self.config else self.name


def parse(dataset: str) -> Name:
  """Return the parts of a name. Raises InputError for anything else."""
  match = NAME.fullmatch(dataset.removeprefix(PREFIX))
  if match is None:
    raise InputError(f'task.dataset={dataset!r} must be {PREFIX}NAME[/CONFIG][:VERSION][#FEATURE]')
  return Name(*(match[part] or '' for part in ('name', 'config', 'version', 'feature')))


def stamp(dataset: str) -> tuple[str, int]:
  """Return the folder of a data set and when it was prepared."""
  folder = find(dataset)
  return str(folder), (folder / INFO).stat().st_mtime_ns


def find(dataset: str) -> pathlib.Path:
  """Return the folder of the newest version that is prepared. Raises InputError where there is none."""
  asked = parse(dataset)
  folder = source.tfds_folder() / asked.path
  versions = {path.parent.name: path.parent for path in folder.glob(f'*/{INFO}')}
  if asked.version:
    versions = {name: path for name, path in versions.items() if name == asked.version}
  if versions:
    return versions[max(versions, key=lambda name: [int(part) for part in re.findall(r'\d+', name)])]
  configs = sorted({path.parent.parent.name for path in folder.glob(f'*/*/{INFO}')})
  if configs and not asked.config:
    raise InputError(f'task.dataset={dataset!r} must name a config, behind "/": {", ".join(configs)}')
  raise MissingData(f'task.dataset={dataset!r} is not prepared in {folder}: {_reason(asked)}')


def texts(dataset: str) -> dict[str, list[bytes]]:
  """Return the text of each example of each split, or of "full"."""
  builder, asked = opened(dataset), parse(dataset)
  names = text_features(builder)
  feature = asked.feature or ('text' if 'text' in names else names[0] if len(names) == 1 else '')
  if feature not in names:
    raise InputError(
      f'task.dataset={dataset!r} must name one of its texts behind "#": {", ".join(names) or "it has none"}'
    )
  return {split: [text(row, feature) for row in rows] for split, rows in splits(dataset, builder).items()}


def lines(examples: Iterable[bytes]) -> bytes:
  """Return the texts of examples one after the other, each on a line of its own."""
  return b''.join(text if text.endswith(b'\n') else text + b'\n' for text in examples)


def pairs(dataset: str, pair: str) -> dict[str, tuple[list[str], list[str]]]:
  """Return sources and targets of each split, or of "full". pair: two text features, or auto: the builder's own."""
  builder = opened(dataset)
  names, usual = text_features(builder), builder.info.supervised_keys
  sides = tuple(pair.split('-')) if pair != 'auto' else usual if usual and len(usual) == 2 else tuple(names)
  if len(sides) != 2 or not set(sides) <= set(names):
    raise InputError(f'task.pair={pair!r} must name two of the texts of {dataset}: {", ".join(names) or "it has none"}')
  found = {}
  for split, examples in splits(dataset, builder).items():
    rows = list(examples)
    sources, targets = (
      [' '.join(decoded(row, side, split, number).split()) for number, row in enumerate(rows)] for side in sides
    )
    found[split] = (sources, targets)
  return found


def opened(dataset: str) -> Any:
  """Return the builder of a prepared data set. Raises InputError where it cannot be read, and says what helps."""
  folder = find(dataset)
  tfds = _package()
  try:
    builder = tfds.builder_from_directory(folder)
  except ImportError as error:
    raise InputError(
      f'{folder} has features that need TensorFlow: pip install tensorflow ({one_line(error)})'
    ) from error
  except Exception as error:  # whatever TFDS makes of a description that is damaged: protobuf's error, JSON's, …
    raise InputError(
      f'{folder} is damaged ({type(error).__name__}); prepare it again: {_command(parse(dataset))}'
    ) from error
  if builder.info.file_format.value != FORMAT:
    raise InputError(
      f'{folder} is prepared as {builder.info.file_format.value}, which only TensorFlow reads; prepare it as {FORMAT}: '
      f'{_command(parse(dataset))}'
    )
  return builder


def text_features(builder: Any) -> list[str]:
  """Return the names of the features that are one text."""
  kind = _package().features.Text
  return [name for name, feature in leaves(builder.info.features) if isinstance(feature, kind)]


def leaves(features: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
  """Yield the features that hold no others, by their names, with "/" between levels."""
  for name, feature in features.items() if hasattr(features, 'items') else ():
    if hasattr(feature, 'items'):
      yield from leaves(feature, f'{prefix}{name}/')
    else:
      yield prefix + name, feature


def class_label() -> type:
  """Return the class of the features that are labels."""
  return _package().features.ClassLabel


def at(row: Any, name: str) -> Any:
  """Return the value of a feature of `leaves`."""
  for level in name.split('/'):
    row = row[level]
  return row


def text(row: Any, name: str) -> bytes:
  """Return the text of a feature of `text_features`."""
  value = at(row, name)
  return value if isinstance(value, bytes) else str(value).encode()


def decoded(row: Any, name: str, split: str, number: int) -> str:
  """Return the text of a feature. Raises InputError that names the example where it is not UTF-8."""
  try:
    return text(row, name).decode()
  except UnicodeDecodeError as error:
    byte = error.object[error.start]
    raise InputError(f'example {number} of {split}: {name} is not UTF-8: byte 0x{byte:02x} at {error.start}') from error


def splits(dataset: str, builder: Any) -> dict[str, Iterator[Any]]:
  """Return the records of training, validation and test; "full", where there is only one of these."""
  found = sources(dataset, builder)
  if len(found) == 1:
    return {'full': records(dataset, found['train'])}
  if 'validation' in found:
    return {split: records(dataset, rows) for split, rows in found.items()}
  count = len(found['train'])
  border = count - max(1, count // VALIDATION)
  log.info('%s has no validation split: the last %d of %d training examples validate', dataset, count - border, count)
  parts = {'train': (0, border), 'validation': (border, count)}
  some = {split: records(dataset, found['train'], *ends) for split, ends in parts.items()}
  return some | {'test': records(dataset, found['test'])}


def sources(dataset: str, builder: Any) -> dict[str, Any]:
  """Return the data sources of training, validation and test as they were prepared, by their usual names."""
  prepared = builder.as_data_source()
  names = {split: next((name for name in words if name in prepared), None) for split, words in SPLIT_WORDS.items()}
  if names['train'] is None:
    raise InputError(f'task.dataset={dataset!r} has no split train: its splits are {", ".join(prepared)}')
  if others := sorted(set(prepared) - set(names.values())):
    log.info('%s: the splits %s are not read', dataset, ', '.join(others))
  return {split: prepared[name] for split, name in names.items() if name is not None}


def records(dataset: str, found: Any, start: int = 0, stop: int | None = None) -> Iterator[Any]:
  """Yield the examples of a data source."""
  stop = len(found) if stop is None else stop
  try:
    for first in range(start, stop, TOGETHER):
      yield from found.__getitems__(range(first, min(first + TOGETHER, stop)))
  except RuntimeError as error:  # ArrayRecords carry checksums
    reason = one_line(str(error).split(';')[0])
    raise InputError(f'{find(dataset)} is damaged ({reason}); prepare it again: {_command(parse(dataset))}') from error


def _package() -> Any:
  try:
    import tensorflow_datasets
  except ImportError as error:
    raise InputError(
      f'task.dataset={PREFIX}… needs the package tensorflow-datasets: pip install -e ".[tfds]"'
    ) from error
  return tensorflow_datasets


def _command(name: Name) -> str:
  """Return the command that prepares a data set; the program of TFDS itself needs TensorFlow."""
  folder = source.tfds_folder()
  return f'pip install tensorflow && tfds build {name.path} --file_format={FORMAT} --data_dir={folder}'


def _reason(name: Name) -> str:
  """Return why a data set is not there, and what helps."""
  builders = _package().list_builders(with_community_datasets=False)
  if name.name in builders:
    return f'prepare it: {_command(name)}'
  # Without TensorFlow, TFDS leaves out builders whose modules import it, and says that they are not found.
  if _is_hidden(name.name):
    return f'its builder needs TensorFlow, without which TFDS does not list it; prepare it: {_command(name)}'
  near = difflib.get_close_matches(name.name, builders, n=3, cutoff=0.5)
  hint = f' (nearest: {", ".join(near)})' if near else ''
  return (
    f'TFDS has no such builder{hint}; one of your own is prepared by its download_and_prepare(file_format="{FORMAT}")'
  )


def _is_hidden(name: str) -> bool:
  """Return whether the package has files of a builder of this name."""
  root = pathlib.Path(_package().__file__).parent
  return any(os.path.exists(root / path) for path in (f'url_checksums/{name}.txt', f'datasets/{name}')) or any(
    root.glob(f'*/{name}.py')
  )
