"""The workdir of a run: config.json, provenance.json, metrics.jsonl, checkpoints/, tensorboard/. Read a model back.

Besides, goodput.jsonl and timings.jsonl say where the time went, vocabulary.json holds what a model needs of its
training data (`Task.fitted`), and tokenizer.model the sub-words of a text.
While a run trains there, `lock` names its process.
"""

import dataclasses
import json
import logging
import math
import pathlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import MISSING
from typing import Any, NamedTuple

import numpy as np

import tasks
from seqmodels import config as model_config
from seqmodels import models, spec
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models import Model
from seqmodels.notation import Params
from tasks.base import Task
from tasks.datasets.files import MissingData
from tasks.identity import check_identity
from training import files, provenance, runtime
from training.checkpoint import Checkpoints
from training.mesh_settings import MeshSettings
from training.optimizer import make_schedule
from training.settings import EvalSettings, TrainSettings, train_settings
from training.trees import first_not_finite

Config = dict[str, Any]
SECTIONS = ('task', 'model', 'train', 'eval')
# Fields that say how a model is computed, or where it is refused. They change no checkpoint, and its results by no more
# than rounding.
COMPUTATION = ('model.kernels', 'model.layers', 'model.remat', 'model.bidirectional')
VOCABULARY = 'vocabulary.json'
MESH = 'mesh.'  # likewise: a run goes on on another mesh
# Fields that say what is saved and written of a run, and what is done where it would have ended.
KEEPING = tuple(
  f'train.{name}'
  for name in (
    'checkpoint_every',
    'checkpoint_minutes',
    'keep',
    'keep_every',
    'keep_best',
    'norms_every',
    'skip_nonfinite',
    'writers',
  )
)
CLASSES: dict[str, type] = {'model': ModelConfig, 'train': TrainSettings, 'eval': EvalSettings, 'mesh': MeshSettings}
log = logging.getLogger('seqmodels')


class Loaded(NamedTuple):
  config: Config
  task: Task
  model: Model
  params: Params
  step: int


class Rebuilt(NamedTuple):
  """The config, the task and the model of a workdir, before a checkpoint is read."""

  config: Config
  task: Task
  model: Model


def plain(config: Any) -> Config:
  """Return a ConfigDict or dict as JSON would give it back."""
  values = config.to_dict() if hasattr(config, 'to_dict') else dict(config)
  return json.loads(json.dumps(values))


def read_config(workdir: pathlib.Path) -> Config:
  """Return config.json of a workdir; InputError if it has none."""
  path = workdir / 'config.json'
  try:
    config = json.loads(path.read_text(encoding='utf-8'))
  except OSError as error:
    raise InputError(f'--workdir={workdir} holds no trained model: {path} cannot be read ({error.strerror})') from error
  except (ValueError, RecursionError) as error:  # not JSON, or not even text
    raise InputError(f'{path} is damaged: {error}') from error
  if not isinstance(config, dict) or not all(isinstance(config.get(name), dict) for name in SECTIONS):
    raise InputError(f'{path} must have the sections {", ".join(SECTIONS)}')
  return config


def check_config(workdir: pathlib.Path, config: Config, task: Task, *, allow_schedule_change: bool = False) -> str:
  """Check that a run may start or go on in `workdir`; write nothing. Returns what to log about it, if anything.

  Raises InputError for another config or other data than those of its checkpoints, and for files in the way.
  """
  check_entries(workdir)
  step = newest_step(workdir)
  note = check_same_config(workdir, config, step=step, allow_schedule_change=allow_schedule_change)
  if step is not None:
    check_data(workdir, task)
  return note


def newest_step(workdir: pathlib.Path) -> int | None:
  """Return the step of the newest checkpoint by its name, whether it verifies or not; None without any."""
  folder = workdir / 'checkpoints'
  steps = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
  return max(steps, default=None)


