"""The embedded text: help topics of Python 3.11.7, frozen in this folder (see NOTICE), the same for every run.

The unpacked file has 466,273 bytes, 465,126 characters in UTF-8.
"""

import functools
import gzip
import hashlib
import pathlib
import zlib

from seqmodels.errors import InputError

PATH = pathlib.Path(__file__).with_name('topics.txt.gz')
SHA256 = '71f2ff5d99bdc1f9c48c5c2353ad138201c5ca1c377e0226857ef8fa89b8bcee'  # of the unpacked file


@functools.cache
def read() -> bytes:
  """Return the text, verified. Raises InputError if the file is missing or has another content."""
  try:
    text = gzip.decompress(PATH.read_bytes())
  except (OSError, EOFError, zlib.error) as error:
    reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())
    raise _damaged(reason) from error
  found = hashlib.sha256(text).hexdigest()
  if found != SHA256:
    raise _damaged(f'sha256 {found} instead of {SHA256}')
  return text


def _damaged(reason: str) -> InputError:
  return InputError(f'{PATH} is damaged: {reason}; restore it from the project')
