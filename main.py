"""Run everything: training, evaluation, generation, and the comparison of architectures.

  python main.py --mode=train    --config=configs/language.py:lstm --workdir=W [--config.train.steps=200]
                        [--mesh=data:-1,fsdp:4,tensor:2]
  python main.py --mode=eval     --workdir=W [--step=N | --all_steps] [--pictures=N] [--config.task.length=512]
  python main.py --mode=generate --workdir=W --prompt="..." [--prompt="..." …] --length=200 [--stop="..."]
                        [--temperature=0.8 --top_k=40 --top_p=0.9 --seed=0 | --beam=4 --length_penalty=0.6]
  python main.py --mode=describe --config=configs/language.py:lstm
  python main.py --mode=plan     --config=configs/language.py:lstm --topology=v5e:4x4 [--mesh=fsdp:-1 | --search]
  python main.py --mode=compare  --scale=laptop --workdir=W [--claims=1,3,7] [--experiments=a,b] [--shard=0/4]
                        [--architectures=lstm,griffin] [--tasks=adding,copying] [--article=folder]
  python main.py --mode=sweep    --config=configs/language.py:lstm --workdir=W --set=learning_rate=log:1e-4:1e-2:8
                        --set=seed=0..4 [--set=model.width=64,128] [--budget=32] [--shard=0/4]
  python main.py --mode=export   --workdir=W --output=model.safetensors [--step=N]
  python main.py --mode=report   --workdir=W [--format=latex] [--article=folder]
  python main.py --mode=list     [--article=folder]

--config=configs/<task>.py:<architecture>[,key=value…] makes a config; --config.<section>.<field>=value sets a field.
Training in a workdir that holds checkpoints continues from the newest. --mode=report shows the verdicts of a
comparison, the table of a sweep, or where the time of a run went. --mode=list names all there is to choose from.

The exit code is 0; 1 where a run fails, no cell or trial succeeds, or a plan does not fit; 2 for bad input; 128 + the
number of a signal.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (what an unactivated environment runs may be older)
  sys.stderr.write('error: Python 3.11 or newer is needed, this is ' + sys.version.split()[0] + '\n')
  sys.exit(2)

try:
  from commands import interrupts
except KeyboardInterrupt:
  sys.stderr.write('interrupted\n')
  sys.exit(130)

import gc

if __name__ == '__main__':
  interrupts.install()  # before the imports that take time
  gc.disable()  # while they make objects that stay: a fifth of the time to the first step

import importlib
import os
import pathlib
import signal
from collections.abc import Sequence
from typing import Any

from seqmodels.errors import InputError, one_line

ROOT = pathlib.Path(__file__).parent
ROOMS = ('main', 'train', 'eval', 'commands', 'configs', 'seqmodels', 'tasks', 'training', 'comparison')


def parse(argv: Sequence[str]) -> tuple[Any, dict[str, Any]]:
  """Return the mode and its arguments; argv[0] is the program. Raises InputError if a flag or a config is wrong."""
  from commands import flags
  from training import runtime

  if flags.is_help(argv):
    print(f'{__doc__}\n{flags.help_text()}')
    sys.exit(0)
  mode, arguments = flags.parse(argv)
  if mode.process:
    runtime.prepare(arguments.pop('compilation_cache', ''))  # before a config file imports JAX
  if 'config' in arguments:
    arguments['config'] = arguments['config']()
  return mode, arguments


def run(argv: Sequence[str]) -> None:
  """Run the mode that the flags name."""
  from commands import flags
  from training import processes, runtime

  mode, arguments = parse(argv)
  flags.check_workdir(mode, arguments)
  if mode.module == 'train':
    interrupts.hint = f' before the first step; go on with: {runtime.command()}'
  if 'platform' in mode.process:
    platform = arguments.pop('platform', None)
    hosts = processes.settings({name: arguments.pop(name) for name in processes.FLAGS if name in arguments})
    runtime.select(platform, hosts.share(_devices(arguments)))
    if 'coordinator' in mode.flags:
      processes.start(hosts)
    runtime.check_platform(platform)
  folders = {name: arguments.pop(name) for name in ('downloads_dir', 'data_dir', 'tfds_data_dir') if name in arguments}
  if folders:
    importlib.import_module('tasks.datasets.source').configure(**folders)
  with processes.ending_together():
    call = getattr(importlib.import_module(mode.module), mode.function)
    if not gc.isenabled():
      gc.freeze()  # what was imported stays
      gc.enable()
    call(**arguments)


def _devices(arguments: dict[str, Any]) -> int:
  """Return how many devices the flags or the config ask for; 0: as many as there are."""
  from training.mesh_settings import MeshSettings, mesh_settings

  if 'mesh' in arguments:
    return arguments['mesh'].devices
  config = arguments.get('config')
  return MeshSettings().devices if config is None else mesh_settings(config['mesh'].to_dict()).devices


def main(argv: Sequence[str]) -> int:
  """Run one command and return its exit code. Bad input is one line on stderr and exit code 2."""
  for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, 'reconfigure'):  # a character that the output cannot encode must not end the program
      stream.reconfigure(errors='replace')
  try:
    run(argv)
    sys.stdout.flush()
  except InputError as error:
    _failed(one_line(error))
    if 'training.processes' in sys.modules:  # the others must not wait for this one
      sys.modules['training.processes'].leave(2)
    return 2
  except ModuleNotFoundError as error:
    if (error.name or '').partition('.')[0] in ROOMS:
      raise
    activate = os.path.relpath(ROOT / '.venv' / 'bin' / 'activate')
    install = '' if os.path.exists(activate) else f'`make install` in {ROOT}, then '
    return _failed(f'{error.name} is not installed for {sys.executable}; run {install}`source {activate}` first')
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return 128 + signal.SIGINT
  except BrokenPipeError:  # the reader of the output has closed it
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
  return 0


def _failed(message: str) -> int:
  print(f'error: {message}', file=sys.stderr)
  return 2


def start(mode: str) -> int:
  """Run `train.py` or `eval.py` as a program: the flags are those of `main.py`, without --mode."""
  interrupts.install()
  program, *arguments = sys.argv
  return main([program, f'--mode={mode}', *arguments])


if __name__ == '__main__':
  sys.exit(main(sys.argv))