def check_same_config(
  workdir: pathlib.Path, config: Config, *, step: int | None = None, allow_schedule_change: bool = False
) -> str:
  """Return what to log about a config that replaces the one that the workdir was made with, if anything.

  step: of the newest checkpoint; None: nothing was saved, and the new config takes the place of the old one. Other
  values of the fields in COMPUTATION and KEEPING are allowed, and so are more steps: the run goes on, but where the
  schedule then moves the learning rate of the next step only with allow_schedule_change. A field that the version
  before did not have had its default. InputError, with each field that differs, for any other difference.
  """
  if not (workdir / 'config.json').exists():
    return ''
  before = read_config(workdir)
  new, defaults = flat(config), _defaults(config.get('task', {}).get('name'))
  old = {field: defaults[field] for field in new.keys() & defaults.keys()} | flat(before)
  differing = sorted(field for field in old.keys() | new.keys() if old.get(field) != new.get(field))
  if not differing:
    return ''
  if step is None:
    return f'{workdir} holds no checkpoint: its config is replaced ({", ".join(differing)})'
  free = [field for field in differing if field in (*COMPUTATION, *KEEPING) or field.startswith(MESH)]
  changes = [f'{field} is {new.get(field, "absent")} now, before {old.get(field, "absent")}' for field in free]
  differing = [field for field in differing if field not in free]
  if differing == ['train.steps'] and new['train.steps'] > old['train.steps']:
    change, differing = f'train.steps is raised from {old["train.steps"]} to {new["train.steps"]}', []
    rates = [_learning_rate(train_settings(c['train']), step) for c in (before, config)]
    if not math.isclose(*rates, rel_tol=1e-4):
      change += f', which moves the learning rate at step {step} from {rates[0]:.3g} to {rates[1]:.3g}'
      if not allow_schedule_change:
        raise InputError(f'{change}; allow it with --allow_schedule_change, or train in another workdir')
    changes.append(change)
  if not differing:
    return '; '.join(changes)
  values = ((field, old.get(field, 'absent'), new.get(field, 'absent')) for field in differing)
  fields = [f'{field} is {there!r} there and {now!r} now' for field, there, now in values]
  raise InputError(f'--workdir={workdir} was made with another config: {"; ".join(fields)}')


def _defaults(task: str | None) -> Config:
  """Return the defaults of every field, those of the task's options among them, as `flat` gives a config."""
  classes = CLASSES | ({'task': tasks.TASKS[task]} if task in tasks.TASKS else {})
  sections = {
    section: {field.name: field.default for field in dataclasses.fields(cls) if field.default is not MISSING}
    for section, cls in classes.items()
  }
  return flat(plain(sections))


def _learning_rate(settings: TrainSettings, step: int) -> float:
  return settings.learning_rate * float(make_schedule(settings)(np.int32(step)))


def check_entries(workdir: pathlib.Path) -> None:
  """Raise InputError for a file in the place of one of a workdir's folders, or the reverse."""
  for name, is_folder in (
    ('metrics.jsonl', False),
    ('config.json', False),
    ('provenance.json', False),
    ('goodput.jsonl', False),
    ('timings.jsonl', False),
    (VOCABULARY, False),
    ('tokenizer.model', False),
    ('tokenizer.source.model', False),
    ('tokenizer.target.model', False),
    ('checkpoints', True),
    ('tensorboard', True),
    ('profile', True),
  ):
    path = workdir / name
    if path.exists() and path.is_dir() != is_folder:
      raise InputError(f'{path} is in the way: it must be a {"folder" if is_folder else "file"} of a run, or absent')


def write_config(workdir: pathlib.Path, config: Config) -> None:
  """Make the workdir and its config.json, at once or not at all; WriteError if it cannot be written."""
  with files.writing(f'--workdir={workdir}'):
    workdir.mkdir(parents=True, exist_ok=True)
  files.write_text(workdir / 'config.json', json.dumps(config, indent=2) + '\n')


def check_data(workdir: pathlib.Path, task: Task) -> None:
  """Raise InputError where a model would be used with other data than it was last trained on."""
  recorded = (start['data'] for start in reversed(read_provenance(workdir)) if isinstance(start.get('data'), dict))
  if (before := next(recorded, None)) is None:
    return
  try:
    check_identity(before, task)
  except MissingData:
    raise
  except InputError as error:
    raise InputError(f'--workdir={workdir}: {error}') from error


