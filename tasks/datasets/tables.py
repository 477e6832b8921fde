"""Read columns of the user's own tables, a row a line, cells between tabs."""

import pathlib
from collections.abc import Sequence

from seqmodels.errors import InputError
from tasks.datasets import files

SUFFIXES = ('.tsv', '.tab')


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


def numbers(option: str, value: str) -> tuple[int, int]:
  """Return the places of two columns, which an option names by their numbers: `auto` is `1-2`."""
  found = ['1', '2'] if value == 'auto' else value.split('-')
  if len(set(found)) != 2 or not all(number.isdecimal() and int(number) > 0 for number in found):
    raise InputError(f'{option}={value!r} must name two columns of a table by their numbers, as 1-2 or 2-1, or be auto')
  return int(found[0]) - 1, int(found[1]) - 1


def columns(path: pathlib.Path, places: tuple[int, int], needed: str) -> tuple[list[str], list[str]]:
  """Return two columns of a table; an empty line has empty cells. Raises InputError for a row with fewer columns."""
  count, rows = max(places) + 1, []
  for number, line in enumerate(read(path, needed), 1):
    cells = line.split('\t') if line.strip() else [''] * count
    if len(cells) < count:
      raise InputError(f'{path}, line {number}: {len(cells)} columns between tabs; {count} are needed')
    rows.append(cells)
  return [row[places[0]] for row in rows], [row[places[1]] for row in rows]


def joined(parts: Sequence[Sequence[Sequence[str]]]) -> tuple[list[str], list[str]]:
  """Return the two columns of several tables, one after the other."""
  return [cell for part in parts for cell in part[0]], [cell for part in parts for cell in part[1]]
