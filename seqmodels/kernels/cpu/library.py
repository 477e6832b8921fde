"""Build and load the kernels in C++.

They are built once by `python -m seqmodels.kernels.cpu`, with the C++ compiler of the machine (`CXX`, else `c++`) and
for its processor, into `$XDG_CACHE_HOME/seqmodels/cpu` (`~/.cache/seqmodels/cpu`). The library's name follows from the
sources, the processor and the version of jaxlib; its checksum lies beside it. A library whose checksum, owner or mode
is wrong is not loaded. Without a library the ops have their other forms. `SEQMODELS_CPU_KERNELS=0` in the environment
leaves the library out.
"""

import ctypes
import functools
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from seqmodels.cache import cache_folder
from seqmodels.errors import InputError

BUILD = 'python -m seqmodels.kernels.cpu'
FOLDER = pathlib.Path(__file__).parent
FLAGS = ('-std=gnu++17', '-O3', '-march=native', '-fno-math-errno', '-fPIC', '-Wall', '-Wextra')
LAYERS = ('rnn', 'lstm', 'gru', 'attention', 'linear', 'diagonal', 'mlp')
HANDLERS = ('decode_attention', *(f'{layer}_{way}' for layer in LAYERS for way in ('forward', 'backward')))


def why_not(*arrays: Any) -> str | None:
  """Return why the kernels cannot compute with such arrays or types, or None."""
  for a in arrays:
    dtype = jnp.dtype(getattr(a, 'dtype', a))
    if dtype != jnp.float32:
      return f'the kernels for CPUs compute in float32, not {dtype}'
  axes = dict(zip((mesh := jax.sharding.get_abstract_mesh()).axis_names, mesh.axis_types, strict=True))
  if AxisType.Manual in axes.values() and len(set(axes.values())) > 1:
    # JAX 0.10.2 does not tell a partitioned call where its arguments lie inside such a region.
    return 'a mesh that splits the sequence and the batch has no calls of the kernels for CPUs'
  return None if load() else f'the kernels for CPUs are not built; run `{BUILD}`'


def build() -> pathlib.Path:
  """Compile the library if a valid one is not there yet; return its path.

  Raises InputError where there is no compiler, or no folder to write to.
  """
  path = library()
  if path is None:
    raise InputError('there is no folder for them can be written')
  if path.exists() and wrong(path) is None:
    return path
  compiler = os.environ.get('CXX') or shutil.which('c++')
  if not compiler:
    raise InputError('no C++ compiler found (CXX, c++)')
  sources = sorted(FOLDER.glob('*.cc'))
  objects = {source: path.with_name(f'{path.stem}-{source.stem}.{os.getpid()}.o') for source in sources}
  unfinished = path.with_suffix(f'.{os.getpid()}.tmp')
  try:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _compile(compiler, objects, unfinished)
    unfinished.chmod(0o755)
    _checksum(path).write_text(_digest(unfinished.read_bytes()))
    # The library appears whole or not at all, whoever else builds it at the same time.
    unfinished.replace(path)
  except OSError as error:
    raise InputError(f'{error.filename or compiler}: {error.strerror}') from error
  finally:
    for file in (*objects.values(), unfinished):
      if path.parent.exists() and os.access(path.parent, os.W_OK):
        file.unlink(missing_ok=True)
  return path


def _compile(compiler: str, objects: dict[pathlib.Path, pathlib.Path], to: pathlib.Path) -> None:
  command = [*compiler.split(), *FLAGS, '-isystem', jax.ffi.include_dir()]
  jobs = [subprocess.Popen([*command, '-c', str(source), '-o', str(part)]) for source, part in objects.items()]
  codes = [job.wait() for job in jobs]  # of all of them, so that none still writes
  link = [*command, '-shared', *map(str, objects.values()), '-o', str(to)]
  if any(codes) or subprocess.run(link, check=False).returncode:
    raise InputError(f'the C++ compiler {compiler} failed')


def cache() -> pathlib.Path | None:
  """Return the folder of built libraries, or None where nothing can be written."""
  return cache_folder('cpu')


@functools.cache
def library() -> pathlib.Path | None:
  """Return where the library for these sources, this processor and this jaxlib is or would be."""
  built_for = ' '.join((*FLAGS, jax.lib.__version__, sys.platform, _processor())).encode()
  folder = cache()
  return None if folder is None else folder / f'{_digest(built_for + _sources())[:16]}.so'


@functools.cache
def version() -> str | None:
  """Return a short hash of the sources and the compiler's flags; None where the kernels are not in use."""
  return _digest(' '.join(FLAGS).encode() + _sources())[:8] if load() else None


def _sources() -> bytes:
  return b''.join(file.name.encode() + file.read_bytes() for file in sorted(FOLDER.glob('*.[ch]*')))


def _processor() -> str:
  """Return what the processor can do."""
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
  return next((line for line in lines if line.startswith(('flags', 'Features'))), os.uname().machine)


def wrong(path: pathlib.Path) -> str | None:
  """Return what is wrong with a library that was built, or None."""
  try:
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
      return 'is not a regular file'
    if about.st_uid not in (0, os.getuid()):
      return f'belongs to user {about.st_uid}'
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
      return 'may be written by others'
    if _checksum(path).read_text() != _digest(path.read_bytes()):
      return 'does not have its checksum'
  except OSError as error:
    return f'cannot be read ({error.strerror})'
  except UnicodeDecodeError:
    return 'does not have its checksum'
  return None


def _checksum(path: pathlib.Path) -> pathlib.Path:
  return path.with_suffix('.sha256')


def _digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


@functools.cache
def load() -> bool:
  """Load the library and register its handlers; return whether it is there. What is wrong with it is said in a line."""
  path = library()
  if os.environ.get('SEQMODELS_CPU_KERNELS') == '0' or path is None or not os.path.lexists(path):
    return False
  reason = wrong(path)
  if reason is None:
    try:
      loaded = ctypes.cdll.LoadLibrary(str(path))
    except OSError as error:
      reason = f'cannot be loaded ({error})'
  if reason is not None:
    print(f'The kernels for CPUs are left out: {path} {reason}; run `{BUILD}`', file=sys.stderr)
    return False
  for name in HANDLERS:
    handler = getattr(loaded, f'seqmodels_{name}')
    jax.ffi.register_ffi_target(f'seqmodels_{name}', jax.ffi.pycapsule(handler), platform='cpu')
  return True
