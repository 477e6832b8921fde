"""Read the user's own parallel text: tables of two columns, or one file a language with its name as the suffix."""

import logging
import pathlib
import re
from collections.abc import Sequence

from seqmodels.errors import InputError
from tasks.datasets import files, tables

log = logging.getLogger('seqmodels')

NEEDED = 'pairs of sentences'
HEADERS = ('source', 'target', 'src', 'tgt', 'trg')  # of a column, in any case
LANGUAGE = re.compile('[a-z]{2,3}')  # its code, likewise

Sides = tuple[Sequence[str], ...]  # sources and targets


def load(dataset: str, pair: str) -> dict[str, Sides]:
  """Return sources and targets of each split, or of "full", a sentence a line; empty lines are kept.

  dataset: a .tsv file or several, whose first two columns are source and target (`pair` names other columns by their
  numbers, as 2-1, or as the header does); or files that end in the names of the languages (train.de, train.en). Raises
  InputError for files that cannot be read, have another encoding, or do not fit together.
  """
  paths = files.find(dataset)
  found = [path for path in paths if path.suffix in tables.SUFFIXES]
  if not found:
    return _by_language(dataset, paths, pair)
  if len(found) < len(paths):
    others = [path for path in paths if path not in found]
    raise InputError(f'task.dataset={dataset!r} has tables and other files ({files.listed(others)}); name one kind')
  return {split: tables.joined([_table(path, pair) for path in own]) for split, own in files.by_split(found).items()}


def _table(path: pathlib.Path, pair: str) -> tables.Columns:
  """Return sources and targets of a table, without a header of such names or of two languages."""
  found = tables.columns(path, 'task.pair', pair, NEEDED)
  if not tables.numbers('task.pair', pair):  # the header has been read already
    return found
  return tables.without_header(path, found) if _has_header(found) else found


def _has_header(found: tables.Columns) -> bool:
  """Return whether the first pair names the columns: by what they are, or as languages of sentences.

  Codes of languages are words, too; in a table of words they are a pair like the others.
  """
  first = {column[0].strip().lower() for column in found if column}
  are_sentences = 2 * sum(' ' in source.strip() for source in found[0][1:]) > len(found[0]) - 1
  return len(first) == 2 and all(name in HEADERS or (are_sentences and LANGUAGE.fullmatch(name)) for name in first)


def _by_language(dataset: str, paths: Sequence[pathlib.Path], pair: str) -> dict[str, Sides]:
  suffixes = sorted({path.suffix.removeprefix('.') for path in paths})
  if pair == 'auto':
    shown = ', '.join(suffix or 'none' for suffix in suffixes)
    raise InputError(
      f'task.pair=auto must name the languages of task.dataset={dataset!r}, as de-en; its suffixes: {shown}'
    )
  sides = []
  for language in pair.split('-'):
    own = [path for path in paths if path.suffix == f'.{language}']
    if not own:
      raise InputError(f'task.pair={pair!r}: task.dataset={dataset!r} has no file that ends in .{language}')
    sides.append(files.by_split(own))
  others = [path for path in paths if path.suffix.removeprefix('.') not in pair.split('-')]
  if others:
    log.info('%s: not read, since task.pair=%s', files.listed(others), pair)
  for one, other in (sides, reversed(sides)):
    if alone := sorted(one.keys() - other.keys()):
      raise InputError(f'{files.listed(one[alone[0]])} has no counterpart: {pair} needs both languages of each split')
  return {split: _aligned(sides[0][split], sides[1][split]) for split in sides[0]}


def _aligned(sources: Sequence[pathlib.Path], targets: Sequence[pathlib.Path]) -> Sides:
  """Return the lines of files in two languages, which must be as many in each pair of files."""
  if len(sources) != len(targets):
    raise InputError(f'{files.listed(sources)} and {files.listed(targets)} are {len(sources)} and {len(targets)} files')
  found = []
  for one, other in zip(sources, targets, strict=True):
    both = tables.read(one, NEEDED), tables.read(other, NEEDED)
    if len(both[0]) != len(both[1]):
      raise InputError(f'{one} has {len(both[0])} lines and {other} has {len(both[1])}: line i must translate line i')
    found.append(both)
  return tables.joined(found)
