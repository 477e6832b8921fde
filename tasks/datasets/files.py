"""Find and decode the user's own files: a file, a folder or a pattern, and the splits that their names say."""

import glob
import logging
import os
import pathlib
import re
from collections.abc import Sequence

from seqmodels.errors import InputError

log = logging.getLogger('seqmodels')

SPLIT_WORDS = {
  'train': ('train', 'training'),
  'validation': ('valid', 'validation', 'val', 'dev'),
  'test': ('test', 'testing'),
}
LISTED = 3  # files that a message names


class MissingData(InputError):
  """The data that an option names are not there."""


def is_path(dataset: str) -> bool:
  """Tell whether the option `dataset` means files rather than the name of a data set."""
  return any(mark in dataset for mark in ('/', os.sep, '*', '.')) or dataset.startswith('~')


def find(dataset: str, option: str = 'dataset') -> tuple[pathlib.Path, ...]:
  """Return the files that the value of an option means, sorted: one, all below a folder, or those of a pattern.

  Hidden files and folders (a name that begins with a dot) are not looked at in folders. Raises InputError where there
  is no file.
  """
  path = pathlib.Path(os.path.expanduser(dataset))  # unlike Path.expanduser, it leaves an unknown `~user` as it is
  try:
    if path.is_dir():
      inside = (p for p in path.rglob('*') if not any(part.startswith('.') for part in p.relative_to(path).parts))
      found = sorted(p for p in inside if p.is_file())
    elif path.exists():
      found = [path]
    else:
      found = sorted(p for p in map(pathlib.Path, glob.glob(str(path), recursive=True)) if p.is_file())
  except (OSError, ValueError) as error:  # a name that is too long, or has a NUL
    raise InputError(f'task.{option}={dataset!r} cannot be read: {reason(error)}') from error
  if not found:
    kind = 'an empty folder' if path.is_dir() else 'no file, folder or pattern that matches a file'
    raise MissingData(f'task.{option}={dataset!r} is {kind}')
  return tuple(found)


def stamp(dataset: str, option: str = 'dataset') -> tuple[tuple[str, int, int], ...]:
  """Return name, size and time of change of each file, so that a changed file is read anew."""
  status = [(path, path.stat()) for path in find(dataset, option)]
  return tuple((str(path), info.st_size, info.st_mtime_ns) for path, info in status)


def by_split(paths: Sequence[pathlib.Path]) -> dict[str, list[pathlib.Path]]:
  """Return the files of each split by their names (`wiki.train.tokens`, `dev.txt`), else all as "full".

  Raises InputError if some names say a split and others do not, or if there is nothing to train on or to validate with.
  """
  named = {path: split_of(path) for path in paths}
  if len({*named.values()}) == 1:
    return {'full': list(paths)}
  silent = [path for path, split in named.items() if split is None]
  if silent:
    raise InputError(
      f'{listed(silent)} {"belong" if len(silent) > 1 else "belongs"} to no split, while {_first(named)} names one; '
      'name every file by its split (train, valid or test) or none'
    )
  splits = {split: [path for path, own in named.items() if own == split] for split in SPLIT_WORDS}
  for split in ('train', 'validation'):
    if not splits[split]:
      raise InputError(f'{listed(paths)} hold no {split} split; a name with {" or ".join(SPLIT_WORDS[split])} has it')
  return {split: found for split, found in splits.items() if found}


def split_of(path: pathlib.Path) -> str | None:
  """Return the split that a file's name says; None where it says none."""
  words = re.split(r'[^a-z]+', path.name.lower())
  return next((split for split, names in SPLIT_WORDS.items() if any(name in words for name in names)), None)


def _first(named: dict[pathlib.Path, str | None]) -> str:
  return next(path.name for path, split in named.items() if split)


def listed(paths: Sequence[pathlib.Path]) -> str:
  """Return the first paths as text for a message, and how many more there are."""
  more = f' and {len(paths) - LISTED} more' if len(paths) > LISTED else ''
  return ', '.join(map(str, paths[:LISTED])) + more


def percentages(split: str) -> tuple[float, ...]:
  """Return the parts of `split`, e.g. (90, 5, 5); () unless they are two or three above 0 that add up to 100."""
  if not re.fullmatch(r'\d+(\.\d+)?(/\d+(\.\d+)?){1,2}', split):
    return ()
  parts = tuple(float(part) for part in split.split('/'))
  return parts if min(parts) > 0 and abs(sum(parts) - 100) < 1e-9 else ()


def read_bytes(path: pathlib.Path) -> bytes:
  """Return a file's content. Raises InputError if it cannot be read."""
  try:
    return path.read_bytes()
  except OSError as error:
    raise InputError(f'{path} cannot be read: {reason(error)}') from error


BYTE_ORDER_MARKS = {
  'UTF-32': (b'\xff\xfe\x00\x00', b'\x00\x00\xfe\xff'),
  'UTF-16': (b'\xff\xfe', b'\xfe\xff'),
}
UTF8_MARK = b'\xef\xbb\xbf'


def decode(path: pathlib.Path, content: bytes, otherwise: str = '') -> str:
  """Return the text of a UTF-8 file, without a byte order mark and with line feeds alone as line ends; says so.

  otherwise: what else the user can do about another encoding. Raises InputError for one, with the place.
  """
  for encoding, marks in BYTE_ORDER_MARKS.items():
    if content.startswith(marks):
      name = encoding.lower()
      raise InputError(f'{path} is {encoding}; convert it: iconv -f {name} -t utf-8{otherwise}')
  if content.startswith(UTF8_MARK):
    log.info('%s: its byte order mark is left out', path)
    content = content[len(UTF8_MARK) :]
  try:
    text = content.decode()
  except UnicodeDecodeError as error:
    line = content[: error.start].count(b'\n') + 1
    raise InputError(
      f'{path} is not UTF-8: byte 0x{content[error.start]:02x} in line {line}; convert it: '
      f'iconv -f latin1 -t utf-8 (or from its encoding){otherwise}'
    ) from error
  ends = text.count('\r\n')
  if ends:
    log.info('%s: %d line ends CR LF are read as LF', path, ends)
    text = text.replace('\r\n', '\n')
  return text


def reason(error: Exception) -> str:
  return getattr(error, 'strerror', None) or ' '.join(str(error).split())
