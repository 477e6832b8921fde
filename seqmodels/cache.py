"""Find the folder for what is computed once and kept: compiled programs, native libraries, prepared data."""

import os
import pathlib


def cache_folder(name: str) -> pathlib.Path | None:
  """Return the folder `name` of this project's cache, made if it was missing; None where nothing can be written.

  It lies in XDG_CACHE_HOME, else in ~/.cache, else (no home, or a home that cannot be written) in a folder for
  temporary files that belongs to this user alone.
  """
  for base in (cache_home(), _temporary()):
    if base is None:
      continue
    folder = base / 'seqmodels' / name
    try:
      folder.mkdir(parents=True, exist_ok=True)
    except OSError:
      continue
    if os.access(folder, os.W_OK | os.X_OK):
      return folder
  return None


def cache_home() -> pathlib.Path | None:
  """Return the user's folder for caches: XDG_CACHE_HOME if that is an absolute path, else ~/.cache, else None."""
  given = os.environ.get('XDG_CACHE_HOME', '')
  if os.path.isabs(given):
    return pathlib.Path(given)
  home = os.path.expanduser('~')
  return pathlib.Path(home, '.cache') if os.path.isabs(home) else None


def _temporary() -> pathlib.Path | None:
  """Return a folder for temporary files that no other user can write to: programs are loaded from caches."""
  folder = pathlib.Path(os.environ.get('TMPDIR') or '/tmp', f'seqmodels-{os.getuid()}')
  try:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
  except OSError:
    return None
  return folder if status.st_uid == os.getuid() and not status.st_mode & 0o022 and not folder.is_symlink() else None
