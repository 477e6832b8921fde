"""Describe the inputs and outputs of a model. Tasks give a Spec, models are built from it; neither knows the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seqmodels.errors import InputError, check_positive


@dataclass(frozen=True)
class Tokens:
  """Integer ids in [0, size)."""

  size: int

  def __post_init__(self) -> None:
    check_positive(tokens_size=self.size)


@dataclass(frozen=True)
class Vectors:
  """Real vectors of `size` components.

  image: height and width of images that the vectors are: the components of each place stand together, places row by
    row. Input and output layers then treat all places alike, and a vector of the model's width is an image, too.
    (1, 1): they are no images.
  """

  size: int
  image: tuple[int, int] = (1, 1)

  def __post_init__(self) -> None:
    check_positive(vectors_size=self.size)
    check_positive(image_height=self.image[0], image_width=self.image[1])
    if self.size % self.places:
      raise InputError(
        f'vectors_size={self.size} must be a multiple of {self.places}, the places of image={self.image}'
      )

  @property
  def places(self) -> int:
    return self.image[0] * self.image[1]


@dataclass(frozen=True)
class Spec:
  """The shape of a task.

  kind: `causal` (output t sees inputs 1..t), `encode` (every output sees every input), `seq2seq` (output t sees inputs
    1..t and a whole source).
  readout: `every` gives outputs [b t n]; `last` gives [b n], read at the last position that is not padding; `mean`
    gives [b n], read from the mean over what is not padding (`encode` only).
  length: the longest training sequence (targets' for seq2seq); position tables are made for it.
  source, source_length: what a seq2seq model reads first, and the longest of it in training.
  start: the token that begins the inputs of a seq2seq model and ends its outputs.
  """

  kind: Literal['causal', 'encode', 'seq2seq']
  input: Tokens | Vectors
  output: Tokens | Vectors
  length: int
  readout: Literal['every', 'last', 'mean'] = 'every'
  source: Tokens | Vectors | None = None
  source_length: int = 0
  start: int = 0

  def __post_init__(self) -> None:
    if self.kind not in ('causal', 'encode', 'seq2seq'):
      raise InputError(f'kind={self.kind!r} must be one of causal, encode, seq2seq')
    check_positive(length=self.length)
    if self.readout not in ('every', 'last', 'mean'):
      raise InputError(f'readout={self.readout!r} must be one of every, last, mean')
    if self.readout == 'mean' and self.kind != 'encode':
      raise InputError(f'readout=mean needs kind=encode; kind={self.kind} has no output that sees the whole sequence')
    if (self.kind == 'seq2seq') != (self.source is not None):
      raise InputError(f'kind={self.kind}: a source belongs to seq2seq, and to no other kind')
    if self.source is not None:
      check_positive(source_length=self.source_length)


def to_json(spec: Spec) -> dict[str, Any]:
  """Return the fields of a spec as JSON; `from_json` gives the spec again."""
  return {name: _described(value) for name, value in vars(spec).items()}


def from_json(fields: Mapping[str, Any]) -> Spec:
  """Return the spec that `to_json` described. Raises ValueError, TypeError or KeyError for anything else."""
  return Spec(**{name: _read(value) for name, value in fields.items()})


def described(tokens: Tokens | Vectors | None) -> str:
  """Return inputs or outputs as a message names them."""
  if isinstance(tokens, Tokens):
    return f'{tokens.size} tokens'
  return 'nothing' if tokens is None else f'vectors of {tokens.size}'


def _described(value: Any) -> Any:
  if isinstance(value, Tokens):
    return {'kind': 'tokens', 'size': value.size}
  if isinstance(value, Vectors):
    image = {} if value.image == (1, 1) else {'image': list(value.image)}
    return {'kind': 'vectors', 'size': value.size, **image}
  return value


def _read(value: Any) -> Any:
  if not isinstance(value, Mapping):
    return value
  height, width = value.get('image', (1, 1))
  return Tokens(value['size']) if value['kind'] == 'tokens' else Vectors(value['size'], (height, width))
