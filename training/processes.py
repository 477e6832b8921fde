"""Several processes of one run: how they find each other, agree, and end together.

A run of one process needs nothing of this: every function here is then a matter of that process alone.
"""

import contextlib
import glob
import importlib.util
import json
import logging
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from seqmodels.errors import InputError, one_line
from training import runtime
from training.waiting import IO_TIMEOUT, within
from training.waiting import start as watch

FLAGS = ('coordinator', 'process_index', 'process_count', 'init_timeout', 'heartbeat_timeout', 'io_timeout')
INIT_TIMEOUT, HEARTBEAT_TIMEOUT = 300, 100  # seconds
TPU_VM = 'the workers of this TPU VM'  # which the metadata of the machine names
SLURM_STEP = 'SLURM_STEP_NODELIST'  # which srun sets
LATER = 60  # seconds by which JAX's timeout comes after ours
log = logging.getLogger('seqmodels')
_met: list[str] = []  # where this process has met others


class Settings(NamedTuple):
  """How the processes of a run find each other; see the flags of the same names."""

  coordinator: str = ''
  process_index: int | None = None
  process_count: int | None = None
  init_timeout: int = INIT_TIMEOUT
  heartbeat_timeout: int = HEARTBEAT_TIMEOUT
  io_timeout: int = IO_TIMEOUT

  @property
  def explicit(self) -> bool:
    return bool(self.coordinator)

  def share(self, devices: int) -> int:
    """Return how many of all `devices` each process has. Raises InputError where they cannot have equally many."""
    number = (self.process_count if self.explicit else scheduler(os.environ)[2]) or 1
    if devices > 1 and devices % number:
      raise InputError(f'a mesh of {devices} devices cannot be divided among {number} processes')
    return devices // number


def settings(flags: Mapping[str, Any]) -> Settings:
  """Return the settings of the flags that were given. Raises InputError for some without the others."""
  found = Settings(**flags)
  three = ('coordinator', 'process_index', 'process_count')
  missing = [f'--{name}' for name in three if flags.get(name) is None]
  if len(missing) not in (0, len(three)):
    raise InputError(f'{", ".join(missing)} is missing: {", ".join(f"--{name}" for name in three)} go together')
  if found.explicit:
    _, _, port = found.coordinator.rpartition(':')
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 2**16 and len(found.coordinator) > len(port) + 1):
      raise InputError(f'--coordinator={found.coordinator} must be HOST:PORT of the process with index 0')
    assert found.process_index is not None
    assert found.process_count is not None
    if found.process_index >= found.process_count:
      raise InputError(
        f'--process_index={found.process_index} must be below --process_count={found.process_count}: they count from 0'
      )
  return found


def scheduler(environ: Mapping[str, str]) -> tuple[str, int | None, int | None]:
  """Return what has started this process as one of several, with its index and their number where the environment says.

  The name is empty for a process of its own.
  """
  number = lambda name: int(environ[name]) if environ.get(name, '').isdecimal() else None
  tasks = number('SLURM_STEP_NUM_TASKS') or number('SLURM_NTASKS')
  if {'SLURM_PROCID', SLURM_STEP} <= environ.keys() and (tasks or 1) > 1:
    return 'SLURM', number('SLURM_PROCID'), tasks
  if 'KUBERNETES_SERVICE_HOST' in environ and 'JOB_COMPLETION_INDEX' in environ:
    return 'Kubernetes', number('JOB_COMPLETION_INDEX'), number('JOB_COMPLETIONS')
  hosts = [host for host in environ.get('TPU_WORKER_HOSTNAMES', '').split(',') if host]
  if len(hosts) > 1:
    return 'a TPU pod', number('TPU_WORKER_ID'), len(hosts)
  if 'MEGASCALE_COORDINATOR_ADDRESS' in environ:
    return 'TPU slices', None, None
  if importlib.util.find_spec('libtpu') and not environ.get('TPU_SKIP_MDS_QUERY') and any(glob.glob('/dev/accel*')):
    return TPU_VM, None, None
  return '', None, None


