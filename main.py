"""One command for everything.

  python main.py --mode=train    --config=configs/language.py:lstm --workdir=W [--config.train.steps=200]
  python main.py --mode=eval     --workdir=W [--step=N | --all_steps]
  python main.py --mode=generate --workdir=W --prompt="..." [--prompt="..." …] --length=200 [--stop="..."]
                        [--temperature=0.8 --top_k=40 --top_p=0.9 --seed=0 | --beam=4 --length_penalty=0.6]
  python main.py --mode=describe --config=configs/language.py:lstm
  python main.py --mode=compare  --scale=laptop --workdir=W [--claims=1,3,7] [--experiments=a,b] [--shard=0/4]
                        [--architectures=lstm,griffin]
  python main.py --mode=report   --workdir=W

--config=configs/<task>.py:<architecture>[,key=value…] makes a config; --config.<section>.<field>=value changes a field.
Training in a workdir that holds checkpoints goes on from the newest.
"""

import importlib
import os
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from seqmodels.errors import InputError, unknown
from training import runtime

EVERYWHERE = ('platform', 'downloads_dir', 'data_dir')  # settings of the process, not arguments of a mode


class Mode(NamedTuple):
  module: str
  function: str
  required: tuple[str, ...]
  optional: tuple[str, ...] = ()


MODES = {
  'train': Mode('train', 'main', ('config', 'workdir'), ('devices',)),
  'eval': Mode('eval', 'main', ('workdir',), ('step', 'all_steps', 'devices')),
  'generate': Mode(
    'commands.generate',
    'main',
    ('workdir', 'prompt'),
    ('step', 'length', 'temperature', 'top_k', 'top_p', 'seed', 'beam', 'length_penalty', 'stop'),
  ),
  'describe': Mode('commands.describe', 'main', ('config',)),
  'compare': Mode(
    'commands.compare', 'main', ('scale', 'workdir'), ('claims', 'experiments', 'architectures', 'shard')
  ),
  'report': Mode('commands.compare', 'report', ('workdir',)),
}


def define_flags(argv: Sequence[str]) -> flags.FlagValues:
  values = flags.FlagValues()
  text = {
    'mode': f'what to do: {", ".join(MODES)}',
    'workdir': 'folder of a run or of a comparison; it is made if it does not exist (train, compare)',
    'downloads_dir': 'folder of raw data files that is looked at before the network',
    'data_dir': 'folder of prepared data',
    'platform': 'cpu, gpu or tpu; default: the best there is',
    'stop': 'a text ends before the first place where this stands in it; with --beam a single token (generate)',
    'scale': 'smoke, laptop, overnight or accelerator (compare)',
    'shard': 'i/n: only every n-th cell, beginning with the i-th, counted from 0 (compare)',
  }
  for name, help_text in text.items():
    flags.DEFINE_string(name, None, help_text, flag_values=values)
  whole = {
    'devices': (1, 'devices to split each batch over; default: all, but one on CPU (train, eval)'),
    'step': (0, 'checkpoint to use; default: the newest (eval, generate)'),
    'length': (1, 'tokens to write at most (generate)'),
    'top_k': (0, 'draw from the k likeliest tokens; 0: from all (generate)'),
    'beam': (1, 'width of a beam search instead of sampling (generate)'),
    'seed': (0, 'of sampling; each further prompt has the next seed (generate)'),
  }
  for name, (lowest, help_text) in whole.items():
    flags.DEFINE_integer(name, None, help_text, lower_bound=lowest, upper_bound=2**31 - 1, flag_values=values)
  flags.DEFINE_float('temperature', None, 'of sampling; 0: greedy (generate)', 0.0, flag_values=values)
  penalty = 'beams are scored by their log probability over ((5 + tokens) / 6)^length_penalty; default: 0 (generate)'
  flags.DEFINE_float('length_penalty', None, penalty, 0.0, flag_values=values)
  prompt = (
    'text to go on from; may be given several times: sampled one after the other, or one batch of --beam (generate)'
  )
  flags.DEFINE_multi_string('prompt', None, prompt, flag_values=values)
  flags.DEFINE_float('top_p', None, 'nucleus sampling (generate)', 0.0, 1.0, flag_values=values)
  flags.DEFINE_list('claims', None, 'numbers of the claims to judge; default: all (compare)', flag_values=values)
  flags.DEFINE_list('experiments', None, 'names of the experiments to run; default: all (compare)', flag_values=values)
  flags.DEFINE_list('architectures', None, "instead of the experiments' own (compare)", flag_values=values)
  flags.DEFINE_bool('all_steps', None, 'every checkpoint (eval)', flag_values=values)
  flags.DEFINE_bool('help', False, 'this text', short_name='h', flag_values=values)
  config_flags.DEFINE_config_file(
    'config', None, 'configs/<task>.py:<architecture>[,key=value…]', flag_values=values, sys_argv=list(argv)
  )
  return values


