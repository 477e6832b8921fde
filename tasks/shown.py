"""Hold what there is to see of one example: what a model was given, what is true, and what it predicts."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Forecast(NamedTuple):
  """Hold a forecast of n variables, in the units of the data where these are known. low, high: its outer quantiles."""

  past: Float[np.ndarray, 's n']
  truth: Float[np.ndarray, 'h n']
  forecast: Float[np.ndarray, 'h n']
  low: Float[np.ndarray, 'h n'] | None = None
  high: Float[np.ndarray, 'h n'] | None = None


class Film(NamedTuple):
  """Hold the frames of a video that a model read, those that follow, and those that it predicts; pixels in [0, 1]."""

  given: Float[np.ndarray, 'g y x']
  truth: Float[np.ndarray, 'f y x']
  predicted: Float[np.ndarray, 'f y x']


class Spectrograms(NamedTuple):
  """Hold log-mel bands [t m] of sounds, each with its title."""

  parts: tuple[tuple[str, Float[np.ndarray, 't m']], ...]


class Text(NamedTuple):
  """Hold a text that a model read, the true one that belongs to it, and the one that it writes."""

  given: str
  truth: str
  written: str


class Classes(NamedTuple):
  """Hold what a model read, the names of the classes with their probabilities, and which one is true.

  given: a text, a series, or with `is_image` an image of pixels in [0, 1].
  """

  given: str | Float[np.ndarray, 't n']
  names: tuple[str, ...]
  probabilities: Float[np.ndarray, ' k']
  truth: int
  is_image: bool = False


class Attention(NamedTuple):
  """Hold how much of every position (`over`) each output of a layer is made of, and the names of the tokens.

  Rows are called by the token that the output has just read (`reads`), of cross-attention by the one it is to write.
  """

  layer: str
  weights: Float[np.ndarray, 'h t s']
  reads: tuple[str, ...] | None
  over: tuple[str, ...] | None


Shown = Forecast | Film | Spectrograms | Text | Classes
