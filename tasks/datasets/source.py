"""Find, fetch and verify raw files.

A file is looked for in `downloads_dir` (for machines without a network), packed or not, then among earlier downloads,
then at its official address. In each case its unpacked content must have the right size and checksum.
"""

import contextlib
import logging
import os
import pathlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from seqmodels import cache
from seqmodels.errors import InputError
from tasks.datasets import archives
from tasks.datasets.files import MissingData
from tasks.datasets.progress import Progress

log = logging.getLogger('seqmodels')

PACKED = ('.gz', '.zip')

T = TypeVar('T')


@dataclass(frozen=True)
class RawFile:
  """Name a file in a folder of raw files, its address, and size in bytes and sha256 of its unpacked content."""

  name: str
  url: str
  size: int
  sha256: str


@dataclass(frozen=True)
class RawArchive(RawFile):
  """Name an archive of many files, those whose names match `pattern`; size and sha256 as in `archives.read_members`."""

  pattern: str


@dataclass
class _Settings:
  downloads_dir: pathlib.Path | None = None
  data_dir: pathlib.Path | None = None
  tfds_data_dir: pathlib.Path | None = None


_settings = _Settings()


def configure(
  downloads_dir: str | os.PathLike[str] | None = None,
  data_dir: str | os.PathLike[str] | None = None,
  tfds_data_dir: str | os.PathLike[str] | None = None,
) -> None:
  """Set the folders for this process; None or '' leaves one to its environment variable or default.

  Raises InputError if `downloads_dir` or `tfds_data_dir` is not a folder.
  """
  _settings.downloads_dir = _expanded(downloads_dir) if downloads_dir else None
  _settings.data_dir = _expanded(data_dir) if data_dir else None
  _settings.tfds_data_dir = _expanded(tfds_data_dir) if tfds_data_dir else None
  folder = downloads_folder()
  if folder is not None and not folder.is_dir():
    raise InputError(f'downloads_dir={str(folder)!r} is not a folder')
  if _settings.tfds_data_dir is not None and not _settings.tfds_data_dir.is_dir():
    raise InputError(f'tfds_data_dir={str(_settings.tfds_data_dir)!r} is not a folder')


def downloads_folder() -> pathlib.Path | None:
  """Return the folder of raw files to look in before the network, if there is one."""
  variable = os.environ.get('SEQMODELS_DOWNLOADS_DIR')
  return _settings.downloads_dir or (_expanded(variable) if variable else None)


def data_folder() -> pathlib.Path:
  """Return the folder of downloaded data; it need not exist."""
  if _settings.data_dir:
    return _settings.data_dir
  variable = os.environ.get('SEQMODELS_DATA_DIR')
  if variable:
    return _expanded(variable)
  return (cache.cache_home() or pathlib.Path(tempfile.gettempdir())) / 'seqmodels' / 'data'


def tfds_folder() -> pathlib.Path:
  """Return the folder of what TensorFlow Datasets has prepared; it need not exist."""
  return _settings.tfds_data_dir or _expanded(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets')


def _expanded(path: str | os.PathLike[str]) -> pathlib.Path:
  """Return a path with `~` expanded where there is such a home."""
  return pathlib.Path(os.path.expanduser(path))


def read(file: RawFile) -> bytes:
  """Return the verified, unpacked content of a raw file; fetch it if no folder has it.

  Raises InputError, one line, for a file that is missing, cut short or has another content; nothing is kept of it.
  """
  name = pathlib.PurePosixPath(file.name).name
  return _found(file, lambda path: archives.read(path, name, file.size, file.sha256))


def read_members(file: RawArchive) -> dict[str, bytes]:
  """Return the verified files of an archive, by name; otherwise as `read`."""
  return _found(file, lambda path: archives.read_members(path, file.pattern, file.size, file.sha256))


def _found(file: RawFile, unpacked: Callable[[pathlib.Path], T]) -> T:
  """Return what `unpacked` reads from the local file or, where there is none, from a download."""
  path = _local(file)
  if path is not None:
    return _verified(file, path, unpacked)
  path = _download_path(file)
  absent = [folder for folder in path.parents if not folder.exists()]  # the innermost first
  try:
    _download(file, path)
    return _verified(file, path, unpacked)
  except InputError:
    with contextlib.suppress(OSError):
      path.unlink(missing_ok=True)
      for folder in absent:
        folder.rmdir()
    raise


def _local(file: RawFile) -> pathlib.Path | None:
  """Return the file in downloads_dir (in its subfolder or not; plain, .gz or .zip), else an earlier download."""
  candidates = []
  folder = downloads_folder()
  if folder is not None:
    for place in (folder / file.name, folder / pathlib.PurePath(file.name).name):
      candidates += [place, *(place.with_name(place.name + ending) for ending in PACKED)]
  candidates.append(_download_path(file))
  return next((path for path in candidates if path.is_file()), None)


def _download_path(file: RawFile) -> pathlib.Path:
  ending = pathlib.PurePosixPath(file.url).suffix
  return data_folder() / 'downloads' / (file.name + (ending if ending in PACKED else ''))


def _download(file: RawFile, path: pathlib.Path) -> None:
  import pooch

  known = None if path.suffix in PACKED else f'sha256:{file.sha256}'  # an archive is judged by what is in it
  pooch.get_logger().setLevel('WARNING')
  log.info('%s: downloading from %s', file.name, file.url)
  start = time.monotonic()
  try:
    with Progress(file.name, file.size) as progress:
      # Pooch writes to a temporary file, checks it, and renames.
      pooch.retrieve(file.url, known_hash=known, fname=path.name, path=path.parent, progressbar=progress)
  except ValueError as error:
    raise _refused(file, file.url, str(error).split('\n', 1)[0]) from error
  except OSError as error:  # requests' errors are OSErrors; so is an unwritable folder
    raise MissingData(
      f'{file.name} is in no folder and {file.url} cannot be fetched to {path.parent} ({type(error).__name__}); put the'
      f' file into a folder as {file.name} and give it as --downloads_dir'
    ) from error
  log.info('%s: %.1f MB in %.1f s', file.name, path.stat().st_size / 1e6, time.monotonic() - start)


def _verified(file: RawFile, path: pathlib.Path, unpacked: Callable[[pathlib.Path], T]) -> T:
  try:
    return unpacked(path)
  except archives.Unreadable as error:
    raise _refused(file, path, str(error)) from error


def _refused(file: RawFile, where: object, found: str) -> InputError:
  return InputError(
    f'{where} is refused: expected {file.name}, {file.size} bytes with sha256 {file.sha256} unpacked, found {found};'
    f' remove it, and get the file from {file.url}'
  )
