"""Read the user's own parallel text: tables of two columns, or one file a language with its name as the suffix."""

import logging
import pathlib
from collections.abc import Sequence

from seqmodels.errors import InputError
from tasks.datasets import files

log = logging.getLogger('seqmodels')

TABLES = ('.tsv', '.tab')

Sides = tuple[Sequence[str], ...]  # sources and targets


def load(dataset: str, pair: str) -> dict[str, Sides]:
  """Return sources and targets of each split, or of "full", a sentence a line; empty lines are kept.

  dataset: a .tsv file or several, whose first two columns are source and target (`pair` names other columns by their
  numbers, as 2-1); or files that end in the names of the languages (train.de, train.en). Raises InputError for files
  that cannot be read, have another encoding, or do not fit together.
  """
  paths = files.find(dataset)
  tables = [path for path in paths if path.suffix in TABLES]
  if not tables:
    return _by_language(dataset, paths, pair)
  if len(tables) < len(paths):
    others = [path for path in paths if path not in tables]
    raise InputError(f'task.dataset={dataset!r} has tables and other files ({files.listed(others)}); name one kind')
  columns = _columns(pair)
  return {split: _joined([_table(path, columns) for path in own]) for split, own in files.by_split(tables).items()}


def lines(text: str) -> list[str]:
  """Return the lines of a text; a line end at its end begins no further one."""
  found = text.split('\n')
  return found[:-1] if not found[-1] else found


def _read(path: pathlib.Path) -> list[str]:
  content = files.read_bytes(path)
  if not content:
    raise InputError(f'{path} is empty: 0 bytes; pairs of sentences are needed')
  return lines(files.decode(path, content))


def _columns(pair: str) -> tuple[int, int]:
  numbers = ['1', '2'] if pair == 'auto' else pair.split('-')
  if not all(number.isdecimal() and int(number) > 0 for number in numbers):
    raise InputError(f'task.pair={pair!r} must name the columns of a table by their numbers, as 1-2 or 2-1, or be auto')
  return int(numbers[0]) - 1, int(numbers[1]) - 1


def _table(path: pathlib.Path, columns: tuple[int, int]) -> Sides:
  """Return two columns of a table; an empty line is a pair of empty sentences."""
  needed, rows = max(columns) + 1, []
  for number, line in enumerate(_read(path), 1):
    cells = line.split('\t') if line.strip() else [''] * needed
    if len(cells) < needed:
      raise InputError(f'{path}, line {number}: {len(cells)} columns between tabs; {needed} are needed')
    rows.append(cells)
  return tuple([row[column] for row in rows] for column in columns)


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
    both = _read(one), _read(other)
    if len(both[0]) != len(both[1]):
      raise InputError(f'{one} has {len(both[0])} lines and {other} has {len(both[1])}: line i must translate line i')
    found.append(both)
  return _joined(found)


def _joined(parts: Sequence[Sides]) -> Sides:
  return tuple([line for part in parts for line in part[side]] for side in (0, 1))
