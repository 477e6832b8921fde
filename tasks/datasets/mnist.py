"""Read MNIST from its IDX files (LeCun et al. 1998)."""

import numpy as np
from jaxtyping import UInt8

from seqmodels.errors import InputError
from tasks.datasets import source

SIDE = 28
PIXELS = SIDE * SIDE
VALIDATION = 5000  # of the 60,000 training images, the last
_FOLDER = 'https://storage.googleapis.com/cvdf-datasets/mnist'  # the address that TFDS reads


def _file(name: str, size: int, sha256: str) -> source.RawFile:
  return source.RawFile(f'mnist/{name}', f'{_FOLDER}/{name}.gz', size, sha256)


FILES = (
  _file('train-images-idx3-ubyte', 47_040_016, 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db'),
  _file('train-labels-idx1-ubyte', 60_008, '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5'),
  _file('t10k-images-idx3-ubyte', 7_840_016, '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7'),
  _file('t10k-labels-idx1-ubyte', 10_008, 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2'),
)


def load() -> dict[str, tuple[UInt8[np.ndarray, 'b r c'], UInt8[np.ndarray, ' b']]]:
  """Return images and labels of 55,000, 5,000 and 10,000 examples; fetches the files the first time."""
  images, labels, test_images, test_labels = (read_idx(source.read(file), file.name) for file in FILES)
  return {
    'train': (images[:-VALIDATION], labels[:-VALIDATION]),
    'validation': (images[-VALIDATION:], labels[-VALIDATION:]),
    'test': (test_images, test_labels),
  }


def read_idx(content: bytes, name: str) -> UInt8[np.ndarray, '...']:
  """Return the array of unsigned bytes of an IDX file. Raises InputError for anything else."""
  if len(content) < 4 or content[:3] != b'\0\0\x08':
    raise InputError(f'{name} is no IDX file of unsigned bytes')
  axes = content[3]
  shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], 'big') for i in range(axes))
  values = np.frombuffer(content, np.uint8, offset=min(4 + 4 * axes, len(content)))
  if values.size != np.prod(shape, dtype=np.int64):
    raise InputError(f'{name} has {values.size} values instead of those of {shape}')
  return values.reshape(shape)