def start(asked: Settings) -> None:
  """Join the other processes of this run, if there are any; call it before JAX looks for devices.

  Blocks until all are there, or the time is over. Raises InputError with one line that names the coordinator.
  """
  name, index, count = scheduler(os.environ)
  if not asked.explicit and not name:
    if tasks := _tasks_without_srun(os.environ):
      log.warning('SLURM_NTASKS=%s, and this process runs alone: start all of them with `srun python main.py …`', tasks)
    return
  if asked.explicit:
    name, index, count = asked.coordinator, asked.process_index, asked.process_count
  some = lambda value, unknown: unknown if value is None else str(value)
  log.info('waiting for %s processes at %s, this is %s', some(count, 'all'), name, some(index, 'one of them'))
  runtime.silence_native_stdout()
  import jax

  # Its handler of SIGTERM takes the place of ours, which ask the other processes at every step (`Vote`).
  jax.config.update('jax_enable_preemption_service', False)
  chosen = (asked.coordinator, asked.process_count, asked.process_index) if asked.explicit else (None, None, None)
  times = {'initialization_timeout': asked.init_timeout + LATER, 'heartbeat_timeout_seconds': asked.heartbeat_timeout}
  clock = threading.Timer(asked.init_timeout, _give_up, [name, asked.init_timeout])
  clock.daemon = True
  clock.start()
  try:
    jax.distributed.initialize(*chosen, **times)  # type: ignore[arg-type]
  except (RuntimeError, ValueError, OSError) as error:
    if name == TPU_VM and isinstance(error, ValueError):  # it has no others
      return
    raise InputError(f'the processes of this run at {name} do not meet: {_cause(error)}') from error
  finally:
    clock.cancel()
  _met.append(name)
  watch(asked.io_timeout, has_grace=is_first())  # the others' runtime aborts them when the first is gone
  _check_count(count, name)


def _tasks_without_srun(environ: Mapping[str, str]) -> int:
  """Return how many tasks a job of SLURM has, where srun has not started this process and there are several; else 0."""
  tasks = environ.get('SLURM_NTASKS', '')
  is_several = 'SLURM_JOB_ID' in environ and SLURM_STEP not in environ and tasks.isdecimal() and int(tasks) > 1
  return int(tasks) if is_several else 0


def _give_up(name: str, seconds: int) -> None:
  """End the process with one line. JAX's own timeout aborts it, with a stack trace."""
  os.write(2, f'error: --init_timeout={seconds}: not all processes have met at {name} by then\n'.encode())
  os._exit(2)


def _cause(error: Exception) -> str:
  return one_line(error).partition('Additional GRPC')[0][:200]


def _check_count(count: int | None, name: str) -> None:
  """Say how many processes and devices there are; InputError where they are not as many as were asked for."""
  import jax

  found, local = jax.process_count(), jax.local_device_count()
  if count is not None and found != count:
    raise InputError(f'{name} has {count} processes, and {found} have met')
  if jax.device_count() != found * local:
    raise InputError(f'{found} processes have {jax.device_count()} devices, {local} of them here: give each as many')
  log.info('%d processes × %d devices; this is process %d on %s', found, local, index(), socket.gethostname())
  if index():
    log.setLevel(logging.ERROR)  # process 0 speaks for all


def index() -> int:
  """Return the number of this process; 0 in a run of one."""
  if not _met:
    return 0
  import jax

  return jax.process_index()


def count() -> int:
  """Return how many processes the run has."""
  if not _met:
    return 1
  import jax

  return jax.process_count()


def is_first() -> bool:
  """Return whether this process writes the files and the log of the run."""
  return index() == 0


