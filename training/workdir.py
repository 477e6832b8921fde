"""What a workdir holds: config.json, metrics.jsonl, checkpoints/, tensorboard/. Reading a trained model back."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import tasks
from seqmodels import config as model_config
from seqmodels import models
from seqmodels.errors import InputError
from seqmodels.models import Model
from seqmodels.notation import Params
from tasks.base import Task
from training.checkpoint import Checkpoints

Config = dict[str, Any]
SECTIONS = ('task', 'model', 'train', 'eval')


class Loaded(NamedTuple):
  config: Config
  task: Task
  model: Model
  params: Params
  step: int


def plain(config: Any) -> Config:
  """A ConfigDict or dict as JSON would give it back."""
  values = config.to_dict() if hasattr(config, 'to_dict') else dict(config)
  return json.loads(json.dumps(values))


def read_config(workdir: pathlib.Path) -> Config:
  """config.json of a workdir; InputError if it has none."""
  path = workdir / 'config.json'
  try:
    config = json.loads(path.read_text())
  except OSError as error:
    raise InputError(f'--workdir={workdir} holds no trained model: {path} cannot be read ({error.strerror})') from error
  except ValueError as error:  # not JSON, or not even text
    raise InputError(f'{path} is damaged: {error}') from error
  if not isinstance(config, dict) or not all(isinstance(config.get(name), dict) for name in SECTIONS):
    raise InputError(f'{path} must have the sections {", ".join(SECTIONS)}')
  return config


def check_same_config(workdir: pathlib.Path, config: Config) -> str:
  """InputError, with each field that differs, if the workdir was made with another config.

  More steps are allowed: the run goes on. Returns what to say about it, if anything.
  """
  if not (workdir / 'config.json').exists():
    return ''
  old, new = _flat(read_config(workdir)), _flat(config)
  differing = sorted(field for field in old.keys() | new.keys() if old.get(field) != new.get(field))
  if not differing:
    return ''
  if differing == ['train.steps'] and new['train.steps'] > old['train.steps']:
    return f'train.steps raised from {old["train.steps"]} to {new["train.steps"]}'
  values = ((field, old.get(field, 'absent'), new.get(field, 'absent')) for field in differing)
  fields = [f'{field} is {there!r} there and {now!r} now' for field, there, now in values]
  raise InputError(f'--workdir={workdir} was made with another config: {"; ".join(fields)}')


def check_entries(workdir: pathlib.Path) -> None:
  """InputError for a file in the place of one of a workdir's folders, or the reverse."""
  for name, is_folder in (('metrics.jsonl', False), ('checkpoints', True), ('tensorboard', True)):
    path = workdir / name
    if path.exists() and path.is_dir() != is_folder:
      raise InputError(f'{path} is in the way: it must be a {"folder" if is_folder else "file"} of a run, or absent')


def write_config(workdir: pathlib.Path, config: Config) -> None:
  """Makes the workdir and its config.json, at once or not at all; InputError if it cannot be written."""
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = workdir / 'config.json.partial'
    temporary.write_text(json.dumps(config, indent=2) + '\n')
    temporary.replace(workdir / 'config.json')
  except OSError as error:
    reason = 'it is a file' if isinstance(error, FileExistsError) else error.strerror
    raise InputError(f'--workdir={workdir} cannot be written: {reason}') from error


def _flat(config: Config, prefix: str = '') -> Config:
  flat: Config = {}
  for name, value in config.items():
    flat |= _flat(value, f'{prefix}{name}.') if isinstance(value, dict) and value else {f'{prefix}{name}': value}
  return flat


def make_task(config: Config) -> Task:
  """The task of a config's `task` section: its name and options."""
  options = dict(config['task'])
  if not options.get('name'):
    raise InputError('config.task.name is missing')
  return tasks.make(options.pop('name'), options)


def make_model(config: Config, task: Task) -> Model:
  """Return the model of a config's `model` section for the task."""
  model = model_config.from_dict(config['model'])
  if task.spec.kind != 'seq2seq' and not model.cross_attention:
    raise InputError(f'model.cross_attention=False has no effect: the task is {task.spec.kind} and has no source')
  return models.build(model, task.spec)


def load(workdir: str | pathlib.Path, step: int | None = None) -> Loaded:
  """The model trained in a workdir, at `step` or at the newest checkpoint that verifies."""
  return next(load_steps(workdir, [step]))


def load_steps(workdir: str | pathlib.Path, steps: Sequence[int | None] | None = None) -> Iterator[Loaded]:
  """The model at each of `steps` (None: the newest checkpoint that verifies), or at every checkpoint that verifies."""
  workdir = pathlib.Path(workdir)
  config = read_config(workdir)
  task = make_task(config)
  model = make_model(config, task)
  checkpoints = Checkpoints(workdir / 'checkpoints', read_only=True)
  like = {'params': model.abstract_params}
  if not checkpoints.steps():
    raise InputError(f'{checkpoints.directory} holds no checkpoint yet')
  some = (checkpoints.latest(like) if step is None else checkpoints.restore(step, like) for step in steps or ())
  for restored in checkpoints.verified(like) if steps is None else some:
    yield Loaded(config, task, model, restored.tree['params'], restored.step)
