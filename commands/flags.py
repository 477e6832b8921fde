"""Define and check the flags of `main.py`: which mode takes which, and what each may be."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from commands import config_file
from seqmodels.errors import InputError, cut, one_line, shown, unknown
from training import files
from training.mesh_settings import MESH_AXES, MeshSettings, mesh_settings, mesh_sizes
from training.plan import topology
from training.processes import FLAGS as HOSTS
from training.processes import HEARTBEAT_TIMEOUT, INIT_TIMEOUT
from training.waiting import IO_TIMEOUT

FOLDERS = ('downloads_dir', 'data_dir', 'tfds_data_dir')
PROCESS = ('platform', 'compilation_cache', *FOLDERS)  # settings of the process, not arguments of a mode
PATHS = ('workdir', 'output', 'recogniser', 'init_from', *FOLDERS)
SAMPLING, PENALTY = ('temperature', 'top_k', 'top_p'), 'length_penalty'
LARGEST = 2**31 - 1
EVALUATED = ('task', 'eval')  # sections of a config that --mode=eval takes other values of
SMALLEST, MOST = 1e-6, 1e6  # of a temperature; with less or more, float32 logits are not what they were


class Mode(NamedTuple):
  """The function of a mode and the flags it takes. `process`: those among them that set up the process."""

  module: str
  function: str
  required: tuple[str, ...] = ()
  optional: tuple[str, ...] = ()
  process: tuple[str, ...] = PROCESS

  @property
  def flags(self) -> tuple[str, ...]:
    return (*self.required, *self.optional, *self.process)


MODES = {
  'train': Mode(
    'train', 'main', ('config', 'workdir'), ('mesh', 'allow_schedule_change', 'init_from', 'profile', *HOSTS)
  ),
  'eval': Mode('eval', 'main', ('workdir',), ('step', 'all_steps', 'mesh', 'pictures', *HOSTS)),
  'generate': Mode(
    'commands.generate',
    'main',
    ('workdir', 'prompt'),
    (
      'step',
      'length',
      'temperature',
      'top_k',
      'top_p',
      'seed',
      'beam',
      'length_penalty',
      'stop',
      'output',
      'recogniser',
    ),
  ),
  'describe': Mode('commands.describe', 'main', ('config',)),
  'plan': Mode('commands.plan', 'main', ('config', 'topology'), ('mesh', 'search', 'compile_timeout'), process=FOLDERS),
  'compare': Mode(
    'commands.compare',
    'main',
    ('scale', 'workdir'),
    ('article', 'claims', 'experiments', 'architectures', 'tasks', 'shard'),
  ),
  'sweep': Mode('commands.sweep', 'main', ('config', 'workdir', 'set'), ('budget', 'sweep_seed', 'shard', 'mesh')),
  'export': Mode('commands.export', 'main', ('workdir', 'output'), ('step',)),
  'report': Mode('commands.report', 'report', ('workdir',), ('format', 'article'), process=()),
  'list': Mode('commands.list', 'main', optional=('article',), process=()),
}


def define() -> flags.FlagValues:
  """Return all flags. None of them may be given twice, but --prompt and --set."""
  values = flags.FlagValues()
  once: dict[str, Any] = {'flag_values': values, 'allow_overwrite': False}
  text = {
    'mode': f'what to do: {", ".join(MODES)}',
    'config': 'configs/<task>.py:<architecture>[,key=value…]; --config.<section>.<field>=value sets a field; '
    '--mode=eval takes fields of task and eval without --config',
    'workdir': 'folder of a run or of a comparison; it is made if it does not exist (train, compare, sweep)',
    'output': 'file of parameters, model.safetensors; model.json is written beside it (export); a .wav file or a folder'
    ' of them, default: samples in the workdir (generate, of speech)',
    'recogniser': 'workdir of a model of speech_recognition, which transcribes what is spoken (generate)',
    'init_from': 'file of --mode=export whose parameters the run starts from; sets config.train.init_from (train)',
    'profile': 'first:last: trace these steps, counted from 1, into the workdir (train)',
    'downloads_dir': 'folder of raw data files, where they are looked for before the network is used',
    'data_dir': 'folder of downloaded data',
    'tfds_data_dir': 'folder in which TensorFlow Datasets prepares, for dataset=tfds:NAME; default: TFDS_DATA_DIR or '
    '~/tensorflow_datasets',
    'mesh': 'sizes of the mesh of devices, e.g. data:-1,fsdp:4,tensor:2; sequence:4 splits the tokens of each row; -1: '
    'as many as remain; default: data:-1, but data:1 on CPU (train, eval, plan, sweep)',
    'topology': f'devices that need not be there, e.g. {topology.EXAMPLES} (plan)',
    'coordinator': 'HOST:PORT of process 0, where several processes train one model; found by itself on TPU pods, '
    'SLURM and Kubernetes (train, eval)',
    'platform': 'cpu, gpu (or cuda) or tpu; default: the best that JAX finds',
    'compilation_cache': 'folder, or URL such as gs://BUCKET/FOLDER, that keeps compiled programs; default: '
    'JAX_COMPILATION_CACHE_DIR or ~/.cache/seqmodels/compilation',
    'stop': 'end a text before the first place where it contains this; with --beam a single token (generate)',
    'article': 'name of an article, or a folder that holds one, which is executed as Python; default: '
    'transformer_vs_rnn (compare, report, list)',
    'scale': 'smoke, laptop, overnight or accelerator (compare)',
    'format': 'html, markdown, latex, csv or json; default: html and markdown (report)',
    'shard': 'i/n: run only every n-th cell or trial, beginning with the i-th, counted from 0 (compare, sweep)',
  }
  for name, help_text in text.items():
    flags.DEFINE_string(name, None, help_text, **once)
  whole = {
    'step': (0, LARGEST, 'checkpoint to use; default: the newest (eval, generate, export)'),
    'length': (1, LARGEST, 'tokens to write at most; default: 200 (generate)'),
    'top_k': (0, LARGEST, 'draw from the k likeliest tokens; 0: from all (generate)'),
    'beam': (1, LARGEST, 'width of a beam search, used instead of sampling (generate)'),
    'process_index': (0, LARGEST, 'number of this process, counted from 0; with --coordinator (train, eval)'),
    'process_count': (1, LARGEST, 'how many processes there are; with --coordinator (train, eval)'),
    'init_timeout': (1, LARGEST, f'seconds to wait for the other processes; default: {INIT_TIMEOUT} (train, eval)'),
    'heartbeat_timeout': (
      10,
      LARGEST,
      f'seconds without a sign of a process after which it is given up; default: {HEARTBEAT_TIMEOUT} (train, eval)',
    ),
    'io_timeout': (
      1,
      LARGEST,
      f'seconds that reading and writing may take while other processes wait; default: {IO_TIMEOUT} (train, eval)',
    ),
    'compile_timeout': (1, LARGEST, 'seconds that a compiler may take; default: 1800 (plan)'),
    'pictures': (
      1,
      1000,
      'of how many examples of each split to write predictions and what is attended to, as pictures or as text, into '
      'pictures/ of the workdir (eval)',
    ),
    'budget': (1, LARGEST, 'draws, or trials of a product of values (sweep)'),
    'sweep_seed': (0, LARGEST, 'of what is drawn; default: 0 (sweep)'),
    'seed': (0, LARGEST, 'of sampling; each further prompt has the next seed (generate)'),
  }
  for name, (lowest, highest, help_text) in whole.items():
    flags.DEFINE_integer(name, None, help_text, lower_bound=lowest, upper_bound=highest, **once)
  flags.DEFINE_float('temperature', None, 'of sampling; 0: greedy (generate)', 0.0, MOST, **once)
  top_p = 'draw from the likeliest tokens of this total probability (generate)'
  flags.DEFINE_float('top_p', None, top_p, SMALLEST, 1.0, **once)
  penalty = 'divide the log probability of a beam by ((5 + tokens) / 6)^length_penalty; default: 0 (generate)'
  flags.DEFINE_float('length_penalty', None, penalty, 0.0, MOST, **once)
  prompt = (
    'text to continue, of speech "<text> <speaker>" or a WAV file; may be given several times: sampled one by one, or '
    'as one batch of --beam (generate)'
  )
  flags.DEFINE_multi_string('prompt', None, prompt, flag_values=values)
  space = (
    'field=values of a config, several times: a,b,c; 0..4; log:lo:hi:n, linear:lo:hi:n; drawn: uniform:lo:hi, '
    'loguniform:lo:hi. One of the fields must be seed (sweep)'
  )
  flags.DEFINE_multi_string('set', None, space, flag_values=values)
  flags.DEFINE_list('claims', None, 'numbers of the claims to judge; default: all (compare)', **once)
  flags.DEFINE_list('experiments', None, 'names of the experiments to run; default: all (compare)', **once)
  flags.DEFINE_list('architectures', None, 'names to measure beside an LSTM and a Transformer (compare)', **once)
  flags.DEFINE_list('tasks', None, 'tasks to compare on, in the experiment task_quality (compare)', **once)
  search = 'try meshes (unless --mesh gives one), rematerialisation and batch sizes until the step fits (plan)'
  flags.DEFINE_bool('search', None, search, **once)
  flags.DEFINE_bool('all_steps', None, 'evaluate every checkpoint (eval)', **once)
  schedule = 'allow train.steps to differ from the run so far, which changes the learning rate at once (train)'
  flags.DEFINE_bool('allow_schedule_change', None, schedule, **once)
  flags.DEFINE_bool('help', False, 'print this text', short_name='h', flag_values=values)
  return values


def parse(argv: Sequence[str]) -> tuple[Mode, dict[str, Any]]:
  """Return the mode and the flags that are given to it; argv[0] is the program.

  The value of `config` is a function that loads the config: nothing of it is read yet.

  Raises:
    InputError: an unknown flag, one that the mode does not take or lacks, or a value that is not allowed.
  """
  values = define()
  try:
    expanded = values.read_flags_from_files(list(argv), force_gnu=False)
  except (flags.Error, OSError, RecursionError, UnicodeError) as error:
    raise InputError(f'--flagfile: {_message(error)}') from error
  try:
    arguments, overrides = config_file.split_overrides(expanded)
    rest = values(arguments)[1:]
  except flags.UnrecognizedFlagError as error:
    raise _unrecognized(error.flagname, values) from error
  except flags.IllegalFlagValueError as error:
    raise _illegal(error, values) from error
  except flags.Error as error:
    raise InputError(_message(error)) from error
  except RecursionError as error:  # absl compares an unknown name with the known ones letter by letter
    raise _unrecognized(max((a for a in arguments if a.startswith('-')), key=len).partition('=')[0], values) from error
  if rest:
    raise InputError(f'{shown(rest[0])} is not expected: flags begin with --')
  name, mode = _mode(values.mode)
  parsed: dict[str, Any] = {flag: values[flag].value for flag in values if values[flag].present}
  del parsed['mode']
  if overrides and 'config' in mode.flags and 'config' not in parsed:
    raise InputError(f'--config.{cut(next(iter(overrides)))} needs --config=configs/<task>.py:<architecture>')
  _check_mode(name, mode, parsed)
  if overrides and name == 'eval':
    parsed['overrides'] = _evaluated(overrides)
  elif overrides and 'config' not in mode.flags:
    raise InputError(f'--config.{cut(next(iter(overrides)))} has no effect with --mode={name}')
  for flag in parsed.keys() - {'overrides'}:
    parsed[flag] = _checked(flag, parsed[flag])
  if 'init_from' in parsed:
    if 'train.init_from' in overrides:
      raise InputError('--init_from and --config.train.init_from are the same; allowed: one of them')
    overrides['train.init_from'] = parsed.pop('init_from')
  if 'config' in parsed:
    text = parsed['config']
    mesh = parsed.pop('mesh', None)
    if mesh and (twice := [f'--config.mesh.{axis}' for axis in MESH_AXES if f'mesh.{axis}' in overrides]):
      raise InputError(f'--mesh and {twice[0]} exclude each other: both give sizes')
    source = config_file.Source(text, overrides, mesh)
    parsed['config'] = source.load
    if name == 'sweep':
      parsed |= {'load': source.load, 'axes': parsed.pop('set')}
  return mode, parsed


def is_help(argv: Sequence[str]) -> bool:
  """Whether the arguments ask for the help text."""
  return bool({'--help', '-help', '-h', '--h'} & set(argv[1:]))


def help_text() -> str:
  return define().get_help()


def _mode(name: str | None) -> tuple[str, Mode]:
  if not name:
    raise InputError(f'--mode is missing; allowed: {", ".join(MODES)}')
  if name not in MODES:
    raise unknown('--mode', name, MODES)
  return name, MODES[name]


def _check_mode(name: str, mode: Mode, parsed: dict[str, Any]) -> None:
  """Raise InputError unless all flags that the mode needs are there, and no others than it takes."""
  for flag in mode.required:
    if parsed.get(flag) in (None, '', []):
      raise InputError(f'--mode={name} needs --{flag}')
  for flag in parsed.keys() - set(mode.flags):
    allowed = ', '.join(f'--{flag}' for flag in mode.flags) or 'none'
    raise InputError(f'--{flag} has no effect with --mode={name}; allowed: {allowed}')
  if 'step' in parsed and parsed.get('all_steps'):
    raise InputError('--step and --all_steps exclude each other')
  if name == 'generate':
    check_decoding({flag: parsed[flag] for flag in SAMPLING if flag in parsed}, parsed.get('beam'), parsed.get(PENALTY))


def check_workdir(mode: Mode, arguments: Mapping[str, Any]) -> None:
  """Raise InputError, before JAX is imported, where a mode reads a trained model from a folder that does not exist."""
  if mode in (MODES['eval'], MODES['generate'], MODES['export']) and not os.path.isdir(arguments['workdir']):
    raise InputError(f'--workdir={cut(arguments["workdir"])} holds no trained model: there is no such folder')


def check_decoding(sampling: Mapping[str, Any], beam: int | None, length_penalty: float | None) -> None:
  """Raise InputError for flags of sampling beside a beam search, and for a length penalty without one."""
  if beam and sampling:
    raise InputError(f'--{next(iter(sampling))} and --beam exclude each other: a beam search draws nothing')
  if length_penalty is not None and not beam:
    raise InputError(f'--length_penalty={length_penalty} needs --beam: sampling has no scores')


def _evaluated(overrides: Mapping[str, str | None]) -> Mapping[str, str | None]:
  """Return the fields of a config that an evaluation takes other values of; InputError for one that it does not."""
  for field in overrides:
    if field.partition('.')[0] not in EVALUATED or field == 'task.name':
      allowed = ', '.join(f'--config.{section}.<field>' for section in EVALUATED)
      raise InputError(
        f'--config.{cut(field)} has no effect with --mode=eval, which evaluates the model of the workdir; '
        f'allowed: {allowed}'
      )
  return overrides


def _checked(flag: str, value: Any) -> Any:
  """Return the value of a flag as its mode takes it; InputError if it is not allowed."""
  if flag in ('prompt', 'stop', 'set'):
    return value
  if value == '':
    raise InputError(f'--{flag} is empty; give it a value, or leave it out')
  if isinstance(value, list) and (not value or not all(value)):
    raise InputError(f'--{flag}={",".join(value)} must name at least one, with commas between them')
  if isinstance(value, float) and not math.isfinite(value):
    raise InputError(f'--{flag}={value} must be a finite number')
  if flag == 'temperature' and 0 < value < SMALLEST:
    raise InputError(f'--temperature={value} must be 0 (greedy), or from {SMALLEST:g} to {MOST:g}')
  if flag in PATHS or (flag == 'compilation_cache' and '://' not in value):
    return files.local_path(flag, value)
  read = {'claims': _claims, 'shard': _shard, 'mesh': _mesh, 'profile': _profile, 'topology': topology.parse}
  return read[flag](value) if flag in read else value


def _claims(texts: Sequence[str]) -> list[int]:
  for text in texts:
    if not (text.isdecimal() and len(text) < 10):
      raise InputError(f'--claims={shown(text)} must be numbers with commas between them')
  return [int(text) for text in texts]


def _mesh(text: str) -> MeshSettings:
  return mesh_settings(mesh_sizes(text))


def _shard(text: str) -> tuple[int, int]:
  index, _, count = text.partition('/')
  if not all(part.isdecimal() and len(part) < 10 for part in (index, count)) or int(index) >= int(count):
    raise InputError(f'--shard={shown(text)} must be i/n with 0 <= i < n')
  return int(index), int(count)


def _profile(text: str) -> tuple[int, int]:
  first, _, last = text.partition(':')
  if not all(part.isdecimal() and len(part) < 10 for part in (first, last)) or not 0 < int(first) <= int(last):
    raise InputError(f'--profile={shown(text)} must be first:last with 1 <= first <= last')
  return int(first), int(last)


def _unrecognized(name: str, values: flags.FlagValues) -> InputError:
  return unknown('flag', name.lstrip('-'), [flag for flag in values if len(flag) > 1])


def _illegal(error: flags.IllegalFlagValueError, values: flags.FlagValues) -> InputError:
  """Return what a flag may be, for a value that its parser refuses; else what absl says."""
  name, _, rest = str(error).removeprefix('flag --').partition('=')
  refused, parser = error.__context__, values[name].parser
  match parser:
    case flags.IntegerParser():
      allowed = f'a whole number from {parser.lower_bound} to {parser.upper_bound}'
    case flags.FloatParser():
      allowed = f'a number from {parser.lower_bound:g} to {parser.upper_bound:g}'
    case flags.BooleanParser():
      allowed = 'true or false'
    case _:
      refused = None
  if refused is None:  # given twice, or no list
    return InputError(_message(error))
  return InputError(f'--{name}={cut(rest.removesuffix(f": {refused}"))} must be {allowed}')


def _message(error: BaseException) -> str:
  """Return what absl says about a flag, on one line and as we say it."""
  return one_line(str(error).removeprefix('flag ')).replace('already defined as', 'given twice, first as')
