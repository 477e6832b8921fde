"""ModelConfig: what a model is, independent of any task. `from_dict` checks what a user wrote, field by field."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seqmodels.errors import InputError, unknown
from seqmodels.fields import checked_fields, parse_pattern

__all__ = ['ModelConfig', 'checked_fields', 'from_dict', 'parse_pattern']

BLOCKS = ('residual', 'unskipped', 'plain')
POSITIONS = ('none', 'sinusoidal', 'learned', 'rotary', 'relative', 't5', 'alibi', 'transformer_xl')
DTYPES = ('float32', 'bfloat16')
LAYERS = ('auto', 'unroll', 'scan')
NORMS = ('rms', 'layer')
REMAT = ('none', 'block', 'dots')
# Above these a config is refused before anything is built; the largest models known are well below.
LARGEST = {
  'depth': 10_000,
  'encoder_depth': 10_000,
  'width': 2**20,
  'heads': 2**20,
  'kv_heads': 2**20,
  'params': 1e13,
  'feedforward': 1024.0,
}


@dataclass(frozen=True)
class ModelConfig:
  """The fields of a model.

  pattern        mixers that repeat over the depth, e.g. ("rg_lru", "rg_lru", "sliding_window"); an entry may fix
                 options of its mixer: "conv:dilation=2". Written as text, "+" joins entries and "*" repeats one:
                 "conv:dilation=2+lstm*3"
  depth          number of blocks; a multiple of the pattern's length
  width          model width d
  params         non-embedding parameters to solve the width for, within 2 %; 0: `width` stands
  block          residual: x + mixer(norm(x)), x + feedforward(norm(x)) (Xiong et al. 2020); unskipped: the same
                 without `x +`, to tell what the skips are worth; plain: a classical stack, with `x +` around
                 cross-attention alone
  norm           rms (Zhang & Sennrich 2019) or layer (Ba et al. 2016); not in plain blocks
  feedforward    hidden width of the feed-forward as a multiple of the width; 0: none. With `params` it is adjusted
                 a little, so that the budget is met at a hardware-friendly width
  encoder_pattern, encoder_depth
                 of the encoder of a seq2seq model; empty and 0: as the decoder's. Width and all else are shared
  cross_attention  the decoder's blocks attend to the encoder's output (Bahdanau et al. 2015; Vaswani et al. 2017);
                 False: the encoder's last states start the decoder (Sutskever et al. 2014)
  bidirectional  whether the model is for tasks alone that are read both ways; the task decides how a model reads
  position       position encoding; none, sinusoidal and learned are added to the input, the others act in attention
  heads          attention heads; 0: the mixer chooses from the width. kv_heads: key/value heads; 0: as many as heads
  dropout        on the input and on every branch of a residual block (between layers of a plain one)
  tie_embeddings the output projection is the transposed token embedding
  init_scale     kernels and embeddings start uniform in ±init_scale (Zaremba et al. 2014), biases and what else is no
                 weight matrix as they do without it; 0: every layer has an initialiser of its own
  dtype          of the computation; parameters and accumulating states are float32
  remat          what the backward pass computes again (Chen et al. 2016). none: nothing; block: all activations of a
                 block; dots: all but the outputs of its dense layers
  layers         how repeated layers are run; parameters and states are stacked either way. unroll: one copy of the
                 block's program a layer; scan: one program, scanned over the depth, so that compile time does not grow
                 with it; auto: unroll up to 12 blocks (scanned layers are up to 1.4 times slower on CPU), else scan
  kernels        backend of the kernels: auto (the fastest known for platform, type and size), or a name of
                 `seqmodels.kernels`, e.g. reference, xla, cpu, newton
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
  init_scale: float = 0.0
  dtype: str = 'float32'
  remat: str = 'none'
  layers: str = 'auto'
  kernels: str = 'auto'
  mixer: dict[str, Any] = field(default_factory=dict)
  encoder_pattern: tuple[str, ...] = ()
  encoder_depth: int = 0
  cross_attention: bool = True
  bidirectional: bool = False

  def __post_init__(self) -> None:
    for name in ('depth', 'width'):
      if getattr(self, name) <= 0:
        raise InputError(f'model.{name}={getattr(self, name)} must be at least 1')
    for name in ('params', 'feedforward', 'init_scale', 'heads', 'kv_heads', 'encoder_depth'):
      if getattr(self, name) < 0:
        raise InputError(f'model.{name}={getattr(self, name)} must not be negative')
    for name, largest in LARGEST.items():
      if getattr(self, name) > largest:
        raise InputError(f'model.{name}={getattr(self, name):g} must be at most {largest:g}')
    if not 0 <= self.dropout < 1:
      raise InputError(f'model.dropout={self.dropout} must be in [0, 1)')
    if not self.pattern:
      raise InputError('model.pattern is empty; name at least one mixer')
    encoder = (self.encoder_depth or self.depth, self.encoder_pattern or self.pattern)
    for prefix, depth, pattern in (('', self.depth, self.pattern), ('encoder_', *encoder)):
      if depth % len(pattern):
        lengths = f'a multiple of {len(pattern)}, as long as model.{prefix}pattern={pattern}'
        raise InputError(f'model.{prefix}depth={depth} must be {lengths}')
    choices = {'block': BLOCKS, 'norm': NORMS, 'position': POSITIONS, 'dtype': DTYPES, 'layers': LAYERS, 'remat': REMAT}
    for name, allowed in choices.items():
      if getattr(self, name) not in allowed:
        raise unknown(f'model.{name}', getattr(self, name), allowed)
    if self.heads and self.width % self.heads and not self.params:
      raise InputError(f'model.heads={self.heads} must divide model.width={self.width}')

  def replace(self, **changes: Any) -> 'ModelConfig':
    return dataclasses.replace(self, **changes)

  def encoder(self) -> 'ModelConfig':
    """Return the config of a seq2seq model's encoder."""
    pattern, depth = self.encoder_pattern or self.pattern, self.encoder_depth or self.depth
    return self.replace(
      pattern=pattern, depth=depth, encoder_pattern=(), encoder_depth=0, cross_attention=False, tie_embeddings=False
    )


def from_dict(values: Mapping[str, Any]) -> ModelConfig:
  """Return a ModelConfig from a ConfigDict or dict. Unknown fields and wrong types raise InputError."""
  values = dict(values)
  if isinstance(values.get('remat'), bool):  # in config.json of workdirs made before there were policies
    values['remat'] = 'block' if values['remat'] else 'none'
  return ModelConfig(**checked_fields(ModelConfig, values, 'model'))
