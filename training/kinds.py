"""The kinds of workdirs: a folder holds a training run, a comparison or a sweep, and is refused for another."""

import contextlib
import fcntl
import json
import pathlib
from typing import Any

from seqmodels.errors import InputError

RUN, COMPARISON, SWEEP = 'a training run', 'a comparison', 'a sweep'
SPACE = 'space.json'  # of a sweep
MARKS = {RUN: ('config.json', 'checkpoints'), SWEEP: (SPACE,), COMPARISON: ('records*.jsonl',)}


def check(folder: pathlib.Path, kind: str) -> None:
  """Raise InputError where a folder holds files of another kind, or a process of another kind works in it."""
  for other, name in {**_at_work(folder, kind), **found(folder)}.items():
    if other != kind:
      raise InputError(f'--workdir={folder} is of {other} (it holds {name}); {kind} needs another workdir')


def found(folder: pathlib.Path) -> dict[str, str]:
  """Return the kinds whose files a folder holds: kind → the name of a file."""
  kinds: dict[str, str] = {}
  for kind, patterns in MARKS.items():
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
      is_of_sweep = kind == COMPARISON and (SWEEP in kinds or _content(path).get('experiment') == 'sweep')
      kinds.setdefault(SWEEP if is_of_sweep else kind, path.name)
  return kinds


def _at_work(folder: pathlib.Path, kind: str) -> dict[str, str]:
  """Return the other kinds of which a process holds a lock in a folder; it may have written nothing else yet."""
  kinds = {}
  for path in sorted(folder.glob('*lock')):
    other = _content(path).get('kind', kind)
    if other != kind and _is_held(path):
      kinds[other] = path.name
  return kinds


def _is_held(path: pathlib.Path) -> bool:
  with contextlib.suppress(OSError), path.open() as file:
    try:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
      return True
  return False


def _content(path: pathlib.Path) -> dict[str, Any]:
  """Return the object in the first line of a file; an empty one where it cannot be read."""
  try:
    with path.open(encoding='utf-8') as file:
      content = json.loads(file.readline())
  except (OSError, ValueError, RecursionError):
    return {}
  return content if isinstance(content, dict) else {}
