"""What a model reads and writes. Tasks give a Spec, models are built from it; neither knows the other."""

from dataclasses import dataclass
from typing import Literal

from seqmodels.errors import InputError, check_positive


@dataclass(frozen=True)
class Tokens:
  """Integer ids in [0, size)."""

  size: int

  def __post_init__(self) -> None:
    check_positive(tokens_size=self.size)


@dataclass(frozen=True)
class Vectors:
  """Real vectors of `size` components."""

  size: int

  def __post_init__(self) -> None:
    check_positive(vectors_size=self.size)


@dataclass(frozen=True)
class Spec:
  """The shape of a task.

  kind: `causal` (output t sees inputs 1..t), `encode` (every output sees every input), `seq2seq`.
  readout: `every` gives outputs [b t n]; `last` gives [b n], read at the last position that is not padding.
  length: the longest training sequence (targets' for seq2seq); position tables are made for it.
  """

  kind: Literal['causal', 'encode', 'seq2seq']
  input: Tokens | Vectors
  output: Tokens | Vectors
  length: int
  readout: Literal['every', 'last'] = 'every'

  def __post_init__(self) -> None:
    if self.kind not in ('causal', 'encode', 'seq2seq'):
      raise InputError(f'kind={self.kind!r} must be one of causal, encode, seq2seq')
    check_positive(length=self.length)
