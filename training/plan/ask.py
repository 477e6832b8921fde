"""Ask a child process for plans. A compiler aborts its process over devices that a program does not use."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from seqmodels.errors import InputError, one_line
from tasks.datasets import source
from training.plan.figures import Figures
from training.plan.topology import CPU, GPU, TPU, Topology

ROOT = pathlib.Path(__file__).parents[2]
MISSING = 'libtpu is not installed, so that no compiler can be asked: `make install EXTRA=tpu` installs it'
NO_COMPILER = 'no compiler for GPUs can be had without one'


def why_no_compiler(place: Topology) -> str:
  """Return why no compiler for a topology can be had here; '' where one can."""
  if place.platform == GPU:
    return NO_COMPILER
  return MISSING if place.platform == TPU and importlib.util.find_spec('libtpu') is None else ''


def ask(
  place: Topology, configs: Sequence[dict[str, Any]], *, compiles: bool, timeout: float | None = None
) -> list[Figures | InputError]:
  """Return for each config its figures, or the InputError of a config that cannot be planned.

  compiles: False for estimates. timeout: seconds. Raises InputError where the child fails, or takes too long.
  """
  request = {'topology': place.name, 'compile': compiles, 'configs': list(configs)}
  command = [sys.executable, '-m', 'training.plan.child']
  try:
    done = subprocess.run(
      command,
      input=json.dumps(request),
      capture_output=True,
      text=True,
      errors='replace',
      env=environment(place),
      timeout=timeout,
      check=False,
    )
  except subprocess.TimeoutExpired as error:
    raise InputError(f'--compile_timeout={timeout:g}: the compiler has not ended after so many seconds') from error
  answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]
  if done.returncode or len(answers) != len(configs):
    if answers and 'error' in answers[-1] and not done.returncode:
      raise InputError(answers[-1]['error'])
    raise InputError(f'--topology={place.name}: the process that plans for it has failed: {_reason(done)}')
  return [InputError(found['error']) if 'error' in found else Figures(**found) for found in answers]


def environment(place: Topology) -> dict[str, str]:
  """Return the environment of the child: JAX on this CPU, its compilations timed rather than taken from the cache."""
  values = dict(os.environ) | {'JAX_PLATFORMS': 'cpu', 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
  values |= {'TF_CPP_MIN_LOG_LEVEL': '3', 'TPU_MIN_LOG_LEVEL': '3', 'TPU_STDERR_LOG_LEVEL': '3'}
  if place.platform == TPU:
    values |= place.environment()
  values['JAX_NUM_CPU_DEVICES'] = str(place.devices if place.platform == CPU else 1)
  values['PYTHONPATH'] = os.pathsep.join(path for path in (str(ROOT), os.environ.get('PYTHONPATH')) if path)
  values['PYTHONSAFEPATH'] = '1'  # the current folder is the user's
  values['SEQMODELS_DATA_DIR'] = str(source.data_folder())
  if folder := source.downloads_folder():
    values['SEQMODELS_DOWNLOADS_DIR'] = str(folder)
  return values


def _reason(done: subprocess.CompletedProcess[str]) -> str:
  """Return the last line that a failed process has written, or the signal that ended it."""
  lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith((' ', '*'))]
  ended = f'signal {-done.returncode}' if done.returncode < 0 else f'exit code {done.returncode}'
  return one_line(f'{ended}; {lines[-1]}' if lines else ended)[:400]
