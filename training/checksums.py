"""Checksums of arrays, and of the files of a checkpoint that several processes have written."""

import json
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from training.files import write_text

FILES = 'files.json'


class Damaged(Exception):
  """A checkpoint cannot be read, or not as it was written."""


def of_array(x: np.ndarray) -> int:
  """Return the CRC-32 of the values, their type and shape."""
  header = f'{x.dtype}{x.shape}'.encode()
  return zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data, zlib.crc32(header))


def of_json(value: Any) -> int:
  return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def of_file(path: pathlib.Path) -> list[int]:
  """Return the size of a file and the CRC-32 of its bytes."""
  size = crc = 0
  with path.open('rb') as file:
    while block := file.read(2**22):
      size, crc = size + len(block), zlib.crc32(block, crc)
  return [size, crc]


def of_share(folder: pathlib.Path, index: int, count: int) -> dict[str, list[int]]:
  """Return `of_file` of every `count`-th file of a checkpoint, beginning with `index`, by its name in the folder."""
  found = {path.relative_to(folder).as_posix(): path for path in folder.rglob('*') if path.is_file()}
  names = sorted(name for name in found if name != FILES)
  return {name: of_file(found[name]) for name in names[index::count]}


def write(folder: pathlib.Path, files: Mapping[str, list[int]]) -> None:
  """Write down the checksums of all files. Raises WriteError."""
  write_text(folder / FILES, json.dumps({'files': files, 'sum': of_json(files)}) + '\n')


def check_share(folder: pathlib.Path, index: int = 0, count: int = 1) -> None:
  """Check every `count`-th file that was written down, beginning with `index`. Raises Damaged."""
  try:
    listed = json.loads((folder / FILES).read_text(encoding='utf-8'))
    files, total = listed['files'], listed['sum']
  except FileNotFoundError as error:
    raise Damaged('it has no checksums: its writing was interrupted') from error
  except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
    raise Damaged(f'{FILES} cannot be read') from error
  if of_json(files) != total:
    raise Damaged(f'{FILES} does not match its checksum')
  for name in sorted(files)[index::count]:
    try:
      found = of_file(folder / name)
    except OSError as error:
      raise Damaged(f'{name} cannot be read: {error.strerror}') from error
    if found != files[name]:
      raise Damaged(f'{name} does not match its checksum')
