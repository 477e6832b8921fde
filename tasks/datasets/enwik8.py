"""enwik8, the first 10⁸ bytes of an English Wikipedia dump of 2006 (Hutter Prize)."""

from tasks.datasets.builder import TextBuilder
from tasks.datasets.source import RawFile

TRAIN, VALIDATION = 90_000_000, 5_000_000  # the usual split (Graves 2013); the last 5 million bytes are the test set


class Enwik8(TextBuilder):
  """100,000,000 bytes of Wikipedia with its markup: 90, 5 and 5 million for training, validation and test."""

  name = 'seqmodels_enwik8'
  homepage = 'http://mattmahoney.net/dc/textdata.html'
  citation = 'Mahoney 2006, Large Text Compression Benchmark'
  files = (
    RawFile(
      'enwik8/enwik8',
      'http://mattmahoney.net/dc/enwik8.zip',
      100_000_000,
      '2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8',
    ),
  )

  def texts(self, contents: list[bytes]) -> dict[str, bytes]:
    text, border = contents[0], TRAIN + VALIDATION
    return {'train': text[:TRAIN], 'validation': text[TRAIN:border], 'test': text[border:]}
