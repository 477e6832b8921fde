"""Check the fields of configs. Text from a command line and values from a config file obey the same rules.

`read` turns text into the value of a field, `check` takes a value that has a type already. Both raise InputError, which
names the field, the value and what is allowed. Kinds are the types of a dataclass's fields: int, float, bool, str,
tuple[str, ...] (a pattern of mixers) and dict.

  int    whole numbers from −2³¹ to 2³¹ − 1 (seeds: 2³² − 1), also written 1e3 or 1_000
  float  finite numbers that float32 can hold
  bool   true, false, yes, no, 1, 0 in any case
"""

import ast
import dataclasses
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from seqmodels.errors import InputError, shown, unknown

LOWEST, HIGHEST, HIGHEST_SEED = -(2**31), 2**31 - 1, 2**32 - 1  # int32 and uint32
LARGEST_FLOAT = 3.4e38
LONGEST_PATTERN = 10_000  # entries
UNTYPED = (type(None), type, Any)  # of a default that is None, or of an option without a default
BOOLEANS = {'true': True, 'yes': True, '1': True, 'false': False, 'no': False, '0': False}


def read(name: str, text: str, kind: Any) -> Any:
  """Return the value of a field that is written as `text`, e.g. 1000 for `1e3` where `kind` is int."""
  text = text.strip()
  if isinstance(kind, UnionType):
    return None if text == 'None' else read(name, text, _without_none(kind))
  kind = get_origin(kind) or kind
  if kind is bool:
    if text.lower() not in BOOLEANS:
      raise InputError(f'{name}={shown(text)} must be true or false')
    return BOOLEANS[text.lower()]
  if kind in (int, float):
    return check(name, _number(name, text, kind), kind)
  if kind in (tuple, list, dict):
    return check(name, _literal(text), kind)
  if kind in UNTYPED:
    try:
      return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
      return text
  return text if kind is str else check(name, _literal(text), kind)


def check(name: str, value: Any, kind: Any) -> Any:
  """Return `value` as the type of the field: a whole float serves as an int, an int as a float, text as a pattern."""
  if isinstance(kind, UnionType):
    return None if value is None else check(name, value, _without_none(kind))
  kind = get_origin(kind) or kind
  number = isinstance(value, int | float) and not isinstance(value, bool)
  if kind is tuple:
    items = (value,) if isinstance(value, str) else value
    if isinstance(items, list | tuple) and all(isinstance(item, str) for item in items):
      return _bounded(name, [entry for item in items for entry in parse_pattern(item, name)])
  elif kind is dict:
    if isinstance(value, Mapping):
      return dict(value)
  elif kind is float and number:
    if not abs(value) <= LARGEST_FLOAT:
      raise InputError(f'{name}={shown(value)} must be a finite number')
    return float(value)
  elif kind is int and number:
    if isinstance(value, float) and not value.is_integer():
      raise InputError(f'{name}={shown(value)} must be a whole number')
    highest = HIGHEST_SEED if name.endswith('seed') else HIGHEST
    if not LOWEST <= value <= highest:
      raise InputError(f'{name}={shown(value)} must be a whole number from {LOWEST} to {highest}')
    return int(value)
  elif kind in UNTYPED or not isinstance(kind, type) or (isinstance(value, kind) and kind not in (int, float)):
    return value
  raise InputError(f'{name}={shown(value)} must be {_called(kind)}')


def checked_fields(cls: type, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
  """Return `values` as keyword arguments of the dataclass `cls`. Messages name a field as `prefix.field`."""
  kinds = field_kinds(cls)
  checked = {}
  for name, value in dict(values).items():
    if name not in kinds:
      raise unknown(f'{prefix} field', name, kinds)
    checked[name] = check(f'{prefix}.{name}', value, kinds[name])
  return checked


def field_kinds(cls: type) -> dict[str, Any]:
  """Return the type of each field of the dataclass `cls`, in their order."""
  hints = get_type_hints(cls)
  return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def parse_pattern(text: str, name: str = 'model.pattern') -> tuple[str, ...]:
  """Return the entries of a pattern written as text: `lstm*2+attention` is ("lstm", "lstm", "attention")."""
  entries: list[str] = []
  for part in text.replace('+', ' ').replace(',', ' ').split():
    entry, star, count = part.partition('*')
    if star and not (count.isdecimal() and len(count) < 10 and int(count)):
      raise InputError(f'{name} entry {shown(part)} must repeat a mixer a whole number of times, as in lstm*3')
    repeats = int(count) if star else 1
    if len(entries) + repeats > LONGEST_PATTERN:
      raise InputError(f'{name}={shown(text)} must have at most {LONGEST_PATTERN:,} entries')
    entries += [entry] * repeats
  return tuple(entries)


def parse_entry(entry: str) -> tuple[str, dict[str, str]]:
  """Return the mixer of a pattern's entry and the options it fixes, as text: `conv:dilation=2:kernel_size=3`."""
  name, *parts = entry.split(':')
  options: dict[str, str] = {}
  for part in parts:
    option, equals, text = part.partition('=')
    if not (equals and option):
      raise InputError(f'model.pattern entry {shown(entry)} must be mixer:option=value')
    if option in options:
      raise InputError(f'model.pattern entry {shown(entry)} gives {option} twice')
    options[option] = text
  return name, options


def read_entry(entry: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
  """Return the options that a pattern's entry fixes, each read as the type of its default.

  Args:
    entry: as in `parse_entry`.
    defaults: option → default, of the entry's mixer.

  Raises:
    InputError: an unknown option, a value of another type, or 0 where the default of 0 means "chosen".
  """
  name, texts = parse_entry(entry)
  values: dict[str, Any] = {}
  for option, text in texts.items():
    if option not in defaults:
      raise unknown(f'option of {name}', option, defaults)
    where = f'model.pattern entry {shown(entry)}: {option}'
    values[option] = read(where, text, type(defaults[option]))
    if type(defaults[option]) is int and defaults[option] == values[option] == 0 and not option.endswith('seed'):
      raise InputError(f'{where}=0 must be at least 1; without the option its value is chosen')
  return values


def _without_none(kind: Any) -> Any:
  """Return X of the type X | None."""
  (required,) = (option for option in get_args(kind) if option is not NoneType)
  return required


def _number(name: str, text: str, kind: type) -> int | float:
  """Return the number that `text` is, exactly where it is written as a whole number."""
  for convert in (int, float) if kind is int else (float,):
    try:
      return convert(text)
    except ValueError:  # not a number, or more digits than Python reads
      continue
  raise InputError(f'{name}={shown(text)} must be {_called(kind)}')


def _literal(text: str) -> Any:
  """Return the Python literal that `text` is, or the text itself."""
  try:
    return ast.literal_eval(text) if text[:1] in '([{' else text
  except (ValueError, SyntaxError, MemoryError, RecursionError):
    return text


def _bounded(name: str, entries: list[str]) -> tuple[str, ...]:
  if len(entries) > LONGEST_PATTERN:
    raise InputError(f'{name} has {len(entries):,} entries; at most {LONGEST_PATTERN:,} are allowed')
  return tuple(entries)


def _called(kind: Any) -> str:
  names = {int: 'a whole number', float: 'a finite number', bool: 'true or false', str: 'text', dict: 'a dict'}
  return names.get(kind, 'names of mixers' if kind is tuple else f'of type {getattr(kind, "__name__", kind)}')