def parse(argv: Sequence[str]) -> tuple[Mode, dict[str, Any]]:
  """The mode and its arguments: the flags that were given. argv[0] is the program. InputError if anything is wrong."""
  try:
    values = define_flags(argv)
  except flags.Error as error:  # a --flagfile is read here already
    raise InputError(one_line(error)) from error
  if {'--help', '-help', '-h', '--h'} & set(argv[1:]):
    print(f'{__doc__}\n{values.get_help()}')
    sys.exit(0)
  check_config_file(argv)
  try:
    rest = values(list(argv))[1:]
  except flags.UnrecognizedFlagError as error:
    if error.flagname.startswith('config.'):
      raise InputError(f'--{error.flagname} needs --config=configs/<task>.py:<architecture>') from error
    raise InputError(str(error)) from error
  except flags.Error as error:
    raise InputError(one_line(error)) from error
  except Exception as error:  # a config file is a program of the user's: it may raise anything
    if isinstance(error, AttributeError | KeyError):
      check_overrides(argv)
    raise InputError(f'--config={config_argument(argv)}: {type(error).__name__}: {one_line(error)}') from error
  if rest:
    raise InputError(f'{rest[0]!r} is not expected: flags begin with --')
  return select(values)


def select(values: flags.FlagValues) -> tuple[Mode, dict[str, Any]]:
  """Checks that the flags are those of the mode."""
  if not values.mode:
    raise InputError(f'--mode is missing; allowed: {", ".join(MODES)}')
  if values.mode not in MODES:
    raise unknown('--mode', values.mode, MODES)
  mode = MODES[values.mode]
  given: dict[str, Any] = {name: values[name].value for name in values if values[name].present and '.' not in name}
  del given['mode']
  for name in mode.required:
    if name not in given or given[name] in ('', None):
      raise InputError(f'--mode={values.mode} needs --{name}')
  for name in given.keys() - {*mode.required, *mode.optional, *EVERYWHERE}:
    allowed = ', '.join(f'--{flag}' for flag in (*mode.required, *mode.optional, *EVERYWHERE))
    raise InputError(f'--{name} has no meaning with --mode={values.mode}; allowed: {allowed}')
  if 'step' in given and given.get('all_steps'):
    raise InputError('--step and --all_steps exclude each other')
  if 'claims' in given:
    given['claims'] = [number(claim) for claim in given['claims']]
  if 'shard' in given:
    given['shard'] = shard(given['shard'])
  return mode, given


def number(text: str) -> int:
  if not text.isdecimal():
    raise InputError(f'--claims={text!r} must be numbers with commas between them')
  return int(text)


def shard(text: str) -> tuple[int, int]:
  index, slash, count = text.partition('/')
  if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
    raise InputError(f'--shard={text!r} must be i/n with 0 <= i < n')
  return int(index), int(count)


def config_argument(argv: Sequence[str]) -> str | None:
  """The value of --config in argv; InputError if there are two."""
  found = []
  for i, arg in enumerate(argv):
    name, equals, value = arg.lstrip('-').partition('=')
    if arg.startswith('-') and name == 'config':
      found.append(value if equals else next(iter(argv[i + 1 : i + 2]), None))
  if len(found) > 1:
    raise InputError(f'--config is given {len(found)} times: {", ".join(map(str, found))}; allowed: once')
  return found[0] if found else None


def check_config_file(argv: Sequence[str]) -> None:
  path = (config_argument(argv) or '').partition(':')[0]
  if path and not pathlib.Path(path).is_file():
    here = pathlib.Path(__file__).parent / path
    if here.is_file():
      raise InputError(f'--config={path} is not a file of the current folder; from there it is {here}')
    folder = pathlib.Path(__file__).parent / 'configs'
    known = {f'configs/{file.name}' for file in folder.glob('*.py') if 'def get_config' in file.read_text()}
    raise unknown('--config', path, known)


def check_overrides(argv: Sequence[str]) -> None:
  """InputError for the first --config.a.b=value whose a.b is not in the config."""
  flag = f'--config={config_argument(argv)}'
  values = define_flags([argv[0], flag])
  try:
    values([argv[0], flag])
  except Exception:  # the file itself fails: not a matter of its fields
    return
  for arg in argv[1:]:
    name = arg.lstrip('-').partition('=')[0]
    if not name.startswith('config.'):
      continue
    node: Any = values.config
    path = 'config'
    for part in name.split('.')[1:]:
      if not isinstance(node, ConfigDict) or part not in node:
        raise unknown(f'--{path} field', part, node.keys() if isinstance(node, ConfigDict) else ())
      node, path = node[part], f'{path}.{part}'


def one_line(error: BaseException) -> str:
  """What was wrong, without the tracebacks that flag parsing puts around it."""
  chain = [error]
  while chain[-1].__context__ is not None:
    chain.append(chain[-1].__context__)
  inputs = [link for link in chain if isinstance(link, InputError)]
  if inputs:
    return str(inputs[-1])
  first = str(error).partition('Error whilst parsing config file')[0]
  told = first if first == str(error) else f'{first}{type(chain[-1]).__name__}: {chain[-1]}'
  return ' '.join(told.removeprefix('flag ').split())


def main(argv: Sequence[str]) -> int:
  """Runs one command; returns the exit code. Bad input is one line on stderr and 2."""
  runtime.prepare()
  try:
    mode, arguments = parse(argv)
    runtime.select(arguments.pop('platform', None), arguments.get('devices', 0))
    folders = {name: arguments.pop(name) for name in ('downloads_dir', 'data_dir') if name in arguments}
    if folders:
      importlib.import_module('tasks.datasets.source').configure(**folders)
    getattr(importlib.import_module(mode.module), mode.function)(**arguments)
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return 128 + signal.SIGINT
  except BrokenPipeError:  # whoever read the output has enough of it
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
