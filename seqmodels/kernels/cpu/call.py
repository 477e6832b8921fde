"""Call the handlers of the library, on one device or on several.

The compiler does not know how to split a foreign call, and would gather its arrays on every device. What is needed for
that is said here: which axis of each array is the batch, and which results are sums over it.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from seqmodels.kernels.cpu import library

SUM = 'sum'  # of a result: the sum of what the batch's parts give


@dataclasses.dataclass(frozen=True)
class Call:
  """A handler and how to split it.

  shapes    of the results, float32
  batch     the batch axis of each argument, None where it has none
  results   the batch axis of each result; None: the same for all parts of the batch; SUM
  in_place  pairs (argument, result): the result is written over the argument
  """

  name: str
  shapes: tuple[tuple[int, ...], ...]
  batch: tuple[int | None, ...]
  results: tuple[int | str | None, ...]
  attributes: tuple[tuple[str, Any], ...] = ()
  in_place: tuple[tuple[int, int], ...] = ()

  def local(self, rows: int) -> 'Call':
    """Return the call for a batch of `rows`."""
    resize = lambda shape, axis: tuple(rows if i == axis else n for i, n in enumerate(shape))
    return dataclasses.replace(self, shapes=tuple(map(resize, self.shapes, self.results)))


def call(
  name: str,
  shapes: Sequence[Sequence[int]],
  arrays: Sequence[jax.Array],
  batch: Sequence[int | None],
  results: Sequence[int | str | None],
  in_place: Mapping[int, int] | None = None,
  **attributes: Any,
) -> list[jax.Array]:
  """Return the results of the handler `seqmodels_<name>`; see `Call`. Arrays without elements have no batch."""
  has_batch = tuple(axis if a.size else None for axis, a in zip(batch, arrays, strict=True))
  is_there = lambda shape: 0 not in shape
  returned = tuple(axis if is_there(shape) else None for axis, shape in zip(results, shapes, strict=True))
  how = Call(
    name,
    tuple(map(tuple, shapes)),
    has_batch,
    returned,
    tuple(sorted(attributes.items())),
    tuple((in_place or {}).items()),
  )
  return list(_batched(how)(*arrays))


@functools.cache
def _batched(how: Call) -> Callable[..., Any]:
  library.load()
  return sequential_vmap(functools.partial(_partitioned, how))


def _foreign(how: Call, *arrays: jax.Array) -> Any:
  types = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in how.shapes]
  foreign = jax.ffi.ffi_call(f'seqmodels_{how.name}', types, input_output_aliases=dict(how.in_place))
  return tuple(foreign(*arrays, **dict(how.attributes)))


_partitioned = custom_partitioning(_foreign, static_argnums=(0,))


def _axes(how: Call, arguments: Sequence[Any]) -> Any:
  """Return the mesh axes that the batch is split over."""
  for axis, argument in zip(how.batch, arguments, strict=True):
    spec = argument.sharding.spec if axis is not None else ()
    if axis is not None and axis < len(spec) and spec[axis] is not None:
      return spec[axis]
  return None


def _shardings(how: Call, mesh: Any, axes: Any) -> tuple[tuple[NamedSharding, ...], tuple[NamedSharding, ...]]:
  at = lambda axis: NamedSharding(
    mesh, PartitionSpec(*[None] * axis, axes) if isinstance(axis, int) else PartitionSpec()
  )
  return tuple(map(at, how.batch)), tuple(map(at, how.results))


def _partition(how: Call, mesh: Any, arguments: Any, results: Any) -> Any:
  del results
  axes = _axes(how, arguments)
  of_arguments, of_results = _shardings(how, mesh, axes)

  def part(*arrays: jax.Array) -> Any:
    rows = next(a.shape[axis] for a, axis in zip(arrays, how.batch, strict=True) if axis is not None)
    found = _foreign(how.local(rows), *arrays)
    if axes is None:
      return found
    add = lambda a, axis: jax.lax.psum(a, axes) if axis == SUM else a
    return tuple(map(add, found, how.results))

  return mesh, part, of_results, of_arguments


def _infer(how: Call, mesh: Any, arguments: Any, results: Any) -> Any:
  del results
  return _shardings(how, mesh, _axes(how, arguments))[1]


def _rule(how: Call, mesh: Any, arguments: Any, results: Any) -> tuple[str, dict[str, Any]]:
  """Return the rule: the batch is one factor of all arrays, every other axis a factor of its own, which stays whole."""
  del mesh
  whole: list[str] = []

  def name(is_batch: bool) -> str:
    if not is_batch:
      whole.append(f'whole{len(whole)}')
    return 'batch' if is_batch else whole[-1]

  names = lambda array, axis: ' '.join(name(i == axis) for i in range(array.rank))
  join = lambda arrays, axes: ', '.join(map(names, arrays, axes))
  rule = f'{join(arguments, how.batch)} -> {join(results, how.results)}'
  return rule, {'need_replication_factors': tuple(whole)}


_partitioned.def_partition(partition=_partition, infer_sharding_from_operands=_infer, sharding_rule=_rule)
