"""Load a config file, a Python program of the user's, and set the fields that flags name."""

import dataclasses
import importlib.util
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from configs import base, catalogue
from seqmodels.errors import InputError, cut, one_line, unknown
from seqmodels.fields import checked_fields
from training.mesh_settings import MeshSettings
from training.settings import EvalSettings

ROOT = pathlib.Path(__file__).parent.parent
OVERRIDE = re.compile(r'--?config\.([^=]*)(=?)(.*)', re.DOTALL)


class Source(NamedTuple):
  """Where a config comes from: `--config`, the fields that flags set, and the sizes of `--mesh`."""

  flag: str
  overrides: Mapping[str, str | None]
  mesh: MeshSettings | None = None

  def load(self, fields: Mapping[str, str | None] = {}) -> ConfigDict:
    """Return the config, with these `fields` set too. Raises InputError."""
    if twice := sorted(self.overrides.keys() & fields.keys()):
      raise InputError(f'--config.{twice[0]} and --set={twice[0]} exclude each other: both set the field')
    return load(self.flag, {**self.overrides, **fields}, self.mesh)


def load(flag: str, overrides: Mapping[str, str | None], mesh: MeshSettings | None = None) -> ConfigDict:
  """Return the config that `--config=flag` makes, with `overrides` (dotted field → text) set in it.

  mesh: the sizes that --mesh gives; they take the place of the config's.

  Raises:
    InputError: no such file, an exception in it (the message names its file and line), or a bad field.
  """
  path, _, arg = flag.partition(':')
  check_path(path)
  shown = f'--config={path}:{cut(arg)}' if arg else f'--config={path}'
  try:
    module = _execute(pathlib.Path(path))
    if not hasattr(module, 'get_config'):
      raise InputError(f'{shown}: the file has no function get_config')
    config = module.get_config(arg) if arg else module.get_config()
  except InputError:
    raise
  except Exception as error:  # the file may raise anything
    where = _line(error, path)
    raise InputError(f'{shown}: {where}{type(error).__name__}: {one_line(_reason(error))}') from error
  if not isinstance(config, ConfigDict | Mapping):
    raise InputError(f'{shown}: get_config returns a {type(config).__name__}; it must be a ConfigDict')
  config = config if isinstance(config, ConfigDict) else ConfigDict(config)
  with config.ignore_type(), config.unlocked():
    if 'mesh' not in config:
      config.mesh = ConfigDict(dataclasses.asdict(MeshSettings()))
    if mesh is not None:
      config.mesh.update(mesh.sizes)
  base.override(config, overrides)
  for section, cls in base.SETTINGS.items():  # before JAX is imported, which takes seconds
    if isinstance(config.get(section), ConfigDict):
      cls(**checked_fields(cls, config[section].to_dict(), section))
  return config


def overridden(config: Mapping[str, Any], overrides: Mapping[str, str | None]) -> tuple[dict, dict[str, Any]]:
  """Return the config of a workdir with other values in its sections task and eval, and those that differ.

  Fields that the config does not have, of an older version, have their defaults. Raises InputError.
  """
  name = config['task'].get('name', '')
  defaults = {'task': catalogue.task_options(name), 'eval': dataclasses.asdict(EvalSettings())}
  whole = {**config, **{section: values | config[section] for section, values in defaults.items()}}
  changed = ConfigDict(whole)
  base.override(changed, overrides)
  found = changed.to_dict()
  EvalSettings(**checked_fields(EvalSettings, found['eval'], 'eval'))
  differing = {}
  for path in overrides:
    section, _, field = path.partition('.')
    if found[section][field] != whole[section][field]:
      differing[path] = found[section][field]
  return found, differing


def split_overrides(argv: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
  """Separate `--config.<section>.<field>=value` from the other arguments.

  Returns:
    The other arguments, and dotted field → text; None for a flag without a value, which sets a bool field.

  Raises:
    InputError: a field that is given twice.
  """
  rest, overrides = [], {}
  arguments = iter(range(len(argv)))
  for i in arguments:
    match = OVERRIDE.fullmatch(argv[i])
    if not match:
      rest.append(argv[i])
      continue
    field, equals, text = match.groups()
    value: str | None = text if equals else None
    if not equals and i + 1 < len(argv) and not argv[i + 1].startswith('-'):
      value = argv[next(arguments)]
    if field in overrides:
      raise InputError(f'--config.{cut(field)} is given twice; allowed: once')
    overrides[field] = value
  return rest, overrides


def check_path(path: str) -> None:
  """Raise InputError, with the config files there are, unless `path` is a file."""
  if os.path.isfile(path):
    return
  here = ROOT / path
  if os.path.isfile(here):
    raise InputError(f'--config={path} is not a file of the current folder; from there it is {here}')
  folder = ROOT / 'configs'
  known = {f'configs/{file.name}' for file in folder.glob('*.py') if 'def get_config' in file.read_text('utf-8')}
  raise unknown('--config', path, known)


def _execute(path: pathlib.Path) -> ModuleType:
  name = f'_config_{path.stem}'
  loader = SourceFileLoader(name, str(path))
  spec = importlib.util.spec_from_loader(name, loader)
  assert spec is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # dataclasses of the file look themselves up there
  loader.exec_module(module)
  return module


def _line(error: Exception, path: str) -> str:
  """Return the line of the config file that an exception came from, e.g. `line 3: `."""
  if isinstance(error, SyntaxError) and error.filename == path:
    return f'line {error.lineno}: '
  lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
  return f'line {lines[-1]}: ' if lines else ''


def _reason(error: Exception) -> Any:
  return error.msg if isinstance(error, SyntaxError) else error
