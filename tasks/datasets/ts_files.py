"""Read the .ts files of the UCR and UEA archives (Bagnall et al. 2018), and name the place of anything unreadable.

After a header of `#` and `@` lines each line is a case: its variables parted by `:`, the values of each by `,`, and the
class at the end.
"""

import hashlib
import logging
import math
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from seqmodels.errors import InputError, shown, unknown
from tasks.datasets import files

log = logging.getLogger('seqmodels')

MISSING = ('refuse', 'forward')
EMPTY = ('?', 'nan', '')  # what stands for no value, in any case


class Case(NamedTuple):
  line: int
  values: Float64[np.ndarray, 't d']
  label: str


class Header(NamedTuple):
  """Hold the classes in their order, and the number of variables where it is said (else 0)."""

  classes: tuple[str, ...]
  variables: int


@dataclass(frozen=True)
class TsFiles:
  """Hold the cases of each split; `content` has the sha256 of each file."""

  cases: dict[str, list[Case]]
  classes: tuple[str, ...]
  content: dict[str, str]

  def padded(self, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values [b t d] with zeros behind each series, lengths and labels; t is the longest of all splits."""
    cases = self.cases[split]
    longest = max(len(case.values) for others in self.cases.values() for case in others)
    values = np.zeros((len(cases), longest, cases[0].values.shape[1]))
    for row, case in enumerate(cases):
      values[row, : len(case.values)] = case.values
    lengths = np.array([len(case.values) for case in cases])
    return values, lengths, np.array([self.classes.index(case.label) for case in cases], np.int32)


def load(paths: Sequence[pathlib.Path], missing: str) -> TsFiles:
  """Read one file for each split: train and test, and valid where there is one, as their names say.

  missing: refuse missing values, or take the value before (`forward`; the first one there is where none is before).
  Raises InputError, with file and line, for what is no such file.
  """
  named: dict[str, list[pathlib.Path]] = {}
  for path in paths:
    named.setdefault(files.split_of(path) or '', []).append(path)
  if '' in named or not {'train', 'test'} <= named.keys():
    raise InputError(
      f'{files.listed(paths)} must be files with train and test in their names, as X_TRAIN.ts, X_TEST.ts'
    )
  for split, found in named.items():
    if len(found) > 1:
      raise InputError(f'{files.listed(found)} are {len(found)} files for {split}; a data set has one')
  cases: dict[str, list[Case]] = {}
  headers: dict[str, Header] = {}
  content: dict[str, str] = {}
  for split in ('train', 'validation', 'test'):
    if split in named:
      (path,) = named[split]
      raw = files.read_bytes(path)
      content[split] = hashlib.sha256(raw).hexdigest()
      headers[split], found_cases = _read(path, files.decode(path, raw))
      _check_alike(path, found_cases, headers['train'], cases.get('train', found_cases))
      cases[split] = _filled(path, found_cases, missing)
  return TsFiles(cases, headers['train'].classes, content)


def _read(path: pathlib.Path, text: str) -> tuple[Header, list[Case]]:
  lines = [line.strip() for line in text.split('\n')]
  header, first = _header(path, lines)
  cases = [_case(path, number, line, header) for number, line in enumerate(lines[first:], first + 1) if line]
  if not cases:
    raise InputError(f'{path} has a header and no cases')
  return header, cases


def _header(path: pathlib.Path, lines: Sequence[str]) -> tuple[Header, int]:
  """Return what the header says and the number of lines up to `@data`."""
  classes: tuple[str, ...] = ()
  variables = 0
  for number, line in enumerate(lines, 1):
    word, *values = line.split() or ['#']
    word = word.lower()
    if word == '@data':
      if not classes:
        raise InputError(f'{path} has no line `@classLabel true …` with its classes before line {number}, `@data`')
      return Header(classes, variables), number
    if word == '@timestamps' and values[:1] == ['true']:
      raise InputError(f'{path} line {number}: series with time stamps are not read; they must be evenly spaced values')
    if word == '@classlabel' and values[:1] == ['true']:
      classes = tuple(values[1:])
    if word in ('@dimensions', '@dimension'):
      if not (values and values[0].isdecimal() and int(values[0])):
        raise InputError(f'{path} line {number}: {shown(line)} must say a number of variables, at least 1')
      variables = int(values[0])
    if not word.startswith(('@', '#')):
      raise InputError(
        f'{path} line {number} is neither a comment (#) nor of the header (@), and `@data` is not yet said'
      )
  raise InputError(f'{path} is no .ts file: it has no line `@data`')


def _case(path: pathlib.Path, number: int, line: str, header: Header) -> Case:
  *parts, label = line.split(':')
  label = label.strip()
  if label not in header.classes:
    raise unknown(f'{path} line {number}: class', label, header.classes)
  if not parts:
    raise InputError(f'{path} line {number} has a class and no series')
  if header.variables and len(parts) != header.variables:
    raise InputError(f'{path} line {number} has {len(parts)} variables instead of {header.variables}')
  series = [_series(path, number, variable, part) for variable, part in enumerate(parts, 1)]
  for variable, values in enumerate(series, 1):
    if len(values) != len(series[0]):
      raise InputError(
        f'{path} line {number}: variable {variable} has {len(values)} values, variable 1 has {len(series[0])}'
      )
  return Case(number, np.array(series).T, label)


def _series(path: pathlib.Path, number: int, variable: int, text: str) -> list[float]:
  values = []
  for place, cell in enumerate(text.split(','), 1):
    cell = cell.strip()
    try:
      value = math.nan if cell.lower() in EMPTY else float(cell)
    except ValueError:
      value = math.inf
    if math.isinf(value):
      raise InputError(
        f'{path} line {number}, variable {variable}, value {place}: {shown(cell)} is not a finite number, nor ?'
      )
    values.append(value)
  return values


def _check_alike(path: pathlib.Path, cases: list[Case], header: Header, train: list[Case]) -> None:
  """Raise InputError for a class that training does not know or another number of variables than its first case has."""
  variables = train[0].values.shape[1]
  for case in cases:
    if case.label not in header.classes:
      raise InputError(f'{path} line {case.line}: class {shown(case.label)} is not one of training: {header.classes}')
    if case.values.shape[1] != variables:
      raise InputError(
        f'{path} line {case.line} has {case.values.shape[1]} variables; the first training case has {variables}'
      )


def _filled(path: pathlib.Path, cases: list[Case], missing: str) -> list[Case]:
  """Return the cases without gaps. Raises InputError for gaps that are not to be filled, or cannot be."""
  gaps = [(case, np.isnan(case.values)) for case in cases]
  number = sum(int(gap.sum()) for _, gap in gaps)
  if not number:
    return cases
  case, gap = next((case, gap) for case, gap in gaps if gap.any())
  place, variable = np.argwhere(gap)[0] + 1
  if missing == 'refuse':
    raise InputError(
      f'{path} line {case.line}, variable {variable}, value {place} is missing, the first of {number}; '
      'task.missing=forward takes the value before'
    )
  for case, gap in gaps:
    if gap.all(axis=0).any():
      raise InputError(
        f'{path} line {case.line}, variable {int(gap.all(axis=0).argmax()) + 1} has no value at all; leave the case out'
      )
  log.warning('%s: %d missing values take the value before, or the first one', path, number)
  return [case._replace(values=_forward(case.values, gap)) for case, gap in gaps]


def _forward(values: Float64[np.ndarray, 't d'], gap: np.ndarray) -> Float64[np.ndarray, 't d']:
  steps = np.where(gap, -1, np.arange(len(values))[:, None])
  last = np.maximum.accumulate(steps, axis=0)
  first: Int[np.ndarray, ' d'] = (~gap).argmax(axis=0)
  return np.take_along_axis(values, np.where(last < 0, first[None, :], last), axis=0)
