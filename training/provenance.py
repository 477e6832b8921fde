"""The machine, the versions, the commit and the command behind a number."""

import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import socket
import subprocess
from typing import Any

import jax

from seqmodels.kernels import provenance as kernels


def machine_identity() -> dict[str, Any]:
  """Return the device, versions, settings and commit of this process."""
  return {
    'device': jax.default_backend(),
    'device_kind': device_kind(),
    'devices': jax.device_count(),
    'host': hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8],
    'versions': {**package_versions(), **kernels.versions(jax.default_backend())},
    'flags': compiler_flags(),
    'commit': commit(),
  }


@functools.cache
def device_kind() -> str:
  """Return the device's model; for a CPU the processor and its cores, since "cpu" says nothing about speed."""
  device = jax.devices()[0]
  if device.platform != 'cpu':
    return device.device_kind
  model = platform.processor() or platform.machine()
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  if cpuinfo.exists():
    lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith('model name')]
    model = lines[0].partition(':')[2].strip() if lines else model
  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  return f'{model}, {cores} cores'


@functools.cache
def package_versions() -> dict[str, str]:
  """Return the versions that decide the numbers."""
  packages = {name: importlib.metadata.version(name) for name in ('jax', 'jaxlib', 'flax', 'optax', 'numpy')}
  return {'python': platform.python_version(), **packages}


def compiler_flags() -> str:
  """Return the compiler flags, which hold the number of devices that a CPU is split into."""
  return os.environ.get('XLA_FLAGS', '')


@functools.cache
def commit() -> str:
  """Return the commit of this code, with + for uncommitted changes; outside a repository SEQMODELS_COMMIT, or ''."""
  here = pathlib.Path(__file__).parent

  def git(*arguments: str) -> str:
    try:
      done = subprocess.run(['git', *arguments], cwd=here, capture_output=True, text=True, check=False)
    except OSError:  # no git
      return ''
    return done.stdout.strip() if done.returncode == 0 else ''

  head = git('rev-parse', '--short=10', 'HEAD')
  if not head:
    return os.environ.get('SEQMODELS_COMMIT', '')
  return f'{head}+' if git('status', '--porcelain', '--untracked-files=no') else head
