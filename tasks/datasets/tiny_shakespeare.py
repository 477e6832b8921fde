"""Tiny Shakespeare (Karpathy 2015)."""

from tasks.datasets.builder import TextBuilder
from tasks.datasets.source import RawFile


class TinyShakespeare(TextBuilder):
  """40,000 lines of Shakespeare's plays, 1,115,394 characters, 65 distinct; no official split."""

  name = 'seqmodels_tiny_shakespeare'
  homepage = 'https://github.com/karpathy/char-rnn'
  citation = 'Karpathy 2015, The Unreasonable Effectiveness of Recurrent Neural Networks'
  files = (
    RawFile(
      'tinyshakespeare/input.txt',
      'https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt',
      1_115_394,
      '86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed',
    ),
  )

  def texts(self, contents: list[bytes]) -> dict[str, bytes]:
    return {'full': contents[0]}
