"""A search space over the fields of a config, from `--set=field=form`, and its trials by their index. Imports no JAX.

  a,b,c          these values, of any field
  0..4           whole numbers, both ends included
  log:lo:hi:n    n values from lo to hi, evenly spaced in logarithms; linear:lo:hi:n
  uniform:lo:hi  drawn, as often as the budget says; loguniform:lo:hi

A trial is a setting of the fields and a seed.
"""

import difflib
import itertools
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, NamedTuple, get_args

import numpy as np
from ml_collections import ConfigDict

from configs import base
from seqmodels import fields
from seqmodels.errors import InputError, cut, shown, unknown

SEED = 'train.seed'
GRIDS, DRAWN = ('log', 'linear'), ('loguniform', 'uniform')
LOGARITHMIC = ('log', 'loguniform')
FORMS = 'a,b,c; 0..4; log:lo:hi:n; linear:lo:hi:n; loguniform:lo:hi; uniform:lo:hi'
RANGE = re.compile(r'(-?\d{1,10})\.\.(-?\d{1,10})')
MOST = 10_000  # values of an axis, and trials
LARGEST_PRODUCT = 1_000_000  # from which a budget takes a part
DIGITS = 6  # of a value of a grid

Value = int | float | bool | str


class Trial(NamedTuple):
  """A setting of the swept fields, and a seed."""

  values: Mapping[str, Value]  # by the dotted name of the field
  seed: int

  @property
  def overrides(self) -> dict[str, str]:
    """Return every field as text, as `configs.base.override` reads it."""
    return {path: as_text(value) for path, value in self.values.items()} | {SEED: str(self.seed)}


@dataclass(frozen=True)
class Axis:
  """A swept field: its values, or the ends between which they are drawn."""

  path: str
  text: str  # as written
  form: str
  values: tuple[Value, ...] = ()
  low: float = 0.0
  high: float = 0.0
  whole: bool = False  # of whole numbers

  @property
  def is_drawn(self) -> bool:
    return self.form in DRAWN

  @property
  def is_numeric(self) -> bool:
    return self.is_drawn or all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)

  def draw(self, index: int, seed: int) -> Value:
    """Return the value of trial `index`, which depends on nothing but the field, its form, the index and the seed."""
    share = float(np.random.default_rng([seed, zlib.crc32(self.path.encode()), index]).random())
    if self.values:
      return self.values[int(share * len(self.values))]
    if self.form == 'loguniform':
      value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
      value = min(max(value, self.low), self.high)
      return round(value) if self.whole else rounded(value)
    if self.whole:
      return int(self.low) + int(share * (self.high - self.low + 1))
    return rounded(self.low + share * (self.high - self.low))

  def beyond(self) -> tuple[Value, Value] | None:
    """Return the values that would extend the axis below and above; None without a direction."""
    if not self.is_numeric or (not self.is_drawn and len(self.values) < 2):
      return None
    if self.is_drawn:
      half, factor = (self.high - self.low) / 2, math.sqrt(10)
      ends = self.low - half, self.high + half
      if self.form == 'loguniform':
        ends = self.low / factor, self.high * factor
    else:
      known = sorted(float(v) for v in self.values)
      ratios = _is_geometric(known)
      ends = _next(known[1], known[0], ratios), _next(known[-2], known[-1], ratios)
    below, above = (float(f'{end:.3g}') for end in ends)
    return (math.floor(below), math.ceil(above)) if self.whole else (below, above)


@dataclass(frozen=True)
class Space:
  """The axes of a sweep, its seeds apart."""

  axes: tuple[Axis, ...]
  seeds: Axis
  config: ConfigDict = field(repr=False)

  @property
  def is_drawn(self) -> bool:
    return any(axis.is_drawn for axis in self.axes)

  @property
  def size(self) -> int:
    """Trials of the whole product."""
    return math.prod(len(axis.values) for axis in (*self.axes, self.seeds))

  def trials(self, budget: int | None = None, seed: int = 0) -> list[Trial]:
    """Return the trials: `budget` draws with every seed, or of a product the whole or `budget` trials drawn by index.

    A larger budget keeps the trials of a smaller one. A setting that is drawn twice is tried once.

    Raises InputError for a budget below 1, draws without a budget, and more than MOST trials.
    """
    if budget is not None and budget < 1:
      raise InputError(f'--budget={budget} must be at least 1')
    seeds = [int(value) for value in self.seeds.values]
    if self.is_drawn:
      drawn = next(axis for axis in self.axes if axis.is_drawn)
      if budget is None:
        raise InputError(f'--set={drawn.path}={drawn.text} is drawn and needs --budget=N, the number of draws')
      _check_count(budget * len(seeds))
      draws = ({axis.path: axis.draw(index, seed) for axis in self.axes} for index in range(budget))
      settings = {tuple(values.items()): values for values in draws}
      return [Trial(values, number) for values in settings.values() for number in seeds]
    if self.size > LARGEST_PRODUCT:
      raise InputError(f'--set gives {self.size:,} trials; at most {LARGEST_PRODUCT:,} are allowed: use fewer values')
    _check_count(min(self.size, budget or self.size))
    chosen: Sequence[int] = range(self.size)
    if budget is not None and budget < self.size:
      chosen = sorted(np.random.default_rng(seed).permutation(self.size)[:budget].tolist())
    product = list(itertools.product(*(axis.values for axis in self.axes), seeds))
    paths = [axis.path for axis in self.axes]
    return [Trial(dict(zip(paths, product[i][:-1], strict=True)), int(product[i][-1])) for i in chosen]


