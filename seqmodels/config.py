"""ModelConfig: what a model is, independent of any task. `from_dict` checks what a user wrote, field by field."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_origin, get_type_hints

from seqmodels.errors import InputError, unknown

BLOCKS = ('residual', 'plain')
POSITIONS = ('none', 'sinusoidal', 'learned', 'rotary')
DTYPES = ('float32', 'bfloat16')
LAYERS = ('auto', 'unroll', 'scan')
NORMS = ('rms', 'layer')


@dataclass(frozen=True)
class ModelConfig:
  """The fields of a model.

  pattern        mixers that repeat over the depth, e.g. ("rg_lru", "rg_lru", "sliding_window")
  depth          number of blocks; a multiple of the pattern's length
  width          model width d
  params         non-embedding parameters to solve the width for, within 2 %; 0: `width` stands
  block          residual: x + mixer(norm(x)), x + feedforward(norm(x)) (Xiong et al. 2020); plain: a classical stack
  norm           rms (Zhang & Sennrich 2019) or layer (Ba et al. 2016); residual blocks only
  feedforward    hidden width of the feed-forward as a multiple of the width; 0: none. With `params` it is adjusted
                 a little, so that the budget is met at a hardware-friendly width
  position       position encoding; none, sinusoidal and learned are added to the input, the others act in attention
  heads          attention heads; 0: the mixer chooses from the width. kv_heads: key/value heads; 0: as many as heads
  dropout        on the input and on every branch of a residual block (between layers of a plain one)
  tie_embeddings the output projection is the transposed token embedding
  dtype          of the computation; parameters and accumulating states are float32
  remat          recompute each block's activations in the backward pass (Chen et al. 2016)
  layers         unroll: one copy of the block's program a layer; scan: one program, scanned over the depth (compile
                 time does not grow with depth); auto: unroll on CPU, where scanned layers are slower, else scan
  mixer          options for mixers by name; each mixer takes those that it knows
  """

  pattern: tuple[str, ...] = ('attention',)
  depth: int = 2
  width: int = 128
  params: float = 0.0
  block: str = 'residual'
  norm: str = 'rms'
  feedforward: float = 4.0
  position: str = 'none'
  heads: int = 0
  kv_heads: int = 0
  dropout: float = 0.0
  tie_embeddings: bool = False
  dtype: str = 'float32'
  remat: bool = False
  layers: str = 'auto'
  mixer: dict[str, Any] = field(default_factory=dict)

  def __post_init__(self) -> None:
    for name in ('depth', 'width'):
      if getattr(self, name) <= 0:
        raise InputError(f'model.{name}={getattr(self, name)} must be at least 1')
    for name in ('params', 'feedforward', 'heads', 'kv_heads'):
      if getattr(self, name) < 0:
        raise InputError(f'model.{name}={getattr(self, name)} must not be negative')
    if not 0 <= self.dropout < 1:
      raise InputError(f'model.dropout={self.dropout} must be in [0, 1)')
    if not self.pattern:
      raise InputError('model.pattern is empty; name at least one mixer')
    if self.depth % len(self.pattern):
      raise InputError(
        f'model.depth={self.depth} must be a multiple of {len(self.pattern)}, as long as model.pattern={self.pattern}'
      )
    choices = {'block': BLOCKS, 'norm': NORMS, 'position': POSITIONS, 'dtype': DTYPES, 'layers': LAYERS}
    for name, allowed in choices.items():
      if getattr(self, name) not in allowed:
        raise unknown(f'model.{name}', getattr(self, name), allowed)
    if self.heads and self.width % self.heads and not self.params:
      raise InputError(f'model.heads={self.heads} must divide model.width={self.width}')

  def replace(self, **changes: Any) -> 'ModelConfig':
    return dataclasses.replace(self, **changes)


def from_dict(values: Mapping[str, Any]) -> ModelConfig:
  """A ModelConfig from a ConfigDict or dict. Unknown fields and wrong types raise InputError."""
  return ModelConfig(**checked_fields(ModelConfig, values, 'model'))


def checked_fields(cls: type, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
  """`values` as keyword arguments of the dataclass `cls`: names known, types right (an int serves as a float).

  Errors name the field as `prefix.field`.
  """
  hints = get_type_hints(cls)
  names = {f.name for f in dataclasses.fields(cls)}
  checked = {}
  for name, value in dict(values).items():
    if name not in names:
      raise unknown(f'{prefix} field', name, names)
    checked[name] = _checked(f'{prefix}.{name}', value, hints[name])
  return checked


def _checked(field_name: str, value: Any, hint: Any) -> Any:
  kind = get_origin(hint) or hint
  if kind is tuple:
    if isinstance(value, str):
      return tuple(part for part in value.replace('+', ' ').replace(',', ' ').split() if part)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
      return tuple(value)
  elif kind is dict:
    if isinstance(value, Mapping):
      return dict(value)
  elif kind is float:
    if isinstance(value, int | float) and not isinstance(value, bool):
      return float(value)
  elif kind is int:
    if isinstance(value, int) and not isinstance(value, bool):
      return value
  elif not isinstance(kind, type) or isinstance(value, kind):
    return value
  raise InputError(f'{field_name}={value!r} must be of type {getattr(kind, "__name__", kind)}')
