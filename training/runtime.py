"""Set up the process: what must be decided before JAX starts. Imports no JAX, so that `prepare` can come first."""

import ctypes
import logging
import os
import pathlib
import platform
import shlex
import sys
import time
import warnings
from typing import Any

from seqmodels.cache import cache_folder
from seqmodels.errors import InputError, cut, unknown
from training import cache

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
PLATFORMS = {'cpu': 'cpu', 'gpu': 'cuda', 'cuda': 'cuda', 'tpu': 'tpu'}

MOST_DEVICES = 1024  # a CPU host split into 4,096 takes 3 s and 0.6 GB to start (JAX 0.10.2)

log = logging.getLogger('seqmodels')


def prepare(cache_path: str = '') -> dict[str, Any]:
  """Set memory, compiler, cache and output options of this process; return them, for benchmarks to report.

  Call it first, before JAX is imported. cache_path: of compiled programs, see `compilation_cache`.
  """
  _log_to_stderr()
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('GRPC_VERBOSITY', 'ERROR')
  _option('jax_persistent_cache_min_compile_time_secs', 0.0)
  _option('jax_persistent_cache_min_entry_size_bytes', -1)
  # On CPU a program runs where it is called: programs that overlap share one thread pool, and library calls in two of
  # them (QR) have been seen to wait for each other for ever (JAX 0.10.2, two cores). Accelerators are not affected.
  _option('jax_cpu_enable_async_dispatch', False)
  folder = compilation_cache(cache_path)
  if folder:
    _option('jax_compilation_cache_dir', folder)
    # An entry that cannot be read or written is a program that is compiled again.
    warnings.filterwarnings('ignore', 'Error (reading|writing) persistent compilation cache entry')
  return {'malloc': _keep_freed_memory(), 'xla_flags': _vector_width(), 'compilation_cache': folder}


def compilation_cache(asked: str = '') -> str:
  """Return the folder or URL of compiled programs: `asked`, else JAX_COMPILATION_CACHE_DIR, else this project's.

  Return '' where none can be written. Raises InputError where the one that was asked for cannot be.
  """
  if asked:
    if reason := cache.why_not(asked):
      raise InputError(f'--compilation_cache={cut(asked)} cannot be written: {reason}')
    return asked if '://' in asked else os.path.abspath(asked)
  given = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  if given:
    if '://' in given or not cache.why_not(given):
      return given
    del os.environ['JAX_COMPILATION_CACHE_DIR']
    log.info('JAX_COMPILATION_CACHE_DIR=%s cannot be written: every start compiles anew', given)
    return ''
  folder = cache_folder('compilation')
  if folder is None:
    log.info('no folder for compiled programs can be written: every start compiles anew; set XDG_CACHE_HOME')
  return str(folder or '')


def command() -> str:
  """Return the command line of this process, as a shell would take it."""
  return shlex.join([pathlib.Path(sys.executable).name, *sys.argv])


def select(name: str | None = None, devices: int = 0) -> None:
  """Choose the platform `name` (cpu, gpu or cuda, tpu; None: what JAX finds); tidy the project's cache of programs.

  On CPU, `devices` above 1 splits the host into as many devices. Call it before JAX starts its backend. Raises
  InputError if the platform is not known.
  """
  folder = os.environ.get('JAX_COMPILATION_CACHE_DIR')
  if folder and folder == str(cache_folder('compilation')):  # one that was given is not ours to tidy
    cache.tidy(pathlib.Path(folder), cache.limit())
  if 1 < devices <= MOST_DEVICES:
    _option('jax_num_cpu_devices', devices)
  if name is None:
    return
  if name not in PLATFORMS:
    raise unknown('--platform', name, PLATFORMS)
  _option('jax_platforms', PLATFORMS[name])


def check_platform(name: str | None) -> None:
  """Raise InputError if the platform that was chosen is not there."""
  if name is None:
    return
  import jax

  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:  # JAX asserts where a plugin is missing altogether
    reason = next(iter(str(error).splitlines()), 'JAX finds no such device')
    raise InputError(f'--platform={name} is not available here: {reason}') from error


def _option(name: str, value: Any) -> None:
  """Set a JAX option, whether JAX has been imported already (by a config file, say) or will be."""
  os.environ[name.upper()] = str(value)
  if 'jax' in sys.modules:
    sys.modules['jax'].config.update(name, value)


def _keep_freed_memory() -> str:
  """Make malloc keep what XLA frees: on CPU each call's temporaries are otherwise mapped and faulted in again.

  One arena for all threads: what does not fit the heap of a thread's own arena is mapped in spite of mmap_max. It must
  be set before there are threads.
  """
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (OSError, AttributeError):  # not glibc
    return 'default'
  if mallopt(M_ARENA_MAX, 1) and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1):
    return 'arena_max=1 mmap_max=0 trim_threshold=2GiB'
  return 'default'


def _vector_width() -> str:
  """Ask for 512-bit vectors where the processor has them: XLA prefers 256, which slows transcendental functions."""
  flag = '--xla_cpu_prefer_vector_width=512'
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  flags = os.environ.get('XLA_FLAGS', '')
  if 'xla_cpu_prefer_vector_width' not in flags and cpuinfo.exists() and ' avx512f' in cpuinfo.read_text():
    flags = f'{flags} {flag}'.strip()
    os.environ['XLA_FLAGS'] = flags
  return flags


class StderrHandler(logging.Handler):
  """Log lines on what stderr is at the moment: above a progress bar on a terminal, with the time elsewhere."""

  def emit(self, record: logging.LogRecord) -> None:
    try:
      line, stream = self.format(record), sys.stderr
      if not stream.isatty():
        line = f'{time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))} {line}'
      if 'tqdm' in sys.modules:
        sys.modules['tqdm'].tqdm.write(line, file=stream)
      else:
        stream.write(line + '\n')
        stream.flush()
    except Exception:
      self.handleError(record)


def _log_to_stderr() -> None:
  """Log to stderr; what libraries log does not show: what matters of it is raised too."""
  if not log.handlers:
    log.addHandler(StderrHandler())
    log.propagate = False
  log.setLevel(logging.INFO)  # also after a program of the same process that logs less
  for name in ('absl', 'asyncio'):  # asyncio: of several reads of a damaged checkpoint, the first error is raised
    logging.getLogger(name).setLevel(logging.CRITICAL)


def silence_native_stdout() -> None:
  """Drop what libraries write to file descriptor 1, such as Gloo's line for every group of processes; keep Python's."""
  if sys.stdout is None:
    return
  sys.stdout.flush()
  try:
    own = os.dup(1)
  except OSError:  # it is closed
    return
  sys.stdout = open(own, 'w', 1 if os.isatty(own) else -1, sys.stdout.encoding, 'replace')  # noqa: SIM115
  with open(os.devnull, 'w') as nowhere:
    os.dup2(nowhere.fileno(), 1)


def device_line() -> str:
  """Return the devices in words, e.g. `AMD EPYC 9R14 × 1 (cpu)` or `NVIDIA H200 × 8 (gpu)`."""
  import jax

  devices = jax.devices()
  kind = _processor() if devices[0].platform == 'cpu' else devices[0].device_kind
  return f'{kind} × {len(devices)} ({devices[0].platform})'


def _processor() -> str:
  """Return the processor's name; JAX calls every one of them cpu."""
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
  names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
  return names[0] if names else platform.processor() or 'cpu'
