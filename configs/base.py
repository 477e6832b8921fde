"""Make a whole config from `<architecture>[,key=value…]`, for any architecture and any task. Imports no JAX.

A key is looked up in the sections task, model, train and eval, then among the options of the mixers; `scale=…` sets
several (see scales.py). The same field as a flag, `--config.<section>.<field>=value`, is set by `override`: both read
values by the rules of `seqmodels.fields`.
The section mesh, which belongs to the machine, is set by flags alone.
"""

import dataclasses
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any

from ml_collections import ConfigDict

from configs import architectures, catalogue
from configs.scales import LAPTOP, Scales, scale_values
from seqmodels import fields
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError, shown, unknown
from training import settings
from training.mesh_settings import MeshSettings
from training.settings import EvalSettings, TrainSettings

Section = MutableMapping[str, Any]

# What every task starts from; a task's own file in configs/ sets other values where it needs them.
TRAIN: dict[str, Any] = {
  'steps': 2000,
  'learning_rate': 2e-3,
  'warmup_steps': -1,
  'weight_decay': 0.1,
  'log_every': 50,
  'eval_every': 500,
  'checkpoint_every': 500,
}
SETTINGS: dict[str, type] = {'model': ModelConfig, 'train': TrainSettings, 'eval': EvalSettings, 'mesh': MeshSettings}
PATTERNS = {'pattern': 'depth', 'encoder_pattern': 'encoder_depth'}  # field → the depth that is a multiple of it


def make(
  task: str,
  arg: str | None,
  *,
  train: dict[str, Any] | None = None,
  evaluation: dict[str, Any] | None = None,
  scales: Scales | None = None,
  **options: Any,
) -> ConfigDict:
  """Return the config of `task` for `arg`.

  Args:
    task: a name of `tasks.TASKS`.
    arg: `<architecture>[,key=value…]`.
    train: the task's own training defaults, which `arg` may replace.
    evaluation: likewise of `eval`.
    scales: what the task's scales set, key → value, beyond what `configs.scales` says of all.
    **options: defaults of the task's options, likewise.

  Raises:
    InputError: an unknown architecture, key or scale, a key given twice, or a value of another type.
  """
  name, _, rest = (arg or '').partition(',')
  if not name:
    raise InputError('--config needs an architecture: configs/<task>.py:<architecture>[,key=value…]')
  own = architectures.sections(name)
  sections: dict[str, Section] = {
    'task': catalogue.task_options(task) | options,
    'model': _defaults(ModelConfig) | architectures.architecture(name),
    'train': _defaults(TrainSettings) | TRAIN | (train or {}) | own.get('train', {}),
    'eval': _defaults(EvalSettings) | (evaluation or {}) | own.get('eval', {}),
  }
  overrides = _pairs(rest)
  model = sections['model']
  _set_patterns(model, {field: overrides.pop(field) for field in PATTERNS if field in overrides})
  scale = scale_values(overrides.pop('scale', LAPTOP), scales or {}, sections['task'])
  _set_scale(sections, scale, overrides)
  for key, text in overrides.items():
    section, path = _find(key, sections)
    section[key] = fields.read(path, text, _kind(path, section[key]))
  _drop_unread(sections['train'], overrides)
  return ConfigDict({'task': {'name': task, **sections.pop('task')}, **sections, 'mesh': _defaults(MeshSettings)})


def override(config: ConfigDict, overrides: Mapping[str, str | None]) -> None:
  """Set fields of a config by their dotted names, e.g. {"train.steps": "1e3"}; None sets a bool field.

  The pattern of a model comes first, since the options of its mixers and its depth depend on it.

  Raises:
    InputError: a field that the config does not have, or a value of another type.
  """
  patterns = {f'model.{field}': field for field in PATTERNS}
  with config.ignore_type():
    if texts := {patterns[path]: text or '' for path, text in overrides.items() if path in patterns}:
      for field in texts:
        section_of(config, f'model.{field}')
      model = config.model.to_dict()
      _set_patterns(model, texts)
      config.model = ConfigDict(model)
    for path, text in overrides.items():
      section, key = section_of(config, path)
      if text is None and not isinstance(section[key], bool):
        raise InputError(f'--config.{path} needs a value: --config.{path}=…')
      if path not in patterns:
        section[key] = True if text is None else fields.read(path, text, _kind(path, section[key]))
    if 'train.optimizer' in overrides:
      _drop_unread(config.train, {path.removeprefix('train.') for path in overrides})


def _set_scale(sections: Mapping[str, Section], values: Mapping[str, Any], given: Collection[str]) -> None:
  """Set the keys of a scale, but for those that are given; a given width keeps a number of parameters out."""
  for key, value in values.items():
    if key not in given and not (key == 'params' and 'width' in given):
      section, path = _find(key, sections)
      section[key] = fields.check(path, value, _kind(path, section[key]))
  model = sections['model']
  for pattern, depth in PATTERNS.items():
    if model[depth] and depth in values.keys() - given:
      model[depth] = architectures.whole_depth(model[depth], model[pattern] or model['pattern'])


