"""The folder of compiled programs that JAX fills: how large it may become, and entries that went bad.

JAX's own limit (`jax_compilation_cache_max_size`) takes a lock for every entry, lists the folder for every new one, and
stops caching in a folder that it has not filled itself; so the folder is tidied once a process. Imports no JAX before
`counts.start()`.
"""

import contextlib
import json
import logging
import os
import pathlib
import uuid
import zlib
from typing import NamedTuple

from seqmodels.errors import one_line
from training import files

MOST = 2 * 2**30  # bytes
VARIABLE = 'SEQMODELS_CACHE_BYTES'  # another limit
SUFFIX = '-cache'
REQUEST, HIT = (f'/jax/compilation_cache/{name}' for name in ('compile_requests_use_cache', 'cache_hits'))  # of JAX
log = logging.getLogger('seqmodels')


class Entry(NamedTuple):
  """A file as it was when it was first seen. JAX never changes one."""

  size: int
  mtime_ns: int
  checksum: int


class Counts:
  """Count the programs that JAX found in its cache and those that it had to compile, from `start` on."""

  def __init__(self) -> None:
    self.requests = self.hits = 0
    self._has_started = self._is_said = False

  def start(self) -> None:
    """Begin to count; further calls do nothing."""
    if not self._has_started:
      import jax

      self._has_started = True
      jax.monitoring.register_event_listener(self._note)

  def _note(self, event: str, **_: object) -> None:
    self.requests += event == REQUEST
    self.hits += event == HIT

  def say(self) -> None:
    """Log the folder, hits and misses, once a process; nothing where there is no cache or nothing was compiled."""
    folder = os.environ.get('JAX_COMPILATION_CACHE_DIR')
    if folder and self.requests and not self._is_said:
      self._is_said = True
      log.info('compilation cache %s: %d hits, %d misses', folder, self.hits, self.requests - self.hits)


counts = Counts()  # of this process


def why_not(path: str) -> str:
  """Return why no files can be made in a folder or under a URL, after making it; '' where they can."""
  if '://' in path:
    return _why_not_url(path)
  try:
    pathlib.Path(path).mkdir(parents=True, exist_ok=True)
  except OSError as error:
    return files.reason(error)
  return '' if os.access(path, os.W_OK | os.X_OK) else 'permission denied'


def _why_not_url(url: str) -> str:
  """Write a small file and delete it: a bucket has no permissions that could be asked for."""
  from etils import epath  # what JAX reads and writes the cache with

  try:
    folder = epath.Path(url)
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f'probe-{uuid.uuid4().hex}'  # processes in containers may have the same number
    probe.write_bytes(b'')
    probe.unlink()
  except Exception as error:  # whatever a client of a cloud raises
    return one_line(error)[:200] or type(error).__name__
  return ''


def limit() -> int:
  """Return how many bytes the folder may hold."""
  text = os.environ.get(VARIABLE, '')
  return int(text) if text.isdecimal() else MOST


def tidy(path: pathlib.Path, most: int) -> None:
  """Delete entries that have changed since they were written, then those used last until `most` bytes are left.

  An entry of another program under this one's key would run as this one: JAX does not look. What cannot be deleted or
  written is left alone.
  """
  known, found = _read_index(path / 'index.json'), {}
  used: dict[str, int] = {}
  for file in _files(path):
    with contextlib.suppress(OSError):
      status = file.stat()
      before = known.get(file.name)
      if before is None or (before.size, before.mtime_ns) != (status.st_size, status.st_mtime_ns):
        data = pathlib.Path(file.path).read_bytes()
        os.utime(file.path, ns=(status.st_atime_ns, status.st_mtime_ns))  # this was no use of it
        checksum = zlib.crc32(data)
        if (before is not None and before.checksum != checksum) or not _is_whole(data):
          os.unlink(file.path)
          continue
        before = Entry(status.st_size, status.st_mtime_ns, checksum)
      found[file.name] = before
      used[file.name] = max(status.st_atime_ns, status.st_mtime_ns)
  for name in [*_repeated(found), *_oldest(found, used, most)]:
    if found.pop(name, None) is not None:
      for file_name in (name, name.removesuffix(SUFFIX) + '-atime'):
        with contextlib.suppress(OSError):
          (path / file_name).unlink()
  if found != known:
    _write_index(path / 'index.json', found)


def _files(path: pathlib.Path) -> list['os.DirEntry[str]']:
  try:
    with os.scandir(path) as entries:
      return [entry for entry in entries if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False)]
  except OSError:
    return []


def _is_whole(data: bytes) -> bool:
  """Return whether an entry is complete, where it is compressed with zlib, which has a checksum."""
  if data[:1] != b'\x78':  # zstd, of JAX with that package
    return bool(data)
  try:
    zlib.decompress(data)
  except zlib.error:
    return False
  return True


def _repeated(found: dict[str, Entry]) -> list[str]:
  """Return the names of entries with the same content: at least one of them is under another's key."""
  by_content: dict[tuple[int, int], list[str]] = {}
  for name, entry in found.items():
    by_content.setdefault((entry.size, entry.checksum), []).append(name)
  return [name for names in by_content.values() if len(names) > 1 for name in names]


def _oldest(found: dict[str, Entry], used: dict[str, int], most: int) -> list[str]:
  """Return the entries to delete so that a tenth of `most` is free again, if it is exceeded."""
  total = sum(entry.size for entry in found.values())
  names = []
  if total > most:
    for name in sorted(found, key=used.__getitem__):
      if total <= 0.9 * most:
        break
      names.append(name)
      total -= found[name].size
  return names


def _read_index(path: pathlib.Path) -> dict[str, Entry]:
  try:
    return {name: Entry(*map(int, values)) for name, values in json.loads(path.read_text()).items()}
  except (OSError, ValueError, TypeError, AttributeError):
    return {}


def _write_index(path: pathlib.Path, found: dict[str, Entry]) -> None:
  temporary = path.with_name(f'index-{uuid.uuid4().hex}.partial')
  with contextlib.suppress(OSError):
    temporary.write_text(json.dumps(found))
    temporary.replace(path)
