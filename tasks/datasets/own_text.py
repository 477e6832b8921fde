"""Read the user's own text files, as one text or as documents for each split."""

import hashlib
import logging
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from seqmodels.errors import InputError
from tasks.datasets import files

log = logging.getLogger('seqmodels')


class OwnText(NamedTuple):
  """Hold the texts of each split, or "full"; `content` has the sha256 of the files as they are."""

  texts: dict[str, list[bytes]]
  content: dict[str, str]


def load(dataset: str, as_bytes: bool, is_packed: bool = False) -> OwnText:
  """Read the files that `dataset` means, those of a split in the order of their names.

  as_bytes: take the bytes as they are; else files must be UTF-8, and byte order marks and CR are left out (and said).
  is_packed: return each file that is not empty; else one text, in which each file begins on a line of its own.
  Raises InputError for files that cannot be read, have another encoding, or hold nothing.
  """
  texts, content = {}, {}
  for split, paths in files.by_split(files.find(dataset)).items():
    read, content[split] = _read(paths, as_bytes)
    if not any(read):
      held = 'is empty' if len(paths) == 1 else 'are empty'
      raise InputError(f'{files.listed(paths)} {held}: 0 bytes of text; a text to train on is needed')
    texts[split] = [text for text in read if text] if is_packed else [_joined(read)]
  return OwnText(texts, content)


def _read(paths: Sequence[pathlib.Path], as_bytes: bool) -> tuple[list[bytes], str]:
  digest, texts, empty = hashlib.sha256(), [], []
  for path in paths:
    raw = files.read_bytes(path)
    digest.update(raw)
    texts.append(raw if as_bytes else files.decode(path, raw, ', or set task.unit=byte').encode())
    if not texts[-1]:
      empty.append(path)
  if empty and len(empty) < len(paths):
    log.warning('%s: %d of %d files are empty', files.listed(empty), len(empty), len(paths))
  return texts, digest.hexdigest()


def _joined(texts: Sequence[bytes]) -> bytes:
  if len(texts) == 1:
    return texts[0]
  return b''.join(text if text.endswith(b'\n') or not text else text + b'\n' for text in texts)
