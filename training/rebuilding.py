"""Rebuild the task and the model of a workdir for other data than those of its training, or without any data."""

import json
import logging
import pathlib
from collections.abc import Iterable
from typing import Any

from seqmodels import config as model_config
from seqmodels import models
from seqmodels import spec as specs
from seqmodels.errors import InputError, shown
from seqmodels.spec import Spec
from tasks.base import Task
from tasks.datasets.files import MissingData
from training import workdir as workdirs
from training.workdir import VOCABULARY, Config, Rebuilt

DATASET = 'task.dataset'
MODEL_SIDES = ('kind', 'readout', 'input', 'output', 'source', 'start')  # of a spec; the lengths may be others
log = logging.getLogger('seqmodels')


def with_overrides(workdir: pathlib.Path, config: Config, overrides: Config) -> Rebuilt:
  """Return a rebuilt run whose config has other values; the model, its vocabulary and its scale are those of training.

  config: with the overrides in it. overrides: {"section.field": value}, as `flat` names them.

  Data that are not overridden must be those of training. Raises InputError for a field that would need another model.
  """
  own = workdirs.read_config(workdir)
  before = workdirs.make_task(own, workdir)
  spec = recorded_spec(workdir)
  fitted = read_fitted(workdir) if spec else {}
  before = before.with_fitted(fitted) if fitted else before
  if not spec or DATASET not in overrides:
    workdirs.check_data(workdir, before)
  if not spec:  # a run of an older version has not kept what it took from its data
    spec, fitted = before.spec, before.fitted()
  for option in before.fixed_options:
    if (field := f'task.{option}') in overrides:
      trained = shown(own['task'].get(option, ''))
      raise InputError(f'--config.{field}={overrides[field]} needs another model; this one was trained with {trained}')
  if 'unit' in fitted and 'unit' in config['task']:
    config = config | {'task': config['task'] | {'unit': fitted['unit']}}  # `auto` depends on the data set
  task = workdirs.make_task(config, workdir)
  if fitted:
    task = task.with_fitted(fitted)
  model = models.build(model_config.from_dict(own['model']), spec)
  named = ', '.join(f'--config.{field}={value}' for field, value in overrides.items() if field.startswith('task.'))
  _check_spec(named, task.spec, spec)
  if model.config.position == 'learned':
    _check_table(named, task.spec, spec)
  return Rebuilt(config, task, model)


def without_data(workdir: pathlib.Path) -> Rebuilt:
  """Return a rebuilt run to generate with; where the data are missing, by what the workdir has kept.

  Raises InputError for other data than those of training, and for missing ones that the workdir does not make up for.
  """
  try:
    return workdirs.rebuild(workdir)
  except MissingData as error:
    config, spec = workdirs.read_config(workdir), recorded_spec(workdir)
    if spec is None:
      raise
    task = workdirs.make_task(config, workdir)
    if (workdir / VOCABULARY).exists():
      task = task.with_fitted(read_fitted(workdir))
    log.info('%s; the vocabulary is that of the workdir', error)
    return Rebuilt(config, task, models.build(model_config.from_dict(config['model']), spec))


def recorded_spec(workdir: pathlib.Path) -> Spec | None:
  """Return the spec of the model as provenance.json has it; None in workdirs of older versions."""
  for start in reversed(workdirs.read_provenance(workdir)):
    try:
      return specs.from_json(start['model']['spec'])
    except (KeyError, TypeError, ValueError, AttributeError):
      continue
  return None


def read_fitted(workdir: pathlib.Path) -> dict[str, Any]:
  """Return what the workdir has kept of its training data. Raises InputError for a damaged file."""
  path = workdir / VOCABULARY
  try:
    fitted = json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError:
    return {}
  except OSError as error:
    raise InputError(f'{path} cannot be read: {error.strerror}') from error
  except (ValueError, RecursionError) as error:
    raise InputError(f'{path} is damaged: {error}') from error
  if not isinstance(fitted, dict):
    raise InputError(f'{path} is damaged: it must be an object')
  return fitted


def identity_of(task: Task) -> dict[str, Any]:
  """Return the identity of a task's data as JSON gives it back."""
  return json.loads(json.dumps(task.identity()))


def _check_spec(named: str, now: Spec, trained: Spec) -> None:
  """Raise InputError unless a model of the spec `trained` reads and writes what `now` says, of whatever length."""
  for side in MODEL_SIDES:
    found, before = getattr(now, side), getattr(trained, side)
    if found != before:
      values: Iterable[str] = map(str, (found, before))
      if side in ('input', 'output', 'source'):
        values = map(specs.described, (found, before))
      asked, known = values
      raise InputError(f'{named} needs another model: its {side} is {asked}, that of the trained model {known}')


def _check_table(named: str, now: Spec, trained: Spec) -> None:
  """Raise InputError for sequences beyond the table of learned positions."""
  for name in ('length', 'source_length'):
    if getattr(now, name) > getattr(trained, name):
      raise InputError(
        f'{named} needs {getattr(now, name)} positions; the table of model.position=learned has '
        f'{getattr(trained, name)}'
      )
