"""Cut texts into documents and splits, and pack the documents of a split into one array of ids.

With `documents=joined` a data set is one text. With `documents=packed` each file, each example or each part between
separators is a document, and a token of its own, `<|endoftext|>`, ends each (Radford et al. 2019).
"""

import re
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from seqmodels.errors import InputError, unknown
from tasks.datasets import files

JOINED, PACKED = 'joined', 'packed'
BLANK_LINE = 'blank_line'
END = '<|endoftext|>'  # name of the token that ends a document
SPLIT = '90/5/5'

Text = TypeVar('Text', str, bytes)


def check_options(documents: str, separator: str) -> None:
  """Raise InputError for values of the options `documents` and `separator` that are not allowed."""
  if documents not in (JOINED, PACKED):
    raise unknown('task.documents', documents, (JOINED, PACKED))
  if separator and documents != PACKED:
    raise InputError(f'task.separator={separator!r} has no meaning with task.documents={documents}; allowed: {PACKED}')
  if separator and separator.strip().splitlines() != [separator]:
    raise InputError(
      f'task.separator={separator!r} must be {BLANK_LINE} or the text of one line, without spaces around it'
    )


def separated(texts: Sequence[bytes], separator: str) -> list[bytes]:
  """Return the documents of texts, without those that hold nothing but spaces.

  separator: the line that stands between two documents of one text, `blank_line` for one or more blank lines; '': each
    text is a document. A separator is no part of a document; line ends before it are.
  """
  if separator:
    line = b'' if separator == BLANK_LINE else re.escape(separator.encode())
    border = re.compile(rb'^' + line + (rb'[ \t\r]*\n' if separator == BLANK_LINE else rb'[ \t\r]*(?:\n|\Z)'), re.M)
    texts = [document for text in texts for document in border.split(text)]
  return [text for text in texts if text.strip()]


def parse_split(split: str) -> tuple[float, float]:
  """Return where training and validation end, as shares of the text: `80/10/10` is (0.8, 0.9).

  Raises InputError unless it is two or three percentages above 0 that add up to 100.
  """
  parts = files.percentages(split)
  if not parts:
    raise InputError(
      f'task.split={split!r} must be percentages of training/validation/test that add up to 100, as 90/5/5 or 90/10'
    )
  return parts[0] / 100, 1.0 if len(parts) == 2 else (parts[0] + parts[1]) / 100


def cut(texts: dict[str, list[Text]], split: str, dataset: str, *, is_packed: bool) -> dict[str, list[Text]]:
  """Return the documents of each split; the splits that a data set has are left alone.

  "full" is cut by the number of documents where they are packed, so that none is in two splits. Else it is one text,
  which is cut by characters or bytes, also for words, so that all units have the same text to predict.

  Raises InputError where a split holds nothing, and for `split` where there is nothing to cut.
  """
  if 'full' not in texts:
    if split != SPLIT:
      raise InputError(f'task.split={split!r} has no meaning: {dataset} has files for each split; leave it {SPLIT}')
    if bare := [name for name, own in texts.items() if not own]:
      raise InputError(f'task.dataset={dataset!r} has no document in the {bare[0]} split: spaces alone')
    return texts
  whole = texts['full'] if is_packed else texts['full'][0]
  train, validation = (int(share * len(whole)) for share in parse_split(split))
  parts = {'train': whole[:train], 'validation': whole[train:validation], 'test': whole[validation:]}
  if split.count('/') == 1:
    del parts['test']
  for name, part in parts.items():
    if not len(part):
      found = f'{len(whole)} documents' if is_packed else f'a length of {len(whole)}'
      raise InputError(f'task.split={split!r} leaves nothing for {name}: {dataset} has {found} only')
  return parts if is_packed else {name: [part] for name, part in parts.items()}  # type: ignore[list-item, return-value]


def pack(documents: Sequence[np.ndarray], end: int) -> np.ndarray:
  """Return the ids of documents one after another, `end` behind each."""
  kind = np.min_scalar_type(end)
  border = np.array([end], kind)
  return np.concatenate([part for ids in documents for part in (ids.astype(kind, copy=False), border)])
