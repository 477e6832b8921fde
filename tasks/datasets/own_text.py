"""Read the user's own text files, as one text for each split."""

import hashlib
import logging
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from seqmodels.errors import InputError
from tasks.datasets import files

log = logging.getLogger('seqmodels')


class OwnText(NamedTuple):
  """Hold the text of each split, or "full"; `content` has the sha256 of the files as they are."""

  texts: dict[str, bytes]
  content: dict[str, str]


def load(dataset: str, as_bytes: bool) -> OwnText:
  """Read the files that `dataset` means; those of a split follow one another by name, each on a line of its own.

  as_bytes: take the bytes as they are; else files must be UTF-8, and byte order marks and CR are left out (and said).
  Raises InputError for files that cannot be read, have another encoding, or hold nothing.
  """
  texts, content = {}, {}
  for split, paths in files.by_split(files.find(dataset)).items():
    texts[split], content[split] = _joined(paths, as_bytes)
    if not texts[split]:
      held = 'is empty' if len(paths) == 1 else 'are empty'
      raise InputError(f'{files.listed(paths)} {held}: 0 bytes of text; a text to train on is needed')
  return OwnText(texts, content)


def _joined(paths: Sequence[pathlib.Path], as_bytes: bool) -> tuple[bytes, str]:
  digest, pieces, empty = hashlib.sha256(), [], []
  for path in paths:
    raw = files.read_bytes(path)
    digest.update(raw)
    text = raw if as_bytes else files.decode(path, raw, ', or set task.unit=byte').encode()
    if not text:
      empty.append(path)
    if text and len(paths) > 1 and not text.endswith(b'\n'):
      text += b'\n'
    pieces.append(text)
  if empty and len(empty) < len(paths):
    log.warning('%s: %d of %d files are empty', files.listed(empty), len(empty), len(paths))
  return b''.join(pieces), digest.hexdigest()
