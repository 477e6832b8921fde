"""Models as files for other programs: parameters in safetensors, everything else in JSON beside them.

Arrays have the names of checkpoints (`stack/block_00/mixer/query/kernel`), one for each layer. The format holds numbers
and text only: nothing in a file is executed. It has no checksums, so that ours stand in its metadata.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors
import safetensors.numpy

from seqmodels import models, spec
from seqmodels.config import from_dict
from seqmodels.errors import InputError, one_line
from seqmodels.models import Model
from seqmodels.models.layout import join_names, split_names
from seqmodels.notation import Params
from training import checksums, files
from training.trees import flatten
from training.workdir import Loaded

FORMAT = 'seqmodels 1'
SUFFIX = '.safetensors'


class Exported(NamedTuple):
  """A model read back. description: what stands in the JSON file, the vocabulary among it."""

  model: Model
  params: Params
  description: dict[str, Any]


def write(path: pathlib.Path, loaded: Loaded) -> None:
  """Write the parameters of a model to `path`, and beside it its description and its tokenizer (`kept_files`).

  The parameters come last, so that a file of parameters is never without the others. Raises WriteError.
  """
  arrays = {name: np.ascontiguousarray(x) for name, x in split_names(flatten(loaded.params)).items()}
  sums = {name: checksums.of_array(x) for name, x in arrays.items()}
  metadata = {'format': FORMAT, 'step': str(loaded.step), 'crc32': json.dumps(sums)}
  partial = path.with_name(f'{path.name}.partial')
  with files.writing(path):
    try:
      try:
        safetensors.numpy.save_file(arrays, partial, metadata)
      except safetensors.SafetensorError as error:  # a full disk, for one
        raise files.WriteError(f'{path} cannot be written: {one_line(error)}') from error
      for name, content in loaded.task.kept_files().items():
        files.write_bytes(path.with_name(f'{path.stem}.{name}'), content)
      files.write_text(path.with_suffix('.json'), json.dumps(describe(loaded), indent=2) + '\n')
      partial.replace(path)
    finally:
      with contextlib.suppress(OSError):
        partial.unlink()


def describe(loaded: Loaded) -> dict[str, Any]:
  """Return, as JSON, everything but the parameters: config, model, shape of the task, data, vocabulary or units."""
  model = loaded.model
  return {
    'format': FORMAT,
    'step': loaded.step,
    'parameters': models.count_parameters(model),
    'config': loaded.config,
    'model': dataclasses.asdict(model.config),
    'spec': spec.to_json(model.spec),
    'data': loaded.task.identity(),
    'units': loaded.task.units(),
    'files': sorted(loaded.task.kept_files()),
  }


def read_model(path: str | os.PathLike[str]) -> Exported:
  """Return the model of an exported file, from its parameters and the JSON beside them. Raises InputError."""
  path = pathlib.Path(path)
  beside = path.with_suffix('.json')
  try:
    description = json.loads(beside.read_text(encoding='utf-8'))
    model = models.build(from_dict(description['model']), spec.from_json(description['spec']))
  except OSError as error:
    raise InputError(f'{beside} cannot be read: {files.reason(error)}') from error
  except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:  # an InputError is a ValueError
    raise InputError(f'{beside} is not the description of an exported model: {one_line(error)}') from error
  return Exported(model, read_params(path, model, str(path)), description)


def read_params(path: str | os.PathLike[str], model: Model, shown: str = '') -> Params:
  """Return the parameters of an exported file, NumPy arrays, if they are those of `model` and whole.

  shown: the file's name in messages; empty: as train.init_from. Raises InputError.
  """
  shown = shown or f'train.init_from={path}'
  expected = flatten(model.abstract_params)
  split = split_names(expected)
  try:
    pathlib.Path(path).open('rb').close()  # for a message of the system's own
    with safetensors.safe_open(os.fspath(path), framework='numpy') as file:
      sums = _sums(file.metadata() or {}, shown)
      _check_names(split, set(file.keys()), shown)
      arrays = {name: file.get_tensor(name) for name in split}
  except OSError as error:
    raise InputError(f'{shown} cannot be read: {files.reason(error)}') from error
  except (safetensors.SafetensorError, TypeError) as error:  # a TypeError: a type that NumPy does not have
    raise InputError(f'{shown} is damaged or no safetensors file: {one_line(error)}') from error
  for name, like in split.items():
    x = arrays[name]
    if (x.shape, x.dtype) != (like.shape, like.dtype):
      there, here = f'{x.dtype}{list(x.shape)}', f'{like.dtype}{list(like.shape)}'
      raise InputError(f'{shown} has {name} as {there}, the model has {here}: it is of another model')
    if checksums.of_array(x) != sums.get(name):
      raise InputError(f'{shown} is damaged: {name} does not match its checksum')
  return jax.tree.unflatten(jax.tree.structure(model.abstract_params), list(join_names(arrays, expected).values()))


def _sums(metadata: dict[str, str], shown: str) -> dict[str, int]:
  """Return the checksums by array."""
  if metadata.get('format') != FORMAT:
    raise InputError(f'{shown} was not written by --mode=export: its metadata name no format {FORMAT!r}')
  try:
    sums = json.loads(metadata['crc32'])
  except (KeyError, ValueError, RecursionError) as error:
    raise InputError(f'{shown} is damaged: its checksums cannot be read') from error
  if not isinstance(sums, dict):
    raise InputError(f'{shown} is damaged: its checksums cannot be read')
  return sums


def _check_names(expected: dict[str, Any], found: set[str], shown: str) -> None:
  for what, names in (('has no array', expected.keys() - found), ('has an array', found - expected.keys())):
    if names:
      more = f' and {len(names) - 1} more' if len(names) > 1 else ''
      but = '' if what == 'has no array' else ', which the model does not have'
      raise InputError(f'{shown} {what} {min(names)}{more}{but}: it is of another model')
