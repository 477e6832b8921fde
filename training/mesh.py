"""The devices of a run as a mesh with the axes of `MESH_AXES`; batches are split over the first two."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from seqmodels.errors import InputError
from training import processes
from training.mesh_settings import CHOSEN, MESH_AXES, REST, MeshSettings

BATCH = ('data', 'fsdp')  # the axes that the rows of a batch are split over
SEQUENCE = 'sequence'  # the axis that the tokens of a row are split over


def make_mesh(settings: MeshSettings = MeshSettings(), devices: Sequence[Any] | None = None) -> Mesh:
  """Return the mesh of `settings` over the first available devices; axes of size 1 are part of it.

  devices: of a topology that is not there (`training.plan`); a program for it must use all of them.
  Raises InputError for sizes that do not divide the number of devices.
  """
  available = list(jax.devices() if devices is None else devices)
  sizes = resolve(settings, len(available), available[0].platform)
  count, number = math.prod(sizes), processes.count()
  if number > 1 and count < len(available):
    raise InputError(f'a mesh of {count} devices leaves out some of the {len(available)} of {number} processes')
  if devices is not None and count < len(available):
    raise InputError(f'a mesh of {count} devices leaves out some of the {len(available)} of the topology')
  return Mesh(_arrange(sizes, available[:count]), MESH_AXES, axis_types=(AxisType.Auto,) * len(sizes))


def _arrange(sizes: tuple[int, ...], devices: list[Any]) -> np.ndarray:
  """Return the devices in the shape of the mesh, those of an axis close to each other; slices lie along `data`."""
  slices = len({getattr(device, 'slice_index', 0) for device in devices})
  if slices == 1:
    return mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
  data, *others = sizes
  if data % slices:
    raise InputError(f'mesh.data={data} must be a multiple of {slices}, the number of slices')
  within, between = (data // slices, *others), (slices, *(1 for _ in others))
  return mesh_utils.create_hybrid_device_mesh(within, between, devices, allow_split_physical_axes=True)


def resolve(settings: MeshSettings, available: int, platform: str) -> tuple[int, ...]:
  """Return the size of every axis on `available` devices of a platform."""
  sizes = settings.sizes
  if sizes['data'] == CHOSEN:
    sizes['data'] = 1 if REST in sizes.values() or (platform == 'cpu' and processes.count() == 1) else REST
  named = ', '.join(f'mesh.{name}={size}' for name, size in sizes.items() if size > 1) or 'mesh.data=1'
  count = math.prod(size for size in sizes.values() if size != REST)
  if count > available:
    raise InputError(f'{named}: {count} devices are more than the {available} available')
  if available % count:
    raise InputError(f'{named}: {count} must divide the {available} available devices')
  return tuple(available // count if size == REST else size for size in sizes.values())


def batch_shares(mesh: Mesh) -> int:
  """Return how many parts a batch is split into."""
  return math.prod(mesh.shape[name] for name in BATCH)


def words(mesh: Mesh) -> str:
  """Return the axes with more than one device, e.g. `data:2 fsdp:4`."""
  return ' '.join(f'{name}:{size}' for name, size in mesh.shape.items() if size > 1) or 'one device'


def check_divisible(field: str, batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
  """Raise InputError unless every part of the mesh gets the same number of rows of every microbatch."""
  count = batch_shares(mesh)
  if batch_size % (count * accumulate):
    axes = ' × '.join(f'{name}:{mesh.shape[name]}' for name in BATCH if mesh.shape[name] > 1)
    shares = f'{count} devices ({axes})' if axes else 'one device'
    shares += f' × {accumulate} microbatches' if accumulate > 1 else ''
    raise InputError(f'{field}={batch_size} must be a multiple of {shares}')


def check_parts(field: str, segment: int, mesh: Mesh) -> None:
  """Raise InputError unless `sequence` divides the segments that are read. Whole sequences are padded (`in_parts`)."""
  count = mesh.shape[SEQUENCE]
  if segment % count:
    raise InputError(f'mesh.{SEQUENCE}={count} must divide {field}={segment}')


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
  """Return the sharding of a batch: along its first axis."""
  return NamedSharding(mesh, PartitionSpec(BATCH))


def share_of_batch(mesh: Mesh) -> tuple[int, int]:
  """Return which part of every batch this process makes, and of how many: (index, count).

  Processes whose devices hold the same rows make the same part. Raises InputError where the rows of a process do not
  follow one another.
  """
  shares = batch_shares(mesh)
  held = split(mesh).addressable_devices_indices_map((shares,)).values()
  places = sorted({index[0].indices(shares)[0] for index in held if index is not None})
  if places != list(range(places[0], places[0] + len(places))) or places[0] % len(places) or shares % len(places):
    raise InputError(f'mesh {words(mesh)}: the rows of process {processes.index()} are not in one piece')
  return places[0] // len(places), shares // len(places)


def put_batch(batch: Any, mesh: Mesh) -> Any:
  """Return a batch of NumPy arrays [b ...] on the devices. Each process gives its own rows."""
  if jax.process_count() == 1:
    return jax.device_put(batch, split(mesh))
  return jax.tree.map(lambda x: jax.make_array_from_process_local_data(split(mesh), np.asarray(x)), batch)


def must_wait(mesh: Mesh) -> bool:
  """Return whether each step must end before the next is dispatched.

  Several CPU devices abort when collectives queue up (JAX 0.10.2).
  """
  return mesh.size > 1 and mesh.devices.flat[0].platform == 'cpu'