def read_provenance(workdir: pathlib.Path) -> list[Config]:
  """Return the starts of a run, oldest first; none where the file cannot be read."""
  try:
    starts = json.loads((workdir / 'provenance.json').read_text(encoding='utf-8'))
  except (OSError, ValueError, RecursionError):
    return []
  return [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []


def write_provenance(workdir: pathlib.Path, model: Model, task: Task, step: int) -> None:
  """Add this start to provenance.json: what was built, from which step, by which command, code, machine and data."""
  start = {
    'time': round(time.time()),
    'step': step,
    'command': runtime.command(),
    'model': {
      'width': model.config.width,
      'feedforward': model.config.feedforward,
      'parameters': models.count_parameters(model),
      'non_embedding': models.count_parameters(model, embedding=False),
      'spec': spec.to_json(model.spec),
    },
    'data': task.identity(),
    **({'signatures': signatures} if (signatures := task.signatures()) else {}),
    **provenance.machine_identity(),
  }
  files.write_text(workdir / 'provenance.json', json.dumps([*read_provenance(workdir), start], indent=2) + '\n')


def flat(config: Config, prefix: str = '') -> Config:
  """Return the fields of a config as {"section.field": value}."""
  found: Config = {}
  for name, value in config.items():
    found |= flat(value, f'{prefix}{name}.') if isinstance(value, dict) and value else {f'{prefix}{name}': value}
  return found


def make_task(config: Config, workdir: pathlib.Path | None = None) -> Task:
  """Return the task of a config's `task` section: its name and options.

  workdir: of a run with a checkpoint, whose tokenizer is used again. Raises InputError.
  """
  options = dict(config['task'])
  if not options.get('name'):
    raise InputError('config.task.name is missing')
  task = tasks.make(options.pop('name'), options)
  return task if workdir is None or newest_step(workdir) is None else task.with_files(workdir)


def write_kept(workdir: pathlib.Path, task: Task) -> None:
  """Write what a model of the task cannot be used without: tokenizers, a vocabulary, a scale. Raises WriteError."""
  for name, content in task.kept_files().items():
    files.write_bytes(workdir / name, content)
  if fitted := task.fitted():
    files.write_text(workdir / VOCABULARY, json.dumps(fitted) + '\n')


def make_model(config: Config, task: Task) -> Model:
  """Return the model of a config's `model` section for the task."""
  model = model_config.from_dict(config['model'])
  if task.spec.kind != 'seq2seq' and not model.cross_attention:
    raise InputError(f'model.cross_attention=False has no effect: the task is {task.spec.kind} and has no source')
  return models.build(model, task.spec)


def load(workdir: str | pathlib.Path, step: int | None = None, rebuilt: Rebuilt | None = None) -> Loaded:
  """Return the model trained in a workdir, at `step` or at the newest checkpoint that verifies."""
  return next(load_steps(workdir, [step], rebuilt))


def rebuild(workdir: pathlib.Path) -> Rebuilt:
  """Return config, task and model of a workdir, whose data must be those that it was trained on. Raises InputError."""
  config = read_config(workdir)
  task = make_task(config, workdir)
  check_data(workdir, task)  # before the model: another vocabulary would make another model
  return Rebuilt(config, task, make_model(config, task))


def load_steps(
  workdir: str | pathlib.Path, steps: Sequence[int | None] | None = None, rebuilt: Rebuilt | None = None
) -> Iterator[Loaded]:
  """Yield the model at each of `steps` (None: the newest checkpoint), or at every checkpoint that verifies.

  rebuilt: in place of what `rebuild` returns (see `training.rebuilding`).

  Raises InputError for a checkpoint with parameters that are not finite; where all are asked for, it is left out.
  """
  workdir = files.resolve('workdir', workdir)
  config, task, model = rebuild(workdir) if rebuilt is None else rebuilt
  checkpoints = Checkpoints(workdir / 'checkpoints', read_only=True)
  like = {'params': model.abstract_params}
  if not checkpoints.steps():
    raise InputError(f'{checkpoints.directory} holds no checkpoint yet')
  some = (checkpoints.latest(like) if step is None else checkpoints.restore(step, like) for step in steps or ())
  finite = False
  for restored in checkpoints.verified(like) if steps is None else some:
    where = f'checkpoint {restored.step} in {checkpoints.directory}'
    if (name := first_not_finite(restored.tree)) is not None:
      if steps is not None:
        raise InputError(f'{where} is of a model that diverged: {name} is not finite')
      log.warning('%s is of a model that diverged (%s is not finite): left out', where, name)
      continue
    finite = True
    yield Loaded(config, task, model, restored.tree['params'], restored.step)
  if not finite:
    raise InputError(f'no checkpoint in {checkpoints.directory} has finite parameters')
