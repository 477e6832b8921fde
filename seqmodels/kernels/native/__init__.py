"""Kernels for CPUs in C++, called through XLA's foreign function interface, in XLA's own threads.

XLA's CPU backend runs the elementwise work of a loop on one thread, rearranges the weights anew at every position, and
cannot keep a block of scores in registers. What that costs is measured in `benchmarks/peers.py`; these kernels do the
same arithmetic without it. They are for float32 on one CPU device, and are built once by

    python -m seqmodels.kernels.native

with the C++ compiler of the machine (`CXX`, else `c++`) and for its processor. Where they have not been built, nothing
is missing: every one of them is a further form of a kernel written in JAX, which then runs. `SEQMODELS_NATIVE=0` in the
environment leaves them out.
"""

import contextlib
import contextvars
import ctypes
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.errors import InputError

FOLDER = pathlib.Path(__file__).parent
CACHE = pathlib.Path('~/.cache/seqmodels/native')
FLAGS = ('-std=gnu++17', '-O3', '-march=native', '-fno-math-errno', '-fPIC', '-Wall', '-Wextra')
CELLS = ('rnn', 'lstm', 'gru')
LAYERS = (*CELLS, 'attention', 'linear', 'diagonal', 'feedforward')
HANDLERS = (
  'matmul',
  'few_rows',
  'ring',
  *(f'{cell}_step' for cell in CELLS),
  *(f'{layer}_{way}' for layer in LAYERS for way in ('forward', 'backward')),
)

Result = jax.ShapeDtypeStruct

_left_out = contextvars.ContextVar('left_out', default=False)


@contextlib.contextmanager
def left_out(wanted: bool = True) -> Iterator[None]:
  """What is traced inside is JAX alone, if `wanted`: no kernel suits, and `implementation=native` is refused."""
  token = _left_out.set(wanted)
  try:
    yield
  finally:
    _left_out.reset(token)


def suits(*arrays: jax.Array) -> bool:
  """Whether these kernels can be what `auto` stands for: they are there, and the arrays are float32 on one device.

  With several devices XLA would gather the arrays on each of them, since it does not know how to split the call.
  """
  if _left_out.get() or jax.device_count() > 1:
    return False
  return all(a.dtype == jnp.float32 for a in arrays) and available()


def check(*what: Any) -> None:
  """Raises InputError where `implementation=native` cannot be had for such arrays or types."""
  if _left_out.get():
    raise InputError('mixer.implementation=native contradicts model.native=False')
  if any(jnp.dtype(getattr(a, 'dtype', a)) != jnp.float32 for a in what):
    raise InputError('mixer.implementation=native computes in float32; model.dtype must be float32')
  if not available():
    where = (
      'is for CPUs' if jax.default_backend() != 'cpu' else 'is not built: run `python -m seqmodels.kernels.native`'
    )
    raise InputError(f'mixer.implementation=native {where}')


def available() -> bool:
  """Whether the library has been built for this machine and can be loaded."""
  return jax.default_backend() == 'cpu' and _load()


def call(
  name: str, results: Any, *arrays: jax.Array, in_place: Mapping[int, int] | None = None, **attributes: Any
) -> Any:
  """The handler `seqmodels_<name>`. vmap calls it for each example.

  in_place: {number of an argument: number of the result that is written over it}
  """
  check(*(a for a in arrays if jnp.issubdtype(a.dtype, jnp.floating)))
  how: dict[str, Any] = {'vmap_method': 'sequential', 'input_output_aliases': dict(in_place or {})}
  return jax.ffi.ffi_call(f'seqmodels_{name}', results, **how)(*arrays, **attributes)


def results(*shapes: Sequence[int]) -> tuple[Result, ...]:
  return tuple(Result(tuple(shape), jnp.float32) for shape in shapes)


def build() -> pathlib.Path:
  """Compiles the library if it is not there yet; returns where it is. Raises InputError without a compiler."""
  path = library()
  if path.exists():
    return path
  compiler = os.environ.get('CXX') or shutil.which('c++')
  if not compiler:
    raise InputError('no C++ compiler found (CXX, c++)')
  path.parent.mkdir(parents=True, exist_ok=True)
  objects = {source: path.with_name(f'{path.stem}-{source.stem}.{os.getpid()}.o') for source in _sources()}
  command = [*compiler.split(), *FLAGS, '-isystem', jax.ffi.include_dir()]
  unfinished = path.with_suffix(f'.{os.getpid()}.tmp')
  link = [*command, '-shared', *map(str, objects.values()), '-o', str(unfinished)]
  try:
    jobs = [subprocess.Popen([*command, '-c', str(source), '-o', str(to)]) for source, to in objects.items()]
    codes = [job.wait() for job in jobs]  # of all of them, so that none still writes
    if any(codes) or subprocess.run(link, check=False).returncode:
      raise InputError(f'the C++ compiler {compiler} failed')
    # The library appears whole or not at all, whoever else builds it at the same time.
    unfinished.replace(path)
  except OSError as error:
    raise InputError(f'the C++ compiler {compiler} cannot be run: {error}') from error
  finally:
    for to in (*objects.values(), unfinished):
      to.unlink(missing_ok=True)
  return path


@functools.cache
def library() -> pathlib.Path:
  """Where the library for these sources, this processor and this jaxlib is or would be."""
  digest = hashlib.sha256(' '.join((*FLAGS, jax.lib.__version__, sys.platform, _processor())).encode())
  for file in sorted(FOLDER.glob('*.[ch]*')):
    digest.update(file.name.encode() + file.read_bytes())
  return CACHE.expanduser() / f'{digest.hexdigest()[:16]}.so'


def _sources() -> list[pathlib.Path]:
  return sorted(FOLDER.glob('*.cc'))


def _processor() -> str:
  """What the processor can do."""
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
  return next((line for line in lines if line.startswith(('flags', 'Features'))), os.uname().machine)


@functools.cache
def _load() -> bool:
  path = library()
  if os.environ.get('SEQMODELS_NATIVE') == '0' or not path.exists():
    return False
  try:
    loaded = ctypes.cdll.LoadLibrary(str(path))
  except OSError:
    return False
  for name in HANDLERS:
    jax.ffi.register_ffi_target(
      f'seqmodels_{name}', jax.ffi.pycapsule(getattr(loaded, f'seqmodels_{name}')), platform='cpu'
    )
  return True
