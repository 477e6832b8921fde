"""Read Tiny Shakespeare (Karpathy 2015): 1,115,394 characters of plays, 65 distinct; no official split."""

from tasks.datasets import source

FILE = source.RawFile(
  'tinyshakespeare/input.txt',
  'https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt',
  1_115_394,
  '86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed',
)


def load() -> dict[str, bytes]:
  """Return the whole text; fetches the file the first time (errors: see source.read)."""
  return {'full': source.read(FILE)}
