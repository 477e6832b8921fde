"""Refuse what cannot fit this machine, by its size alone, before anything of it is built.

Every estimate is a lower bound, so that what is refused could not have been trained: parameters with their gradients
and optimizer state, one stored input a block, the outputs, and the batch itself.
"""

import math
import os
import pathlib

import jax
from jax.sharding import Mesh

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models import Model, count_parameters
from seqmodels.spec import Spec, Tokens, Vectors
from training.mesh_settings import MeshSettings
from training.settings import EvalSettings, TrainSettings

# Bytes a parameter in float32: itself, its gradient, and what the optimizer keeps of it.
BYTES = {'sgd': 8, 'adafactor': 8, 'lion': 12, 'muon': 12}
USUAL_BYTES = 16  # of AdamW and Adam
FETCHED = 8  # bytes a position of a batch while it is gathered
ORDERED = 128  # bytes a row of a batch for the order of the examples


def check_config(config: ModelConfig, optimizer: str = 'adamw', mesh: MeshSettings = MeshSettings()) -> None:
  """Raise InputError for a model whose parameters cannot be trained here, by its fields alone.

  A block has at least width² parameters, and those of its feed-forward. mesh: over whose devices they may be split.
  """
  splits = mesh.fsdp != 1 or mesh.tensor != 1
  shares = jax.device_count() if splits and jax.local_devices()[0].platform != 'cpu' else 1
  if config.params:
    _check_parameters(f'model.params={config.params:g}', config.params, optimizer, shares, mesh.zero)
    return
  block = config.width**2 * (1 + (2 * config.feedforward if config.block != 'plain' else 0))
  what = f'model.width={config.width} and model.depth={config.depth}'
  if config.feedforward > 4:
    what += f' and model.feedforward={config.feedforward:g}'
  _check_parameters(what, config.depth * block, optimizer, shares, mesh.zero)


def check_training(
  model: Model, spec: Spec, settings: TrainSettings, evaluation: EvalSettings, mesh: Mesh, zero: int = 0
) -> None:
  """Raise InputError for a run whose parameters, activations or batches do not fit the memory.

  Args:
    model: only its abstract parameters are read.
    spec: of the training task.
    settings: with the segment in positions (`for_task`).
    evaluation: likewise.
    mesh: its devices share the parameters, the batch and the states; at best each has an equal part.
    zero: of MeshSettings.
  """
  width = f'model.width={model.config.width} and model.depth={model.config.depth}'
  shares = min(_shares(mesh), mesh.shape['fsdp'] * mesh.shape['tensor'])
  _check_parameters(width, count_parameters(model), settings.optimizer, shares, zero)
  positions = settings.segment or spec.length
  rows = settings.batch_size // settings.accumulate
  size = 2 if model.config.dtype == 'bfloat16' else 4
  stored = positions * model.config.width * model.config.depth * size
  outputs = positions if spec.readout == 'every' else 1
  needed = rows * (stored + outputs * _numbers(spec.output) * 4) // _shares(mesh)
  _check('train.batch_size', settings.batch_size, f'activations of {rows:,} rows of {positions:,} positions', needed)
  whole = spec.length * _numbers(spec.input, of_tokens=1) * FETCHED
  _check('train.batch_size', settings.batch_size, 'a batch', settings.batch_size * (whole + ORDERED), host=True)
  if settings.segment:
    needed = state_bytes(model, settings.batch_size, settings.memory) // _shares(mesh)
    _check('train.memory', settings.memory, f'the states of {settings.batch_size:,} rows', needed)
  if evaluation.segment:
    needed = state_bytes(model, evaluation.streams, evaluation.memory) // _shares(mesh)
    _check('eval.memory', evaluation.memory, f'the states of {evaluation.streams:,} streams', needed)
  else:
    needed = evaluation.batch_size * (outputs * _numbers(spec.output) * 4 + ORDERED)
    _check('eval.batch_size', evaluation.batch_size, 'outputs', needed // _shares(mesh))
  if evaluation.beams > 1:  # on one device
    written = evaluation.batch_size if evaluation.free_running < 0 else evaluation.free_running
    rows = evaluation.beams * min(evaluation.batch_size, written)
    each = state_bytes(model, 1, spec.length) + 4 * (2 * spec.length + _numbers(spec.output))
    _check('eval.beams', evaluation.beams, f'the beams of {rows:,} rows', rows * each)


def _check_parameters(what: str, count: float, optimizer: str, shares: int, zero: int) -> None:
  """shares: devices that split the parameters; zero: all but the parameters themselves may be split further."""
  each = 4 if zero else BYTES.get(optimizer, USUAL_BYTES)
  memory = memory_bytes()
  if count * each > memory * shares:
    needed = f'{_gigabytes(count * each)} to train with {optimizer} ({each} bytes each)'
    has = f'this machine has {_gigabytes(memory)}' + (f' on each of {shares} devices' if shares > 1 else '')
    raise InputError(f'{what}: at least {count:.3g} parameters need {needed}; {has}')


def _check(field: str, value: int, what: str, needed: float, host: bool = False) -> None:
  memory = host_bytes() if host else memory_bytes()
  if needed > memory:
    raise InputError(
      f'{field}={value}: {what} need at least {_gigabytes(needed)}; this machine has {_gigabytes(memory)}'
    )


def state_bytes(model: Model, rows: int, length: int) -> int:
  """Return the bytes of the states of `rows` sequences with room for `length` tokens."""
  state = jax.eval_shape(lambda: model.init_state(rows, length))
  return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def memory_bytes() -> int:
  """Return the memory of a device: of the host where the device is a CPU."""
  device = jax.local_devices()[0]
  if device.platform == 'cpu':
    return host_bytes()
  return int((device.memory_stats() or {}).get('bytes_limit', 2**63 - 1))


def host_bytes() -> int:
  """Return the memory that this process may use: of the machine, or of its control group where that has less."""
  total = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  for file in ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'):
    try:
      total = min(total, int(pathlib.Path(file).read_text()))
    except (OSError, ValueError):  # no such group, or "max"
      continue
  return total


def _numbers(kind: Tokens | Vectors, of_tokens: int = 0) -> int:
  """Return the numbers a position has; `of_tokens` for ids instead of their vocabulary."""
  return of_tokens if of_tokens and isinstance(kind, Tokens) else kind.size


def _shares(mesh: Mesh) -> int:
  """Return the devices that memory is divided over; those of a CPU host share one."""
  return 1 if mesh.devices.flat[0].platform == 'cpu' else mesh.size


def _gigabytes(count: float) -> str:
  return f'{count / 2**30:,.3g} GiB' if count < 2**40 else f'{count / 2**40:,.3g} TiB'
