"""Files of a run: what to say when one cannot be written, writes that happen at once or not at all, and a lock."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import Any, Self, TextIO

from seqmodels.errors import InputError, cut
from training import kinds

PATTERNS = '*?[]\\'  # Orbax looks for its files with glob patterns
LONGEST_NAME, LONGEST_PATH = 255, 4000  # bytes; of ext4 and Linux, with room for the files of a run
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WriteError(InputError):
  """A file cannot be written: the disk is full, the folder is read-only, or a file is in the way of a folder."""


@contextlib.contextmanager
def writing(path: str | pathlib.Path) -> Iterator[None]:
  """Raise WriteError, one line that names `path`, for an OSError inside."""
  try:
    yield
  except OSError as error:
    raise WriteError(f'{path} cannot be written: {reason(error)}') from error


def reason(error: OSError) -> str:
  """Return what an OSError means, in a few words."""
  if isinstance(error, FileExistsError):
    return 'it is a file'
  return error.strerror or str(error) or type(error).__name__


def write_problem(error: BaseException | None) -> str | None:
  """Return why a write failed, if the file system is the reason."""
  while error is not None:
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
      return error.strerror
    for number in (*FULL, errno.EROFS, errno.EACCES, errno.EIO):
      if f"os_error_code='{number}'" in str(error):
        return os.strerror(number)
    error = error.__cause__ or error.__context__
  return None


def local_path(flag: str, text: str | pathlib.Path) -> str:
  """Return the path that a flag names, with `~` expanded; it need not exist.

  Raises InputError for a URL, for a home folder that does not exist, and for a path that no file can have.
  """
  text = str(text)
  shown = f'--{flag}={cut(text)}'
  if '://' in text:
    raise InputError(f'{shown} must be a local folder: URLs are not supported; mount the bucket instead')
  path = os.path.expanduser(text)
  if path.startswith('~'):
    raise InputError(f'{shown} cannot be used: there is no such home folder; write ./{cut(text)} for that name')
  try:
    parts = [len(part.encode()) for part in path.split('/')]
    if max(parts) > LONGEST_NAME or sum(parts) + len(parts) > LONGEST_PATH:
      raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    os.stat(path)
  except FileNotFoundError:
    pass
  except UnicodeEncodeError as error:
    raise InputError(f'{shown!a} cannot be used: it is not UTF-8') from error
  except (OSError, ValueError) as error:  # a ValueError: a NUL
    why = reason(error) if isinstance(error, OSError) else str(error)
    raise InputError(f'{shown} cannot be used: {why}') from error
  return path  # no pathlib.Path, which makes ~/x of ./~/x


def resolve(flag: str, text: str | pathlib.Path) -> pathlib.Path:
  """Return the path of a folder for checkpoints; see `local_path`.

  Raises InputError also for a character that Orbax takes for a pattern or that a file name should not hold.
  """
  path = pathlib.Path(os.path.expanduser(text))
  odd = sorted({c for c in str(path.absolute()) if c in PATTERNS or not (c.isprintable() or '\udc80' <= c <= '\udcff')})
  if odd:
    shown = cut(str(text))
    raise InputError(f'--{flag}={shown!r} must not hold {" ".join(map(repr, odd))}: checkpoints cannot be kept there')
  return pathlib.Path(local_path(flag, text))


def check_writable(flag: str, text: str | pathlib.Path, folder: pathlib.Path) -> None:
  """Raise InputError unless files can be written in a folder, or the folder be made; write nothing.

  text: the value of the flag that the folder follows from.
  """
  there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
  if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
    return
  why = f'permission denied in {there}' if there.is_dir() else f'{there} is a file'
  raise InputError(f'--{flag}={cut(str(text))} cannot be written: {why}')


def write_text(path: pathlib.Path, text: str) -> None:
  """Write a file in UTF-8 at once or not at all. Raises WriteError."""
  write_bytes(path, text.encode())


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Write a file at once or not at all. Raises WriteError."""
  temporary = path.with_name(f'{path.name}.partial')
  with writing(path):
    try:
      with temporary.open('wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
      temporary.replace(path)
    except OSError:
      with contextlib.suppress(OSError):
        temporary.unlink()
      raise


def open_to_append(path: pathlib.Path) -> TextIO:
  """Open a file of lines to append to, after ending a last line that a killed process has left torn.

  Raises WriteError.
  """
  with writing(path):
    is_torn = path.exists() and path.read_bytes()[-1:] not in (b'', b'\n')
    file = path.open('a', encoding='utf-8')
    if is_torn:
      file.write('\n')
      file.flush()
    return file


class Lock:
  """A lock on a workdir, held by one process at a time: `with Lock(folder, kind): …`.

  The kernel gives it back when the process ends, however it ends, so that a lock file left behind is no obstacle. The
  folder is made if it does not exist. kind: of `training.kinds`. Raises InputError that names the host and the process
  that holds it, or the other kind that the folder is of.
  """

  def __init__(self, folder: pathlib.Path, kind: str, name: str = 'lock') -> None:
    self.folder, self.kind, self.path = folder, kind, folder / name
    self._file: Any = None

  def __enter__(self) -> Self:
    with writing(f'--workdir={self.folder}'):
      self.folder.mkdir(parents=True, exist_ok=True)
    while self._file is None:
      with writing(f'--workdir={self.folder}'):
        file = self.path.open('a+', encoding='utf-8', errors='replace')
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        holder = _holder(file)
        file.close()
        raise InputError(f'--workdir={self.folder} is in use by {holder}; wait for it, or end it first') from None
      except OSError:  # a file system without locks
        self._file = file
        break
      if _is_same_file(file, self.path):
        self._file = file
      else:  # the process that held it has removed it meanwhile
        file.close()
    with writing(self.path):
      self._file.truncate(0)
      self._file.write(json.dumps({'host': socket.gethostname(), 'pid': os.getpid(), 'kind': self.kind}) + '\n')
      self._file.flush()
    try:
      kinds.check(self.folder, self.kind)
    except InputError:
      self.__exit__()
      raise
    return self

  def __exit__(self, *_: object) -> None:
    with contextlib.suppress(OSError):
      self.path.unlink()
    with contextlib.suppress(OSError):
      self._file.close()


def _holder(file: Any) -> str:
  """Return who holds a lock, from what it has written into the file; it may be about to."""
  for _ in range(10):
    file.seek(0)
    try:
      held = json.loads(file.read())
      return f'process {held["pid"]} on host {held["host"]}'
    except (ValueError, TypeError, KeyError):
      time.sleep(0.02)
  return 'another process'


def _is_same_file(file: Any, path: pathlib.Path) -> bool:
  try:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())
  except FileNotFoundError:
    return False