def parse(config: ConfigDict, texts: Sequence[str]) -> Space:
  """Return the space of `field=form` texts over a config.

  Raises InputError for an unknown or ambiguous field, one that is given twice, a form that the field cannot have, a
  value of another type, an empty range, and where no text is of the seed.
  """
  axes: dict[str, Axis] = {}
  for text in texts:
    name, equals, form = (part.strip() for part in text.partition('='))
    if not (name and equals and form):
      raise InputError(f'--set={shown(text)} must be field=values, as in learning_rate=log:1e-4:1e-2:8')
    path = find(config, name)
    if path in axes:
      raise InputError(f'--set={cut(name)}: {path} is given twice; allowed: once')
    axes[path] = axis(path, form, base.kind_of(config, path))
  seeds = axes.pop(SEED, None)
  if seeds is None:
    raise InputError('--set=seed=… is missing: one seed says nothing about the spread; as in --set=seed=0..4')
  if seeds.is_drawn:
    raise InputError(f'--set=seed={cut(seeds.text)} must be a list or a range, as in 0..4')
  return Space(tuple(axes.values()), seeds, config)


def find(config: ConfigDict, name: str) -> str:
  """Return the dotted name of a field. A name without a dot must be of one section alone."""
  if '.' in name:
    base.section_of(config, name, '--set')
    return name
  sections = {key: node for key, node in config.items() if isinstance(node, ConfigDict)}
  owners = [f'{k}.{name}' for k, node in sections.items() if name in node and not isinstance(node[name], ConfigDict)]
  if not owners:
    raise unknown('--set field', name, {key for node in sections.values() for key in node})
  if len(owners) > 1:
    raise InputError(f'--set={name} is a field of several sections; allowed: {", ".join(owners)}')
  return owners[0]


def axis(path: str, text: str, kind: Any) -> Axis:
  """Return the axis of a field that has the type `kind`. Raises InputError."""
  optional = kind
  if isinstance(kind, UnionType):
    kind = next((part for part in get_args(kind) if part in (int, float)), kind)
  name, *parts = text.split(':')
  if name in (*GRIDS, *DRAWN):
    return _spaced(path, text, kind, name, parts)
  if kind in (int, float) and parts:
    near = difflib.get_close_matches(name, (*GRIDS, *DRAWN), n=1)
    hint = f'nearest: {near[0]}; ' if near else ''
    raise InputError(f'--set={path}={cut(text)}: the form {shown(name)} is not known; {hint}allowed: {FORMS}')
  if kind in (int, float) and (match := RANGE.fullmatch(text)):
    first, last = map(int, match.groups())
    if first > last:
      raise InputError(f'--set={path}={text} is empty: {first} is above {last}')
    if last - first >= MOST:
      raise InputError(f'--set={path}={text} has {last - first + 1:,} values; at most {MOST:,} are allowed')
    values = tuple(_read(path, str(i), kind) for i in range(first, last + 1))
    return Axis(path, text, 'range', values, whole=kind is int)
  items = [item.strip() for item in text.split(',')]
  if not all(items):
    raise InputError(f'--set={path}={shown(text)} has an empty value; write a,b,c')
  values = tuple(_read(path, item, optional) for item in items)
  if len(set(values)) < len(values):
    twice = next(value for value in values if values.count(value) > 1)
    raise InputError(f'--set={path}={cut(text)} gives {as_text(twice)} twice')
  return Axis(path, text, 'list', values, whole=kind is int)


def _spaced(path: str, text: str, kind: Any, name: str, parts: Sequence[str]) -> Axis:
  """Return the axis of a grid or a distribution."""
  flag = f'--set={path}={cut(text)}'
  if kind not in (int, float):
    raise InputError(f'{flag} must be values with commas between: the field is not a number')
  count = 3 if name in GRIDS else 2
  if len(parts) != count:
    raise InputError(f'{flag} must be {name}:lo:hi{":n" if name in GRIDS else ""}')
  low, high = (float(_read(path, part, kind)) for part in parts[:2])
  if not low < high:
    raise InputError(f'{flag} is empty: lo={parts[0]} must be below hi={parts[1]}')
  if name in LOGARITHMIC and low <= 0:
    raise InputError(f'{flag}: lo={parts[0]} must be greater than 0 in logarithms')
  if name in DRAWN:
    return Axis(path, text, name, (), low, high, kind is int)
  number = fields.read(f'{flag}: n', parts[2], int)
  if not 2 <= number <= MOST:
    raise InputError(f'{flag}: n={number} must be from 2 to {MOST:,}')
  spread = np.geomspace(low, high, number) if name == 'log' else np.linspace(low, high, number)
  values = tuple(round(v) if kind is int else rounded(v) for v in (low, *map(float, spread[1:-1]), high))
  if len(set(values)) < number:
    raise InputError(f'{flag} gives a value twice; ask for fewer than n={number}')
  return Axis(path, text, name, values, low, high, kind is int)


def _read(path: str, text: str, kind: Any) -> Value:
  """Return a value as records hold it: a number, a truth value or a text."""
  value = fields.read(f'--set={path}', text, kind)
  return value if isinstance(value, int | float | bool) else text


def as_text(value: Value) -> str:
  return value if isinstance(value, str) else repr(value)


def rounded(value: float) -> float:
  return float(f'{value:.{DIGITS}g}')


def _is_geometric(values: Sequence[float]) -> bool:
  """Return whether the ratios of sorted values are at least as even as their differences."""
  if values[0] <= 0:
    return False
  array = np.asarray(values)
  ratios, steps = np.diff(np.log(array)), np.diff(array)
  return bool(ratios.std() / ratios.mean() <= steps.std() / steps.mean() + 1e-9)


def _next(before: float, end: float, is_geometric: bool) -> float:
  return end * end / before if is_geometric else 2 * end - before


def _check_count(count: int) -> None:
  if count > MOST:
    raise InputError(f'--set and --budget give {count:,} trials; at most {MOST:,} are allowed')
