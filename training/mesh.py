"""Data parallelism: one mesh axis `data`; batches and carried state are split over it, parameters are replicated."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from seqmodels.errors import InputError

DATA = 'data'


def make_mesh(devices: int = 0) -> Mesh:
  """A mesh over `devices` devices; 0: all, but one on CPU, where devices are shares of the same cores."""
  available = jax.devices()
  count = devices or (1 if available[0].platform == 'cpu' else len(available))
  if count > len(available):
    raise InputError(f'--devices={devices} is more than the {len(available)} available')
  return jax.make_mesh((count,), (DATA,), axis_types=(AxisType.Auto,), devices=available[:count])


def check_divisible(field: str, batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
  """InputError unless every device gets the same number of rows of every microbatch."""
  if batch_size % (mesh.size * accumulate):
    shares = f'{mesh.size} devices' + (f' × {accumulate} microbatches' if accumulate > 1 else '')
    raise InputError(f'{field}={batch_size} must be a multiple of {shares}')


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
  """Along the first axis."""
  return NamedSharding(mesh, PartitionSpec(DATA))


def put_batch(batch: Any, mesh: Mesh) -> Any:
  """A batch of NumPy arrays [b ...] on the devices, split over `data`. Each process gives its own rows."""
  if jax.process_count() == 1:
    return jax.device_put(batch, split(mesh))
  return jax.tree.map(lambda x: jax.make_array_from_process_local_data(split(mesh), np.asarray(x)), batch)


def carry_shardings(axes: Any, mesh: Mesh) -> Any:
  """Where the leaves of a carried state live: split over `data` along their batch axis (`context.batch_axes`)."""

  def sharding(axis: int) -> NamedSharding:
    return replicated(mesh) if axis < 0 else NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA))

  return jax.tree.map(sharding, axes)


def must_wait(mesh: Mesh) -> bool:
  """Whether each step must end before the next is dispatched: several CPU devices abort when collectives queue up."""
  return mesh.size > 1 and mesh.devices.flat[0].platform == 'cpu'
