"""Say how the arrays of a run lie on its mesh, and refuse a mesh on which too much of them is replicated."""

import math
from typing import Any

import jax
from jax.sharding import Mesh

from seqmodels.errors import InputError
from training.mesh import words
from training.mesh_settings import MeshSettings
from training.trees import flatten

SMALL = 64 * 10**6  # bytes that may lie whole on every device, whatever their share: 0.4 % of the 16 GiB of a TPU v5e


def summary(trees: dict[str, tuple[Any, Any]], mesh: Mesh, settings: MeshSettings) -> str:
  """Return in a line how arrays lie: bytes, bytes a device, and the share that is whole on every device.

  trees: name → (abstract arrays, shardings). Raises InputError where fsdp or tensor is above 1 and more than
  `settings.max_replicated` of the bytes, and more than SMALL bytes, are whole.
  """
  parts, total, whole = [], 0, 0
  largest = (0, '')
  for name, (arrays, shardings) in trees.items():
    size = local = kept = 0
    for (path, leaf), sharding in zip(flatten(arrays).items(), jax.tree.leaves(shardings), strict=True):
      here = math.prod(sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
      size, local = size + leaf.size * leaf.dtype.itemsize, local + here
      if sharding.is_fully_replicated:
        kept += here
        largest = max(largest, (here, f'{name}/{path} {list(leaf.shape)}'), key=lambda found: found[0])
    total, whole = total + size, whole + kept
    parts.append(f'{name}: {_amount(size)}, {_amount(local)} a device, {kept / max(size, 1):.1%} on every device')
  if mesh.shape['fsdp'] * mesh.shape['tensor'] > 1 and whole > max(settings.max_replicated * total, SMALL):
    raise InputError(
      f'mesh.max_replicated={settings.max_replicated:g}: {whole / total:.3f} of the bytes of {" and ".join(trees)} lie '
      f'whole on every device of the mesh {words(mesh)}; the largest is {largest[1]} of {_amount(largest[0])}: choose '
      'sizes that divide its axes, a lower mesh.min_size, or mesh.rules'
    )
  return f'mesh {words(mesh)} | {" | ".join(parts)}'


def _amount(count: float) -> str:
  """Return a number of bytes in words."""
  power = min(int(math.log(max(count, 1), 1000)), 4)
  return f'{count / 1000**power:.3g} {("B", "kB", "MB", "GB", "TB")[power]}'
