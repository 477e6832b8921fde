"""From `<architecture>[,key=value…]` to a whole config, for any architecture and any task."""

import ast
import dataclasses
from typing import Any

from ml_collections import ConfigDict

import tasks
from configs import architectures
from seqmodels.config import ModelConfig, parse_pattern
from seqmodels.errors import InputError, unknown
from seqmodels.mixers import MIXERS, parse_entry
from training.settings import EvalSettings, TrainSettings

# What every task starts from; where a task wants another value, its file in configs/ says so.
TRAIN: dict[str, Any] = {
  'steps': 2000,
  'learning_rate': 2e-3,
  'warmup_steps': -1,
  'weight_decay': 0.1,
  'log_every': 50,
  'eval_every': 500,
  'checkpoint_every': 500,
}


def make(task: str, arg: str | None, *, train: dict[str, Any] | None = None, **options: Any) -> ConfigDict:
  """The config of `task` for `arg`; `options` and `train` are the task's own defaults, which `arg` may replace."""
  name, _, rest = (arg or '').partition(',')
  if not name:
    raise InputError('--config needs an architecture: configs/<task>.py:<architecture>[,key=value…]')
  wanted = architectures.sections(name)
  sections = {
    'task': tasks.options(task) | options,
    'model': _defaults(ModelConfig) | architectures.architecture(name),
    'train': _defaults(TrainSettings) | TRAIN | (train or {}) | wanted.get('train', {}),
    'eval': _defaults(EvalSettings) | wanted.get('eval', {}),
  }
  overrides = dict(_parse(item) for item in rest.split(',') if item)
  model = sections['model']
  for field in ('pattern', 'encoder_pattern'):
    if field in overrides:
      model[field] = parse_pattern(overrides.pop(field))
  if not model['pattern']:
    raise InputError('model.pattern is empty; name at least one mixer')
  model['mixer'] = mixers = _mixer_defaults((*model['pattern'], *model['encoder_pattern'])) | model['mixer']
  # A pattern longer than the usual depth is there once.
  model['depth'] = architectures.whole_depth(model['depth'], model['pattern'])
  if len(model['encoder_pattern']) > 1:
    model['encoder_depth'] = architectures.whole_depth(
      model['encoder_depth'] or model['depth'], model['encoder_pattern']
    )
  for key, text in overrides.items():
    section = _section(key, sections, mixers)
    section[key] = _value(text, section[key], key)
  return ConfigDict({'task': {'name': task, **sections.pop('task')}, **sections})


def _defaults(cls: type) -> dict[str, Any]:
  """The fields of a dataclass with their defaults."""
  return {
    f.name: f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
    for f in dataclasses.fields(cls)
  }


def _parse(item: str) -> tuple[str, str]:
  key, equals, text = item.partition('=')
  if not equals:
    raise InputError(f'--config argument {item!r} must be key=value')
  return key.strip(), text.strip()


def _section(key: str, sections: dict[str, dict[str, Any]], mixers: dict[str, Any]) -> dict[str, Any]:
  """Where a key lives: the first section that has it, so that `batch_size` is training's; then the mixers' options."""
  for name in ('task', 'model', 'train', 'eval'):
    if key in sections[name] and key != 'mixer':
      return sections[name]
  if key in mixers:
    return mixers
  raise unknown('--config key', key, {*(k for section in sections.values() for k in section), *mixers} - {'mixer'})


def _value(text: Any, default: Any, key: str = '') -> Any:
  """`text` with the type of `default`: 1e6 is a number of parameters, 64 a length, ptb a name."""
  if isinstance(default, str) or not isinstance(text, str):
    return text
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    value = text
  if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  if isinstance(default, int) and isinstance(value, float) and value.is_integer() and not isinstance(default, bool):
    return int(value)
  if default is not None and type(value) is not type(default):
    raise InputError(f'--config {key}={text!r} must be of type {type(default).__name__}')
  return value


def _mixer_defaults(pattern: tuple[str, ...]) -> dict[str, Any]:
  """The options of the pattern's mixers with their defaults, so that each can be overridden by its dotted name.

  An option that two mixers of the pattern understand differently is left out, and so is one that an entry fixes.
  """
  shared = {f.name for f in dataclasses.fields(ModelConfig)}
  options: dict[str, Any] = {}
  clashing = set()
  for entry in pattern:
    if entry.partition(':')[0] not in MIXERS:
      raise unknown('model.pattern', entry.partition(':')[0], MIXERS)
    name, fixed = parse_entry(entry)
    for option, default in ((option.name, option.default) for option in dataclasses.fields(MIXERS[name].Options)):
      if option in shared or option in fixed:
        continue
      if options.setdefault(option, default) != default:
        clashing.add(option)
  return {option: value for option, value in options.items() if option not in clashing}