def _drop_unread(train: Any, given: Collection[str]) -> None:
  """Reset what a config sets and the chosen optimizer does not read, such as adam the weight decay, unless given."""
  for name in settings.unread_fields(train['optimizer']):
    if name not in given and name in train:
      train[name] = getattr(TrainSettings, name)


def section_of(config: ConfigDict, path: str, flag: str = '--config') -> tuple[Any, str]:
  """Return the section of a field's dotted name and the field's own name in it. Raises InputError, about `flag`."""
  node: Any = config
  *parents, key = path.split('.')
  for i, part in enumerate([*parents, key]):
    if not isinstance(node, ConfigDict) or part not in node:
      where = '.'.join([flag, *path.split('.')[:i]])
      raise unknown(f'{where} field', part, node.keys() if isinstance(node, ConfigDict) else ())
    if i < len(parents):
      node = node[part]
  if isinstance(node[key], ConfigDict):
    raise InputError(f'{flag}.{path} is a section; name one of its fields: {", ".join(sorted(node[key]))}')
  return node, key


def _pairs(text: str) -> dict[str, str]:
  """Return the key=value pairs of an argument."""
  pairs: dict[str, str] = {}
  for item in text.split(','):
    if not item:
      continue
    key, equals, value = (part.strip() for part in item.partition('='))
    if not equals:
      raise InputError(f'--config argument {shown(item)} must be key=value')
    if key in pairs:
      raise InputError(f'--config key={shown(key)} is given twice; allowed: once')
    pairs[key] = value
  return pairs


def _find(key: str, sections: Mapping[str, Section]) -> tuple[Section, str]:
  """Return the section that a key belongs to and the key's dotted name.

  The first section that has it, so that `batch_size` is training's; then the options of the mixers.
  """
  for name, section in sections.items():
    if key in section and key != 'mixer':
      return section, f'{name}.{key}'
  mixer = sections['model']['mixer']
  if key in mixer:
    return mixer, f'model.mixer.{key}'
  raise unknown('--config key', key, {*(k for section in sections.values() for k in section), *mixer} - {'mixer'})


def kind_of(config: ConfigDict, path: str) -> Any:
  """Return the type of the field that has a dotted name."""
  section, key = section_of(config, path)
  return _kind(path, section[key])


def _kind(path: str, default: Any) -> Any:
  """Return the type of a field: of the dataclass of its section where there is one, else of its default."""
  section, _, field = path.partition('.')
  kinds = fields.field_kinds(SETTINGS[section]) if section in SETTINGS else {}
  return kinds.get(field, type(default))


def _set_patterns(model: Section, texts: Mapping[str, str]) -> None:
  """Set the patterns of a model, the options of their mixers, and a depth that holds each a whole number of times.

  Options that the model has set to another value than the default of its mixers are kept where the new pattern has
  mixers that know them.
  """
  before = _mixer_defaults((*model['pattern'], *model['encoder_pattern']))
  for field, text in texts.items():
    model[field] = fields.read(f'model.{field}', text, tuple)
  if not model['pattern']:
    raise InputError('model.pattern is empty; name at least one mixer')
  after = _mixer_defaults((*model['pattern'], *model['encoder_pattern']))
  changed = {k: v for k, v in dict(model['mixer']).items() if k not in before or before[k] != v}
  model['mixer'] = after | {option: value for option, value in changed.items() if option in after or not texts}
  model['depth'] = architectures.whole_depth(model['depth'], model['pattern'])
  if len(model['encoder_pattern']) > 1:
    depth = model['encoder_depth'] or model['depth']
    model['encoder_depth'] = architectures.whole_depth(depth, model['encoder_pattern'])


def _defaults(cls: type) -> dict[str, Any]:
  """Return the fields of a dataclass with their defaults."""
  return {
    f.name: f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
    for f in dataclasses.fields(cls)
  }


def _mixer_defaults(pattern: tuple[str, ...]) -> dict[str, Any]:
  """Return the options of the pattern's mixers with their defaults, so that a flag can set each by its dotted name.

  An option whose default differs between two mixers of the pattern is left out, and so is one that an entry fixes.
  """
  shared = {f.name for f in dataclasses.fields(ModelConfig)}
  options: dict[str, Any] = {}
  clashing = set()
  for entry in dict.fromkeys(pattern):
    name = fields.parse_entry(entry)[0]
    if name not in catalogue.mixers():
      raise unknown('model.pattern', name, catalogue.mixers())
    defaults = catalogue.mixer_options(name)
    fixed = fields.read_entry(entry, defaults)
    for option, default in defaults.items():
      if option in shared or option in fixed:
        continue
      if options.setdefault(option, default) != default:
        clashing.add(option)
  return {option: value for option, value in options.items() if option not in clashing}
