"""The `mesh` section of a config, and the flag --mesh that sets its sizes. Imports no JAX."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqmodels.errors import InputError, shown, unknown
from seqmodels.fields import checked_fields, read

MESH_AXES = ('data', 'fsdp', 'sequence', 'tensor')  # outermost first
PARAMETER_AXES = ('data', 'fsdp', 'tensor')  # of these, parameters can be split over
REST, CHOSEN = -1, 0  # of the size of a mesh axis
MOST_ON_AN_AXIS = 2**20


@dataclass(frozen=True)
class MeshSettings:
  """The fields of `config.mesh`: how a run is spread over devices. `--mesh=data:2,fsdp:4` sets the sizes.

  data            devices that split the batch and hold all parameters; 0: as many as remain, but 1 on a CPU, whose
                  devices are shares of the same cores
  fsdp            devices that split the batch, and the parameters along one of their axes (Zhao et al. 2023)
  sequence        devices that split the tokens of each row, for mixers that can be split over time
  tensor          devices that split heads, feed-forward and vocabulary (Shoeybi et al. 2019). Of one of the four, -1
                  means: as many as remain
  zero            1: the optimizer state is split over `data` as well (Rajbhandari et al. 2020, stage 1)
  min_size        numbers of a parameter, in one layer, from which on it is split over `fsdp`
  max_replicated  largest share of the bytes of parameters and optimizer state that may lie whole on every device, on a
                  mesh with fsdp or tensor above 1; 64 MB always may, so that small models can be tried
  rules           exceptions, with semicolons between them: a regular expression that is found in a parameter's path,
                  and where its axes go: "embed/embedding=vocab:fsdp; norm.*=" (nowhere: whole on every device)
  """

  data: int = CHOSEN
  fsdp: int = 1
  sequence: int = 1
  tensor: int = 1
  zero: int = 0
  min_size: int = 4096
  max_replicated: float = 0.1
  rules: str = ''

  def __post_init__(self) -> None:
    for name, size in self.sizes.items():
      if not (size == REST or size >= (CHOSEN if name == 'data' else 1)):
        raise InputError(f'mesh.{name}={size} must be at least 1, or -1 (as many devices as remain)')
      if size > MOST_ON_AN_AXIS:
        raise InputError(f'mesh.{name}={size} must be at most {MOST_ON_AN_AXIS}')
    rest = [f'mesh.{name}=-1' for name, size in self.sizes.items() if size == REST]
    if len(rest) > 1:
      raise InputError(f'{" and ".join(rest)}: at most one size may be -1 (as many devices as remain)')
    if self.zero not in (0, 1):
      raise InputError(f'mesh.zero={self.zero} must be 0 or 1')
    if self.min_size < 0:
      raise InputError(f'mesh.min_size={self.min_size} must not be negative')
    if not 0 <= self.max_replicated <= 1:
      raise InputError(f'mesh.max_replicated={self.max_replicated} must be in [0, 1]')
    self.exceptions()

  @property
  def sizes(self) -> dict[str, int]:
    """The sizes of the mesh axes, outermost first."""
    return {name: getattr(self, name) for name in MESH_AXES}

  @property
  def devices(self) -> int:
    """The number of devices; 0 where it depends on how many there are."""
    sizes = self.sizes.values()
    return 0 if REST in sizes else math.prod(size or 1 for size in sizes)

  def exceptions(self) -> list[tuple[re.Pattern[str], dict[str, str]]]:
    """Return `rules` as (regular expression, {axis of a parameter: axis of the mesh}), in their order."""
    found = []
    for rule in filter(None, (part.strip() for part in self.rules.split(';'))):
      pattern, equals, text = rule.rpartition('=')
      pairs = [pair.strip().partition(':') for pair in text.split(',') if pair.strip()]
      if not (equals and pattern.strip() and all(colon and name and target for name, colon, target in pairs)):
        raise InputError(f'mesh.rules entry {shown(rule)} must be <regular expression>=<axis>:<mesh axis>[,…]')
      for _, _, target in pairs:
        if target not in PARAMETER_AXES:
          raise unknown(f'mesh.rules entry {shown(rule)}: mesh axis', target, PARAMETER_AXES)
      targets = [target for _, _, target in pairs]
      if len(set(targets)) < len(targets):
        raise InputError(f'mesh.rules entry {shown(rule)} names a mesh axis twice')
      try:
        found.append((re.compile(pattern.strip()), {name: target for name, _, target in pairs}))
      except re.error as error:
        raise InputError(f'mesh.rules entry {shown(rule)} is not a regular expression: {error}') from error
    return found


def mesh_sizes(text: str) -> dict[str, int]:
  """Return the sizes that `--mesh=data:-1,fsdp:4` names."""
  sizes: dict[str, int] = {}
  for part in text.split(','):
    name, colon, size = (piece.strip() for piece in part.partition(':'))
    if not (name and colon and size):
      raise InputError(f'--mesh={shown(text)} must be <axis>:<size> with commas between, as in data:-1,fsdp:4')
    if name not in MESH_AXES:
      raise unknown('--mesh axis', name, MESH_AXES)
    if name in sizes:
      raise InputError(f'--mesh={shown(text)} gives {name} twice')
    sizes[name] = read(f'mesh.{name}', size, int)
    if not sizes[name]:
      raise InputError(f'mesh.{name}=0 must be at least 1, or -1 (as many devices as remain)')
  return sizes


def mesh_settings(values: Mapping[str, Any]) -> MeshSettings:
  """Return MeshSettings from a ConfigDict or dict. Unknown fields and wrong types raise InputError."""
  return MeshSettings(**checked_fields(MeshSettings, values, 'mesh'))
