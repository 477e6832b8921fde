"""Make videos of digits that move straight on and bounce off the edges (Srivastava et al. 2015), by number.

As in the authors' program: a place is drawn uniformly in the unit square, a direction uniformly; a step is a tenth of
the side; what would leave stops at the edge and turns around. Where digits overlap the brighter one is seen.
"""

import numpy as np
from jaxtyping import Float64, Int64, UInt8, UInt64

from tasks import draws

STEP = 0.1  # of the way from edge to edge, a frame
WORDS = 3  # random words a digit


def trajectories(words: UInt64[np.ndarray, 'b c'], frames: int) -> Float64[np.ndarray, 'b n t 2']:
  """Return the places (y, x) of n = c / 3 digits in the unit square."""
  y, x, angle = draws.uniforms(words).reshape(len(words), -1, WORDS).transpose(2, 0, 1)
  place = np.stack([y, x], axis=-1)
  velocity = STEP * np.stack([np.sin(2 * np.pi * angle), np.cos(2 * np.pi * angle)], axis=-1)
  found = np.empty((*place.shape[:2], frames, 2))
  for frame in range(frames):
    place = place + velocity
    velocity = np.where((place <= 0) | (place >= 1), -velocity, velocity)
    place = np.clip(place, 0, 1)
    found[:, :, frame] = place
  return found


def draw(
  glyphs: UInt8[np.ndarray, 'b n f r c'], places: Float64[np.ndarray, 'b n t 2'], side: int
) -> UInt8[np.ndarray, 'b t s s']:
  """Return frames of side × side pixels with n digits each.

  glyphs: f = 1: the same image in every frame; f = t: one for each.
  """
  rows, count, frames, _ = places.shape
  high, wide = glyphs.shape[-2:]
  start: Int64[np.ndarray, 'b n t 2'] = (places * (side - np.array([high, wide]))).astype(np.int64)
  canvas = np.zeros((rows * frames, side * side), np.uint8)
  inside = (side * np.arange(high)[:, None] + np.arange(wide)[None, :]).reshape(1, -1)
  for number in range(count):
    first = (start[:, number, :, 0] * side + start[:, number, :, 1]).reshape(-1, 1)
    image = np.broadcast_to(glyphs[:, number], (rows, frames, high, wide)).reshape(rows * frames, -1)
    pixels = first + inside
    if number:
      image = np.maximum(image, np.take_along_axis(canvas, pixels, axis=1))
    np.put_along_axis(canvas, pixels, image, axis=1)
  return canvas.reshape(rows, frames, side, side)
