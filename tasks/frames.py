"""Define what tasks of videos share: which digits move, and how a model reads a frame."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from seqmodels.errors import InputError, unknown
from seqmodels.spec import Vectors
from tasks.datasets import VIDEOS, glyphs
from tasks.procedural import Procedural

SIZES = (16, 32, 64)
READINGS = ('vector', 'image', 'patches')
LONGEST = 512


@dataclass(frozen=True)
class Frames(Procedural):
  """Make videos of `frames` frames of size × size pixels, in [0, 1].

  dataset: moving_segments (made-up digits) | moving_mnist. size: 64 is the published one; smaller frames have smaller
  digits, whose pixels are means of the original ones.

  reading: how a model reads a frame. `vector`: one token of all pixels, row by row. `image`: one token that is an image
  of places of patch × patch pixels (see `Vectors`), for `conv_lstm`. `patches`: a token for each of these places, row
  by row, one frame after the other. With patches the tokens of a frame are a stride apart from those of the next, so
  that mixers make the forms of the literature: `sparse` with a `stride` of a frame's tokens is factorised attention,
  within a frame and over time (Child et al. 2019); `sliding_window` in the lower layers and attention above a
  hierarchy.
  """

  fixed_options = ('reading', 'size', 'patch', 'form')
  collection: str = field(default='moving_segments', metadata={'option': 'dataset'})
  frames: int = 20
  size: int = 32
  reading: str = 'vector'
  patch: int = 4

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.collection not in VIDEOS:
      raise unknown('task.dataset', self.collection, VIDEOS)
    if self.reading not in READINGS:
      raise unknown('task.reading', self.reading, READINGS)
    if self.size not in SIZES:
      raise InputError(f'task.size={self.size} must be one of {", ".join(map(str, SIZES))}')
    if not 2 <= self.frames <= LONGEST:
      raise InputError(f'task.frames={self.frames} must be from 2 to {LONGEST}')
    if self.patch < 1 or self.size % self.patch:
      raise InputError(f'task.patch={self.patch} must divide task.size={self.size}')

  @property
  def tokens_of_frame(self) -> int:
    """Return how many tokens a frame is."""
    return self._grid**2 if self.reading == 'patches' else 1

  @property
  def _grid(self) -> int:
    return self.size // self.patch

  @property
  def vectors(self) -> Vectors:
    """Return what a token is."""
    if self.reading == 'patches':
      return Vectors(self.patch**2)
    return Vectors(self.size**2, (self._grid, self._grid) if self.reading == 'image' else (1, 1))

  def glyphs(self, split: str) -> glyphs.Glyphs:
    """Return the digits of a split, as large as they are in these frames."""
    return glyphs.load(self.collection, SIZES[-1] // self.size)[split]

  def tokens(self, video: UInt8[np.ndarray, 'b t s s']) -> Float32[np.ndarray, 'b l d']:
    """Return frames as a model reads them."""
    rows, frames = video.shape[:2]
    if self.reading != 'vector':
      places = video.reshape(rows, frames, self._grid, self.patch, self._grid, self.patch)
      video = places.swapaxes(3, 4)
    return (video.astype(np.float32) / 255).reshape(rows, frames * self.tokens_of_frame, -1)

  def pixels(self, tokens: Any) -> Any:
    """Return the frames [b t s s] of tokens [b l d], the reverse of `tokens`; of NumPy or JAX."""
    rows = tokens.shape[0]
    if self.reading == 'vector':
      return tokens.reshape(rows, -1, self.size, self.size)
    places = tokens.reshape(rows, -1, self._grid, self._grid, self.patch, self.patch)
    return places.swapaxes(3, 4).reshape(rows, -1, self.size, self.size)

  def identity(self) -> dict[str, Any]:
    return super().identity() | {'content': glyphs.content(self.collection)}
