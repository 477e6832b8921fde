"""Read packed files in pieces: nothing is held whole before its size and checksum are known."""

import contextlib
import gzip
import hashlib
import pathlib
import re
import tarfile
import zipfile
from collections.abc import Iterator
from typing import IO, cast

CHUNK = 1 << 20
ENCRYPTED = 0x1  # bit of a zip member's flags


class Unreadable(Exception):
  """Report a file that cannot be unpacked or has another content, in one short line."""


def read(path: pathlib.Path, name: str, size: int, sha256: str) -> bytes:
  """Return the unpacked content of a plain, .gz or .zip file, after a first pass that verifies it.

  name: the member of an archive that holds several. Raises Unreadable unless the content has exactly `size` bytes with
  the checksum `sha256`; the first pass stops after `size` bytes, whatever the file unpacks to.
  """
  try:
    _verify(path, name, size, sha256)
    with _opened(path, name) as stream:
      return stream.read(size)
  except Unreadable:
    raise
  except Exception as error:  # readers of archives raise about a dozen kinds on damaged bytes
    raise Unreadable(f'cannot be unpacked: {" ".join(str(error).split()) or type(error).__name__}') from error


def _verify(path: pathlib.Path, name: str, size: int, sha256: str) -> None:
  digest, count = hashlib.sha256(), 0
  with _opened(path, name) as stream:
    while chunk := stream.read(CHUNK):
      digest.update(chunk)
      count += len(chunk)
      if count > size:
        raise Unreadable(f'more than its {size} bytes')
  if count != size or digest.hexdigest() != sha256:
    raise Unreadable(f'{count} bytes with sha256 {digest.hexdigest()}')


def read_members(path: pathlib.Path, pattern: str, size: int, sha256: str) -> dict[str, bytes]:
  """Return the members of a .tar, .tar.gz or .zip file whose names match `pattern`, by name without folders.

  The folders and the packing may differ: verified are the members' content and names. Raises Unreadable unless they
  have `size` bytes in all, and `sha256` is that of the lines `<sha256 of the content>  <name>`, sorted by name.
  """
  try:
    digests, total = {}, 0
    for name, content in _members(path, pattern, size):
      digests[name] = hashlib.sha256(content).hexdigest()
      total += len(content)
      if total > size:
        raise Unreadable(f'more than its {size} bytes')
    listing = ''.join(f'{digest}  {name}\n' for name, digest in sorted(digests.items()))
    found = hashlib.sha256(listing.encode()).hexdigest()
    if total != size or found != sha256:
      raise Unreadable(f'{len(digests)} files of {total} bytes with sha256 {found}')
    return dict(_members(path, pattern, size))
  except Unreadable:
    raise
  except Exception as error:
    raise Unreadable(f'cannot be unpacked: {" ".join(str(error).split()) or type(error).__name__}') from error


def _members(path: pathlib.Path, pattern: str, size: int) -> Iterator[tuple[str, bytes]]:
  """Yield name and content of the members that match, one at a time, none larger than `size`."""
  if path.suffix == '.zip':
    with zipfile.ZipFile(path) as archive:
      for info in archive.infolist():
        name = pathlib.PurePosixPath(info.filename).name
        if not info.is_dir() and info.file_size <= size and re.fullmatch(pattern, name):
          yield name, archive.read(info)
    return
  with tarfile.open(path) as archive:
    for member in archive:
      name = pathlib.PurePosixPath(member.name).name
      stream = archive.extractfile(member) if member.isfile() and member.size <= size else None
      if stream is not None and re.fullmatch(pattern, name):
        yield name, stream.read()


@contextlib.contextmanager
def _opened(path: pathlib.Path, name: str) -> Iterator[IO[bytes]]:
  """Open the content of a file as a stream of unpacked bytes."""
  if path.suffix == '.zip':
    with zipfile.ZipFile(path) as archive, archive.open(_member(archive, name)) as stream:
      yield stream
  elif path.suffix == '.gz':
    with gzip.open(path) as stream:
      yield cast(IO[bytes], stream)
  else:
    with path.open('rb') as stream:
      yield stream


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
  """Return the only file of an archive, or the one called `name` in any of its folders."""
  files = [info for info in archive.infolist() if not info.is_dir()]
  named = [info for info in files if pathlib.PurePosixPath(info.filename).name == name]
  found = named if len(files) > 1 else files
  if len(found) != 1:
    raise Unreadable(f'an archive of {len(files)} files, {len(named)} of them named {name}')
  if found[0].flag_bits & ENCRYPTED:
    raise Unreadable('an encrypted archive: unpack it, and give the file itself')
  return found[0]
