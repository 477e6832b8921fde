"""Load digits as small images, to be moved about in videos: those of MNIST, or made-up ones."""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from tasks.datasets import mnist

SIDE = mnist.SIDE
MADE = {'train': 1000, 'validation': 200, 'test': 200}  # made-up digits
# Segments of a display as pairs of points (x, y) in [0, 1]², y downwards; and the segments that each digit lights.
SEGMENTS = np.array(
  [
    [(0, 0), (1, 0)],
    [(0, 0), (0, 0.5)],
    [(1, 0), (1, 0.5)],
    [(0, 0.5), (1, 0.5)],
    [(0, 0.5), (0, 1)],
    [(1, 0.5), (1, 1)],
    [(0, 1), (1, 1)],
  ]
)
LIT = ('012456', '25', '02346', '02356', '1235', '01356', '013456', '025', '0123456', '012356')


class Glyphs(NamedTuple):
  """Hold images of digits, bright on black, and which digits they are."""

  images: UInt8[np.ndarray, 'n r c']
  labels: UInt8[np.ndarray, ' n']


@functools.lru_cache(maxsize=4)
def load(name: str, factor: int = 1) -> dict[str, Glyphs]:
  """Return the digits of each split; no split has a digit of another.

  moving_mnist: 60,000 training images; of the 10,000 test images those with even numbers validate, the others test.
  moving_segments: those of a seven-segment display, with drawn slant, size, place and thickness.

  factor: pixels a side whose mean is one of an image.

  Raises:
    InputError: see source.read.
  """
  if factor > 1:
    return {split: Glyphs(_reduced(images, factor), labels) for split, (images, labels) in load(name).items()}
  if name == 'moving_segments':
    return {split: _segments(np.random.default_rng(number), MADE[split]) for number, split in enumerate(MADE)}
  found = mnist.load()
  train = (np.concatenate(pair) for pair in zip(found['train'], found['validation'], strict=True))
  images, labels = found['test']
  return {
    'train': Glyphs(*train),
    'validation': Glyphs(images[::2], labels[::2]),
    'test': Glyphs(images[1::2], labels[1::2]),
  }


def content(name: str) -> dict[str, str]:
  """Return what identifies the images: checksums of files, or the version of what draws them."""
  return {file.name: file.sha256 for file in mnist.FILES} if name == 'moving_mnist' else {'version': '1'}


def _reduced(images: UInt8[np.ndarray, 'n r c'], factor: int) -> UInt8[np.ndarray, 'n p q']:
  count, rows, columns = images.shape
  blocks = images.reshape(count, rows // factor, factor, columns // factor, factor)
  return blocks.mean(axis=(2, 4)).round().astype(np.uint8)


def _segments(random: np.random.Generator, count: int) -> Glyphs:
  labels = np.arange(count) % 10
  width, height = random.uniform(8, 13, count), random.uniform(16, 20, count)
  slant, thickness = random.uniform(-0.15, 0.3, count), random.uniform(1.2, 2.2, count)
  left = random.uniform(-1, 1, count) + (SIDE - width) / 2
  top = random.uniform(-1, 1, count) + (SIDE - height) / 2
  points = SEGMENTS[None] * np.stack([width, height], axis=1)[:, None, None, :]
  points[..., 0] += slant[:, None, None] * (height[:, None, None] / 2 - points[..., 1]) + left[:, None, None]
  points[..., 1] += top[:, None, None]
  rows, columns = np.indices((SIDE, SIDE)) + 0.5
  places = np.stack([columns, rows], axis=-1).reshape(1, -1, 2)
  distance = np.full((count, SIDE * SIDE), np.inf)
  for segment in range(len(SEGMENTS)):
    lit = np.array([str(segment) in LIT[label] for label in labels])
    start, along = points[lit, segment, 0][:, None], (points[lit, segment, 1] - points[lit, segment, 0])[:, None]
    share = np.clip(((places - start) * along).sum(axis=-1) / np.square(along).sum(axis=-1), 0, 1)
    off = places - start - share[..., None] * along
    distance[lit] = np.minimum(distance[lit], np.sqrt(np.square(off).sum(axis=-1)))
  bright = np.clip(thickness[:, None] + 0.5 - distance, 0, 1)
  return Glyphs((255 * bright).round().astype(np.uint8).reshape(count, SIDE, SIDE), labels.astype(np.uint8))