def gather(value: Any, waited_for: str = '') -> list[Any]:
  """Return every process's `value` (JSON), in their order.

  waited_for: the files that the others may still be reading or writing, for the line of a time-out; empty: there is no
  limit, since they may be computing.
  """
  if count() == 1:
    return [value]
  import numpy as np
  from jax.experimental import multihost_utils

  text = np.frombuffer(json.dumps(value).encode(), np.uint8)
  with within(waited_for) if waited_for else contextlib.nullcontext():
    sizes = multihost_utils.process_allgather(np.int32(len(text)))
    padded = np.pad(text, (0, int(sizes.max()) - len(text)))
    rows = multihost_utils.process_allgather(padded)
  return [json.loads(bytes(row[:size])) for row, size in zip(rows, sizes.tolist(), strict=True)]


def check_same(name: str, values: Mapping[str, Any]) -> None:
  """Raise InputError unless all processes have the same values, by name."""
  for other, theirs in enumerate(gather(dict(values), f'reading {name}')):
    for field in values.keys() | theirs.keys():
      if theirs.get(field) != values.get(field):
        here, there = values.get(field), theirs.get(field)
        raise InputError(f'{name} differs: {field} is {here!r} here and {there!r} in process {other}')


def together(name: str, problem: Exception | None) -> None:
  """Wait for all processes; raise the problem of this one, or InputError where another has one.

  Whatever only one process does is followed by this, so that no other waits for what will not come.
  """
  if count() == 1:
    if problem is not None:
      raise problem
    return
  problems = gather('' if problem is None else one_line(problem), name)
  if problem is not None:
    raise problem
  for other, text in enumerate(problems):
    if text:
      raise InputError(f'{name}: process {other} has ended: {text}')


def agreed(name: str, call: Callable[[], Any]) -> Any:
  """Return `call()` in every process, or raise in all of them where it raises InputError in one."""
  problem, result = None, None
  try:
    with within(name):
      result = call()
  except InputError as error:
    problem = error
  together(name, problem)
  return result


class Vote:
  """Ask at every step whether any process wants to stop, without waiting for the answer of this step.

  All processes ask equally often, and get the answer to their previous question, which is the same for all.
  """

  def __init__(self) -> None:
    self._pending: Any = None
    if count() > 1:
      import jax
      import numpy as np
      from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

      mesh = Mesh(np.asarray(jax.devices()), ('all',), axis_types=(AxisType.Auto,))
      self._split, whole = NamedSharding(mesh, PartitionSpec('all')), NamedSharding(mesh, PartitionSpec())
      self._largest = jax.jit(lambda wishes: wishes.max(), out_shardings=whole)

  def __call__(self, wish: int) -> int:
    """Return the largest wish of the previous question; 0 at first. With one process, its own wish at once."""
    if count() == 1:
      return wish
    import jax
    import numpy as np

    before, wishes = self._pending, np.full(jax.local_device_count(), wish, np.int32)
    self._pending = self._largest(jax.make_array_from_process_local_data(self._split, wishes))
    return 0 if before is None else int(before)


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
  """End a process that fails inside at once, where there are others, which then notice that it is gone.

  Leaving by the front door would wait for them, and they for this one.
  """
  try:
    yield
  except Exception as error:
    if count() == 1 or isinstance(error, InputError):
      raise
    if _is_lost_peer(error):
      print(f'error: another process of this run has ended ({_cause(error)})', file=sys.stderr)
    else:
      traceback.print_exc()
    leave(1)
  except SystemExit as stopped:
    if isinstance(stopped.code, str) and count() > 1:
      print(stopped.code, file=sys.stderr)
      leave(1)
    raise


def _is_lost_peer(error: BaseException) -> bool:
  """Return whether an error of the runtime says that another process is gone."""
  words = ('Connection closed by peer', 'Connection reset by peer', 'Gloo', 'heartbeat', 'UNAVAILABLE', 'Socket closed')
  return any(word in str(error) for word in words)


def leave(code: int) -> None:
  """End this process at once where there are others; do nothing in a run of one."""
  if count() > 1:
    for stream in (sys.stdout, sys.stderr):
      stream.flush()
    time.sleep(0.1)  # for what other threads write
    os._exit(code)
