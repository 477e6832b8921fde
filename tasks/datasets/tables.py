"""Read columns of the user's own tables, a row a line, cells between tabs."""

import logging
import pathlib
from collections.abc import Sequence

from seqmodels.errors import InputError, cut
from tasks.datasets import files

SUFFIXES = ('.tsv', '.tab')
Columns = tuple[list[str], list[str]]
log = logging.getLogger('seqmodels')


def lines(text: str) -> list[str]:
  """Return the lines of a text; a line end at its end begins no further one."""
  found = text.split('\n')
  return found[:-1] if not found[-1] else found


def read(path: pathlib.Path, needed: str) -> list[str]:
  """Return the lines of a UTF-8 file. Raises InputError for an empty one; needed: what should be in it."""
  content = files.read_bytes(path)
  if not content:
    raise InputError(f'{path} is empty: 0 bytes; {needed} are needed')
  return lines(files.decode(path, content))


def numbers(option: str, value: str) -> tuple[int, int] | None:
  """Return the places of two columns that an option names by their numbers; `auto` is `1-2`.

  None where it names them as the header does (`sentiment-review`). Raises InputError for a value that does neither.
  """
  found = ['1', '2'] if value == 'auto' else value.split('-')
  are_numbers = all(number.isdecimal() for number in found)
  if len(set(found)) < 2 or not all(found) or (are_numbers and (len(found) > 2 or not all(map(int, found)))):
    raise InputError(
      f'{option}={value!r} must name two columns of a table by their numbers, as 1-2 or 2-1, or as its header does, or '
      'be auto'
    )
  return (int(found[0]) - 1, int(found[1]) - 1) if are_numbers else None


def columns(path: pathlib.Path, option: str, value: str, needed: str) -> Columns:
  """Return the two columns of a table that an option names; an empty line has empty cells.

  The first line is left out where the option names columns of a header. Raises InputError for a row with fewer columns
  and for a header without these names.
  """
  rows = read(path, needed)
  places = numbers(option, value)
  start = int(places is None)
  places = places or _named(path, option, value, rows[0].split('\t'))
  count, found = max(places) + 1, []
  for number, line in enumerate(rows[start:], start + 1):
    cells = line.split('\t') if line.strip() else [''] * count
    if len(cells) < count:
      raise InputError(f'{path}, line {number}: {len(cells)} columns between tabs; {count} are needed')
    found.append(cells)
  return [row[places[0]] for row in found], [row[places[1]] for row in found]


def _named(path: pathlib.Path, option: str, value: str, header: Sequence[str]) -> tuple[int, int]:
  """Return the places of two names, with a `-` between them, in a header; names may hold one themselves."""
  names = [name.strip() for name in header]
  parts = value.split('-')
  for i in range(1, len(parts)):
    first, second = '-'.join(parts[:i]), '-'.join(parts[i:])
    if first in names and second in names and first != second:
      return names.index(first), names.index(second)
  raise InputError(f'{option}={value!r}: the first line of {path} has other names: {cut(", ".join(names))}')


def without_header(path: pathlib.Path, found: Columns) -> Columns:
  """Return the columns of a table without their first line, and say so."""
  log.info('%s: the first line is its header: %s, %s', path, cut(found[0][0]), cut(found[1][0]))
  return found[0][1:], found[1][1:]


def joined(parts: Sequence[Sequence[Sequence[str]]]) -> Columns:
  """Return the two columns of several tables, one after the other."""
  return [cell for part in parts for cell in part[0]], [cell for part in parts for cell in part[1]]
