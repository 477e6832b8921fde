"""Read the names, options and descriptions of tasks and mixers from their sources, without importing JAX.

Importing JAX, Flax and the tasks takes seconds, which flag parsing and `--mode=list` must not. Where the real modules
have been imported already, or a source cannot be read this way, the real classes are asked instead; a test holds both
ways to the same answers.
"""

import ast
import dataclasses
import functools
import importlib
import math
import pathlib
import sys
from typing import Any, NamedTuple

from seqmodels.errors import unknown

ROOT = pathlib.Path(__file__).parent.parent


class Unreadable(Exception):
  """A source says something in a way that this module does not follow."""


class Place(NamedTuple):
  """A definition at the top of a module; `node` None: the module itself."""

  module: str
  node: ast.AST | None


def mixers() -> tuple[str, ...]:
  """Return the names of all mixers."""
  return _names('seqmodels.mixers', 'MIXERS')


def tasks() -> tuple[str, ...]:
  """Return the names of all tasks."""
  return _names('tasks', 'TASKS')


def mixer_options(name: str) -> dict[str, Any]:
  """Return each option of a mixer with its default. Raises InputError for an unknown mixer."""
  if name not in mixers():
    raise unknown('mixer', name, mixers())
  if 'seqmodels.mixers' not in sys.modules:
    try:
      return _mixer_options(_entry('seqmodels.mixers', 'MIXERS', name))
    except Unreadable:
      pass
  options = importlib.import_module('seqmodels.mixers').MIXERS[name].Options
  return {field.name: field.default for field in dataclasses.fields(options)}


def task_options(name: str) -> dict[str, Any]:
  """Return each option of a task with its default. Raises InputError for an unknown task."""
  if name not in tasks():
    raise unknown('task', name, tasks())
  if 'tasks' not in sys.modules:
    try:
      return _dataclass_options(_entry('tasks', 'TASKS', name))
    except Unreadable:
      pass
  fields = dataclasses.fields(importlib.import_module('tasks').TASKS[name])
  named = {field.metadata.get('option', field.name): field.default for field in fields}
  return {option: default for option, default in named.items() if option is not None}


def mixer_summaries() -> dict[str, str]:
  """Return one line about each mixer, from its docstring."""
  return _summaries({name: _entry('seqmodels.mixers', 'MIXERS', name) for name in _table('seqmodels.mixers', 'MIXERS')})


def task_summaries() -> dict[str, str]:
  """Return one line about each task, from its docstring."""
  return _summaries({name: _entry('tasks', 'TASKS', name) for name in _table('tasks', 'TASKS')})


def scales() -> tuple[str, ...]:
  """Return the scales of a comparison."""
  return _value('comparison.experiments.base', _top('comparison.experiments.base', 'SCALES').node)


def experiment_summaries() -> dict[str, str]:
  """Return one line about each experiment, from its docstring."""
  listed = getattr(_top('comparison.experiments', '_ALL').node, 'value', None)
  places = {}
  for call in getattr(listed, 'elts', ()):
    place = _resolve('comparison.experiments', call.func)
    (name,) = (
      node.value for node in getattr(place.node, 'body', ()) if isinstance(node, ast.Assign) and _assigns(node, 'name')
    )
    places[ast.literal_eval(name)] = place
  for added, call in _set_below('comparison.experiments', 'EXPERIMENTS').items():
    places[added] = _resolve('comparison.experiments', getattr(call, 'func', call))
  return _summaries(places)


def dataset_summaries() -> dict[str, str]:
  """Return one line about each data set that a task can read."""
  tables = (
    _value('tasks.datasets', _top('tasks.datasets', name).node)
    for name in ('TEXTS', 'PAIRS', 'SERIES', 'VIDEOS', 'CASES', 'LABELLED', 'SPEECH')
  )
  return {name: line for table in tables for name, line in table.items()}


def _summaries(places: dict[str, Place]) -> dict[str, str]:
  """Return the first line about each class: of its module where it is the only one of it, else its own."""
  modules = [place.module for place in places.values()]
  found = {}
  for name, place in places.items():
    nodes = (_tree(place.module), place.node) if modules.count(place.module) == 1 else (place.node,)
    texts = (ast.get_docstring(node) for node in nodes)  # type: ignore[arg-type]
    found[name] = _first_line(next(filter(None, texts), ''))
  return found


def _first_line(docstring: str) -> str:
  return ' '.join(docstring.partition('\n\n')[0].split())


def _names(module: str, table: str) -> tuple[str, ...]:
  if module in sys.modules:
    return tuple(getattr(sys.modules[module], table))
  return tuple(_table(module, table))


@functools.cache
def _table(module: str, table: str) -> dict[str, ast.expr]:
  """Return the entries of a dict that a module writes out, with those that it sets below: `TABLE['name'] = …`."""
  node = _top(module, table).node
  value = getattr(node, 'value', None)
  if not isinstance(value, ast.Dict):
    raise Unreadable(f'{module}.{table}')
  written = zip(value.keys, value.values, strict=True)
  return {ast.literal_eval(key): item for key, item in written if key is not None} | _set_below(module, table)


