"""Checksums of arrays, and of the files of a checkpoint that several processes have written."""

import json
import pathlib
import re
import zlib
from typing import Any

import numpy as np

from training.files import write_text

BEFORE = 'files.json'  # of all processes, in checkpoints of earlier versions
NAME = 'files-{}-of-{}.json'  # the checksums of the files of one process
LISTS, OWN = re.compile(r'files-\d+-of-(\d+)\.json'), re.compile(r'process_(\d+)$')


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


def write_share(folder: pathlib.Path, index: int, count: int) -> None:
  """Write down `of_file` of the files that process `index` of `count` has written. Raises WriteError.

  The first takes those of no process as well. No process lists what another has written: on a file system of a network
  it may not see it yet.
  """
  files = {path.relative_to(folder): path for path in folder.rglob('*') if path.is_file()}
  sums = {name.as_posix(): of_file(path) for name, path in files.items() if _owner(name, count) == index}
  write_text(folder / NAME.format(index, count), json.dumps({'files': sums, 'sum': of_json(sums)}) + '\n')


def _owner(name: pathlib.Path, count: int) -> int | None:
  """Return which process has written a file of a checkpoint: Orbax's names end with it. None for lists of checksums."""
  if name.name.startswith('files-'):  # another process may be writing one
    return None
  numbers = [int(found[1]) for part in name.parts if (found := OWN.search(part))]
  return numbers[0] if numbers and numbers[0] < count else 0


def check_share(folder: pathlib.Path, index: int = 0, count: int = 1) -> None:
  """Check every `count`-th file that was written down, beginning with `index`. Raises Damaged."""
  files = _listed(folder)
  for name in sorted(files)[index::count]:
    try:
      found = of_file(folder / name)
    except OSError as error:
      raise Damaged(f'{name} cannot be read: {error.strerror}') from error
    if found != files[name]:
      raise Damaged(f'{name} does not match its checksum')


def _listed(folder: pathlib.Path) -> dict[str, list[int]]:
  """Return what all the processes that have written a checkpoint have written down. Raises Damaged."""
  counts = {path.name: int(found[1]) for path in folder.glob('files-*') if (found := LISTS.fullmatch(path.name))}
  count = max(counts.values(), default=0)
  names = [NAME.format(index, count) for index in range(count)]
  if (folder / BEFORE).is_file():
    names = [BEFORE]
  elif not names or counts.keys() != set(names):
    raise Damaged('it has no checksums of all its files: its writing was interrupted')
  files: dict[str, list[int]] = {}
  for name in names:
    try:
      listed = json.loads((folder / name).read_text(encoding='utf-8'))
      share, total = listed['files'], listed['sum']
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
      raise Damaged(f'{name} cannot be read') from error
    if of_json(share) != total:
      raise Damaged(f'{name} does not match its checksum')
    files |= share
  return files
