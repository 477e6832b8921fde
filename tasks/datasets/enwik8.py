"""Read enwik8, the first 10⁸ bytes of an English Wikipedia dump of 2006 (Mahoney 2006, Hutter Prize)."""

from tasks.datasets import source

TRAIN, VALIDATION = 90_000_000, 5_000_000  # the usual split (Graves 2013); the last 5 million bytes are the test set
FILE = source.RawFile(
  'enwik8/enwik8',
  'http://mattmahoney.net/dc/enwik8.zip',
  100_000_000,
  '2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8',
)


def load() -> dict[str, bytes]:
  """Return the bytes of each split; fetches the file the first time (errors: see source.read)."""
  text, border = source.read(FILE), TRAIN + VALIDATION
  return {'train': text[:TRAIN], 'validation': text[TRAIN:border], 'test': text[border:]}