def _set_below(module: str, table: str) -> dict[str, ast.expr]:
  """Return the entries that a module sets one by one."""
  found = {}
  for node in _tree(module).body:
    match node:
      case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name), slice=key)]) if name == table:
        found[ast.literal_eval(key)] = node.value
  return found


def _entry(module: str, table: str, name: str) -> Place:
  return _resolve(module, _table(module, table)[name])


@functools.cache
def _tree(module: str) -> ast.Module:
  path = ROOT.joinpath(*module.split('.'))
  for file in (path.with_suffix('.py'), path / '__init__.py'):
    if file.is_file():
      return ast.parse(file.read_text(encoding='utf-8'))
  raise Unreadable(module)


def _top(module: str, name: str) -> Place:
  """Return where `name` of a module is defined, through imports."""
  for node in _tree(module).body:
    if isinstance(node, ast.ClassDef) and node.name == name:
      return Place(module, node)
    if isinstance(node, ast.Assign | ast.AnnAssign) and _assigns(node, name):
      return Place(module, node)
    if isinstance(node, ast.ImportFrom) and node.module:
      for alias in node.names:
        if (alias.asname or alias.name) == name:
          inner = f'{node.module}.{alias.name}'
          return Place(inner, None) if _is_module(inner) else _top(node.module, alias.name)
  raise Unreadable(f'{module}.{name}')


def _assigns(node: ast.Assign | ast.AnnAssign, name: str) -> bool:
  targets = node.targets if isinstance(node, ast.Assign) else [node.target]
  return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _is_module(module: str) -> bool:
  path = ROOT.joinpath(*module.split('.'))
  return path.with_suffix('.py').is_file() or (path / '__init__.py').is_file()


def _resolve(module: str, node: ast.AST) -> Place:
  """Return what a name or a dotted name of a module means."""
  if isinstance(node, ast.Name):
    return _top(module, node.id)
  if isinstance(node, ast.Attribute):
    base = _resolve(module, node.value)
    if base.node is None:
      return _top(base.module, node.attr)
    for item in getattr(base.node, 'body', ()):
      if isinstance(item, ast.ClassDef) and item.name == node.attr:
        return Place(base.module, item)
  raise Unreadable(f'{module}: {ast.unparse(node)}')


def _value(module: str, node: ast.AST | None) -> Any:
  """Return the value of an expression of literals, `math` and constants of modules."""
  if isinstance(node, ast.Constant):
    return node.value
  if isinstance(node, ast.Tuple):
    return tuple(_value(module, item) for item in node.elts)
  if isinstance(node, ast.Dict):
    return {_value(module, key): _value(module, value) for key, value in zip(node.keys, node.values, strict=True)}
  if isinstance(node, ast.Assign | ast.AnnAssign):
    return _value(module, node.value)
  if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
    return -_value(module, node.operand)
  if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
    left, right = _value(module, node.left), _value(module, node.right)
    return left * right if isinstance(node.op, ast.Mult) else left / right
  if isinstance(node, ast.Attribute) and ast.unparse(node.value) == 'math':
    return getattr(math, node.attr)
  if isinstance(node, ast.Name | ast.Attribute):
    place = _resolve(module, node)
    return _value(place.module, place.node)
  raise Unreadable(f'{module}: {node and ast.unparse(node)}')


def _lineage(place: Place) -> list[Place]:
  """Return a class and its bases within the project, each after the classes that derive from it."""
  assert isinstance(place.node, ast.ClassDef)
  found = [place]
  for base in place.node.bases:
    try:
      found += _lineage(_resolve(place.module, base))
    except Unreadable:  # a class of another package
      continue
  return found


def _mixer_options(place: Place) -> dict[str, Any]:
  """Return the options of a mixer, from the dataclass `Options` in its class or in the nearest base that has one."""
  for module, node in _lineage(place):
    for item in getattr(node, 'body', ()):
      if isinstance(item, ast.ClassDef) and item.name == 'Options':
        return _dataclass_options(Place(module, item))
      if isinstance(item, ast.Assign | ast.AnnAssign) and item.value and _assigns(item, 'Options'):
        return _dataclass_options(_resolve(module, item.value))
  return {}


def _dataclass_options(place: Place) -> dict[str, Any]:
  options: dict[str, Any] = {}
  for module, node in reversed(_lineage(place)):
    is_dataclass = any('dataclass' in ast.unparse(decorator) for decorator in getattr(node, 'decorator_list', ()))
    for item in getattr(node, 'body', ()) if is_dataclass else ():
      if isinstance(item, ast.AnnAssign) and item.value is not None and 'ClassVar' not in ast.unparse(item.annotation):
        option, default = ast.unparse(item.target), item.value
        if isinstance(default, ast.Call):  # dataclasses.field(default=…, metadata={'option': …})
          keywords = {keyword.arg: keyword.value for keyword in default.keywords}
          if 'default' not in keywords:
            raise Unreadable(f'{module}: {ast.unparse(item)}')
          metadata = ast.literal_eval(keywords['metadata']) if 'metadata' in keywords else {}
          option, default = metadata.get('option', option), keywords['default']
        if option is not None:
          options[option] = _value(module, default)
  return options
