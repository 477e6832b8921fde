"""Where parameters and optimizer state lie on a mesh, by rules from the names of their axes to mesh axes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqmodels.context import LAYERS
from seqmodels.errors import InputError
from seqmodels.models import Model
from training.activations import Constrain, Entry, constrain, devices_of
from training.mesh_settings import MeshSettings

# Axis of a parameter → mesh axis, in this order: each mesh axis once an array, and only where it divides the size.
RULES = (
  ('vocab', 'tensor'),
  ('heads', 'tensor'),
  ('kv_heads', 'tensor'),
  ('mlp', 'tensor'),
  ('hidden', 'tensor'),
  ('embed', 'fsdp'),
)
# Parameters with such an axis are read slice by slice, and each slice would be gathered by itself.
SLICED = ('taps',)


class Placed(NamedTuple):
  """The axes of an array, its shape, and the mesh axes of each axis."""

  names: tuple[str, ...]
  shape: tuple[int, ...]
  entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Layout:
  """The shardings of a training run, each in the structure of what it is for.

  gradients: as the optimizer reads them, with zero=1 split over `data` too. carry: None without segments.
  """

  mesh: Mesh
  params: Any
  opt_state: Any
  gradients: Any
  carry: Any = None

  @property
  def constrain(self) -> Constrain | None:
    return constrain(self.mesh)


def make_layout(model: Model, opt_state: Any, mesh: Mesh, settings: MeshSettings, carry: Any = None) -> Layout:
  """Return the layout of a model's training. opt_state: abstract. carry: StateSpecs; None without segments.

  Raises InputError for a mesh that does not divide the heads, and for rules that do not fit the parameters.
  """
  placed = place(model, mesh, settings)

  def follow(path: str, leaf: Any) -> NamedSharding:
    found = _follow(path, leaf.shape, placed)
    if settings.zero and math.prod(leaf.shape) >= settings.min_size:
      found = _split_largest(found, 'data', mesh)
    return NamedSharding(mesh, PartitionSpec(*found.entries))

  states = None if carry is None else Constrain(mesh).states(carry)
  params = _shardings(placed, model.abstract_params, mesh)
  return Layout(mesh, params, map_paths(follow, opt_state), map_paths(follow, model.abstract_params), states)


def param_shardings(model: Model, mesh: Mesh, settings: MeshSettings = MeshSettings()) -> Any:
  """Return where the parameters lie, in their structure."""
  return _shardings(place(model, mesh, settings), model.abstract_params, mesh)


def place(model: Model, mesh: Mesh, settings: MeshSettings) -> dict[str, Placed]:
  """Return where each parameter lies, by its path."""
  exceptions = settings.exceptions()
  names: dict[str, tuple[str, ...]] = {}
  map_paths(lambda path, axes: names.update({path: axes}), model.axes, is_leaf=lambda node: isinstance(node, tuple))
  used, placed = set(), {}

  def one(path: str, leaf: Any) -> None:
    for number, (pattern, targets) in enumerate(exceptions):
      if pattern.search(path):
        used.add(number)
        placed[path] = _by_exception(path, Placed(names[path], leaf.shape, ()), targets, mesh)
        return
    placed[path] = _by_rules(path, names[path], leaf.shape, mesh, settings.min_size)

  map_paths(one, model.abstract_params)
  if unused := [pattern.pattern for number, (pattern, _) in enumerate(exceptions) if number not in used]:
    raise InputError(f'mesh.rules: {unused[0]!r} is found in no path of a parameter that an earlier rule leaves')
  return placed


def _by_rules(path: str, names: tuple[str, ...], shape: tuple[int, ...], mesh: Mesh, min_size: int) -> Placed:
  """Place a parameter by RULES; what they leave is split over `fsdp` along its largest axis that can be."""
  entries: list[Entry] = [None] * len(names)
  numbers = math.prod(n for name, n in zip(names, shape, strict=True) if name != LAYERS)
  is_large = numbers >= min_size and not set(names) & set(SLICED)
  for name, target in RULES:
    if name not in names or mesh.shape[target] == 1 or target in entries or (target == 'fsdp' and not is_large):
      continue
    i = names.index(name)
    if shape[i] % mesh.shape[target] == 0:
      entries[i] = target
    elif name == 'heads':
      raise InputError(f'mesh.{target}={mesh.shape[target]} must divide heads={shape[i]} of params/{path}')
  placed = Placed(names, shape, tuple(entries))
  return _split_largest(placed, 'fsdp', mesh) if is_large and 'fsdp' not in entries else placed


def _by_exception(path: str, placed: Placed, targets: dict[str, str], mesh: Mesh) -> Placed:
  """Place a parameter as one of the user's rules says."""
  axes = [name for name in placed.names if name != LAYERS]
  for name, target in targets.items():
    if name not in axes:
      raise InputError(f'mesh.rules: params/{path} has the axes {", ".join(axes)}, not {name}')
    size = placed.shape[placed.names.index(name)]
    if size % mesh.shape[target]:
      raise InputError(f'mesh.rules: {target}={mesh.shape[target]} must divide {name}={size} of params/{path}')
  entries = (targets.get(name) for name in placed.names)
  return placed._replace(entries=tuple(e if e and mesh.shape[e] > 1 else None for e in entries))


def _split_largest(placed: Placed, target: str, mesh: Mesh) -> Placed:
  """Return `placed` split over `target` as well: along its largest whole axis that it divides, never `layers`.

  Where there is none, along an axis that is split already.
  """
  count = mesh.shape[target]
  if count == 1:
    return placed
  axes = [i for i, name in enumerate(placed.names) if name != LAYERS]
  divided = [i for i in axes if placed.shape[i] % (count * devices_of(placed.entries[i], mesh)) == 0]
  if not divided:
    return placed
  best = max(divided, key=lambda i: (placed.entries[i] is None, placed.shape[i]))
  entries = list(placed.entries)
  before = entries[best]
  entries[best] = target if before is None else (*((before,) if isinstance(before, str) else before), target)
  return placed._replace(entries=tuple(entries))


def _follow(path: str, shape: tuple[int, ...], placed: dict[str, Placed]) -> Placed:
  """Return how an array of the optimizer's state lies: as the parameter whose path its own ends with.

  A factored moment has the parameter's axes but one. What has another shape is whole on every device.
  """
  parts = path.split('/')
  tails = ('/'.join(parts[i:]) for i in range(len(parts)))
  if (parameter := next((placed[tail] for tail in tails if tail in placed), None)) is not None:
    if parameter.shape == shape:
      return parameter
    for i in reversed(range(len(parameter.shape))):
      if parameter.shape[:i] + parameter.shape[i + 1 :] == shape:
        names, entries = parameter.names, parameter.entries
        return Placed(names[:i] + names[i + 1 :], shape, entries[:i] + entries[i + 1 :])
  return Placed(('',) * len(shape), shape, (None,) * len(shape))


def map_paths(function: Callable[[str, Any], Any], tree: Any, is_leaf: Any = None) -> Any:
  """Map `function` over (path, leaf)."""
  named = lambda path, leaf: function(jax.tree_util.keystr(path, simple=True, separator='/'), leaf)
  return jax.tree_util.tree_map_with_path(named, tree, is_leaf=is_leaf)


def _shardings(placed: dict[str, Placed], tree: Any, mesh: Mesh) -> Any:
  return map_paths(lambda path, _: NamedSharding(mesh, PartitionSpec(*placed[path].entries)), tree)
