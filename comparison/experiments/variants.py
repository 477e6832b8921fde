"""The variants that experiments measure: architectures on the backends of each side's ladder, of equal size."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from comparison.experiments.base import Row, Scale
from configs.architectures import architecture, whole_depth
from seqmodels import config, models
from seqmodels.context import LAYERS
from seqmodels.models import sizing
from seqmodels.notation import Params
from seqmodels.spec import Spec, Tokens

VOCABULARY = 64  # small, so that the non-embedding parameters, which are matched, do the work


@dataclass(frozen=True)
class Variant:
  """An architecture in its own classical block, or inside the block that Transformers use (`residual`)."""

  architecture: str
  backend: str = ''
  block: str = ''
  fields: dict[str, Any] = field(default_factory=dict)  # further fields of ModelConfig
  dtype: str = ''  # of a rung that has one type only, whatever the others of its cell have

  @property
  def name(self) -> str:
    return ' '.join(part for part in (self.architecture, self.backend, self.block) if part)

  def build(self, spec: Spec, **fields: Any) -> models.Model:
    """Return the model; `params=…` solves its width. Fields given here are those of the experiment."""
    residual = self.block == 'residual' and self.architecture != 'transformer'
    values = architecture(f'{self.architecture}_residual' if residual else self.architecture)
    values = values | ({'kernels': self.backend} if self.backend else {}) | self.fields | fields
    values |= {'dtype': self.dtype} if self.dtype else {}
    if 'depth' in values:  # no less than was asked for, and the pattern a whole number of times
      values['depth'] = whole_depth(values['depth'], values['pattern'])
    return models.build(config.from_dict(values), spec)


def check(architectures: Iterable[str]) -> None:
  """Raise InputError for a name that does not exist or does not make a causal model, which all measurements need."""
  for name in architectures:
    Variant(name).build(token_spec(8), width=16, depth=1)


def depth(scale: Scale) -> int:
  """Two layers wherever anything is concluded; one where only the code is tried."""
  return 1 if scale == 'smoke' else 2


def token_spec(length: int, vocabulary: int = VOCABULARY) -> Spec:
  return Spec('causal', Tokens(vocabulary), Tokens(vocabulary), length)


def random_params(model: models.Model, seed: int = 0) -> Params:
  """Return parameters of the usual size, drawn without compiling: enough where only time or structure is measured."""
  draws = np.random.default_rng(seed)

  def draw(leaf: jax.ShapeDtypeStruct, axes: tuple[str, ...]) -> jax.Array:
    shape = leaf.shape[1:] if axes[0] == LAYERS else leaf.shape
    # A kernel leads with its inputs: all but the last axis where that is the model's width. Biases and scales do not.
    inputs = math.prod(shape[:-1]) if axes[-1] == 'embed' else shape[0]
    is_kernel = len(shape) > 1 and (axes[-1] == 'embed' or axes[-len(shape)] not in ('gate', 'heads', 'kv_heads'))
    scale = inputs**-0.5 if is_kernel else 0.1
    return jax.device_put((scale * draws.standard_normal(leaf.shape)).astype(leaf.dtype))

  return jax.tree.map(draw, model.abstract_params, model.axes)


def columns(variant: Variant, model: models.Model, length: int) -> Row:
  """Return the columns of every row of a model: its budget, its cost and its state."""
  return {
    'architecture': variant.architecture,
    'backend': variant.backend,
    'block': model.config.block,
    'width': model.config.width,
    'depth': model.config.depth,
    'parameters': models.count_parameters(model, embedding=False),
    'flops_per_token': sizing.sequence_flops(model, length) / length,
    'state_bytes': sizing.state_bytes(model, 1, length),
    'dtype': model.config.dtype,
  }


# The ladder of backends, lowest rung first.
LADDER = (
  Variant('lstm', 'reference'),
  Variant('lstm', 'xla'),
  Variant('lstm', 'cpu'),
  Variant('gru', 'xla'),
  Variant('gru', 'cpu'),
  Variant('transformer', 'reference'),
  Variant('transformer', 'xla'),
  Variant('transformer', 'cpu'),
)
ENDS = (Variant('lstm', 'xla'), Variant('transformer', 'reference'))
FULL_LADDER = (*LADDER, Variant('gru', 'reference'), Variant('rnn', 'xla'), Variant('rnn', 'cpu'))
# Rungs that are worth minutes at lengths where materialised scores do not fit.
LONG_LADDER = tuple(rung for rung in LADDER if rung.backend != 'reference')
ON_SOME_DEVICES = ('cpu', 'cudnn')  # rungs that are left out where they cannot be had
# What else each side has: further kernels of the same models; RNNs that are parallel in time, because their gates do
# not see the state; attention that sees fewer keys, or keeps a state of fixed size.
OTHER_MODELS = ('min_gru', 'min_lstm', 'lru', 'rg_lru', 'sliding_window', 'linear_transformer')
OTHER_RUNGS = (
  Variant('rnn', 'reference'),
  Variant('transformer', 'cudnn'),
  Variant('min_gru', 'reference'),
  Variant('min_gru', 'associative'),
  Variant('min_lstm', 'auto'),
  Variant('lru', 'auto'),
  Variant('rg_lru', 'auto'),
  Variant('sliding_window', 'auto'),
  Variant('linear_transformer', 'xla'),
)
# Gated RNNs in parallel over time by Newton's method, in cells of their own; where the width is too large for whole
# Jacobians, that rung leaves a row which says so.
NEWTON_RUNGS = tuple(Variant(cell, method) for cell in ('lstm', 'gru') for method in ('newton', 'quasi_newton'))
# Rungs of LADDER that are measured again beside OTHER_RUNGS or NEWTON_RUNGS, so that these have pairs to form ratios
# with.
REFERENCES = (Variant('lstm', 'xla'), Variant('transformer', 'xla'))
WHOLE_LADDER = (*FULL_LADDER, Variant('lstm', 'cudnn'), *OTHER_RUNGS, *NEWTON_RUNGS)
# What is worth compiling on an accelerator, where compiling takes longer than measuring.
DEVICE_LADDER = (
  Variant('lstm', 'reference'),
  Variant('lstm', 'xla'),
  Variant('lstm', 'cudnn', dtype='float32'),
  Variant('gru', 'xla'),
  Variant('transformer', 'reference'),
  Variant('transformer', 'xla'),
  Variant('transformer', 'cudnn'),
)
DEVICE_OTHERS = (*REFERENCES, Variant('min_gru', 'associative'), Variant('rg_lru', 'auto'))
