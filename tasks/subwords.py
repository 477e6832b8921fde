"""Cut text into sub-words: byte-pair encoding (Sennrich et al. 2016) by the package `sentencepiece`, imported late.

Nothing is normalised, and what no piece covers is written in bytes: decoding gives the text again, but for the
character `▁` (U+2581), which stands for a space. Pieces never cross a line end, which is a piece of its own, and never
a space from a word into the next.
"""

import functools
import hashlib
import io
import logging
import pathlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from seqmodels.errors import InputError, one_line
from tasks.datasets import files
from tasks.identity import SHOWN

log = logging.getLogger('seqmodels')

SPACE = '▁'
BYTES = 258  # pieces of every tokenizer: those of single bytes, `<unk>` and the line end
LONGEST_LINE = 4000  # characters of a line that the trainer reads at once
CHUNK = 1 << 20  # characters that are encoded at once, up to the next line end


@dataclass(frozen=True)
class Subwords:
  """Use the pieces of a SentencePiece model as tokens. model: the content of its file. shown: its name in messages."""

  model: bytes
  shown: str = 'the tokenizer'

  @functools.cached_property
  def _processor(self) -> Any:
    if not self.model:
      raise InputError(f'{self.shown} is no SentencePiece model: it is empty')
    try:
      return _package().SentencePieceProcessor(model_proto=self.model)
    except (RuntimeError, ValueError) as error:
      raise InputError(f'{self.shown} is no SentencePiece model: {one_line(error)}') from error

  @functools.cached_property
  def vocabulary(self) -> tuple[str, ...]:
    """Return the pieces with spaces as spaces; bytes are `<0x00>` to `<0xFF>`."""
    return tuple(self._processor.id_to_piece(i).replace(SPACE, ' ') for i in range(self.size))

  @property
  def size(self) -> int:
    return self._processor.get_piece_size()

  @functools.cached_property
  def pieces(self) -> tuple[bytes, ...]:
    """Return the bytes of each token."""
    return tuple(
      bytes([int(piece[3:5], 16)]) if self._processor.is_byte(i) else piece.encode()
      for i, piece in enumerate(self.vocabulary)
    )

  @functools.cached_property
  def texts(self) -> tuple[str, ...]:
    """Return the text of each token; bytes above 127, which are parts of characters, as `�`."""
    return tuple(piece.decode(errors='replace') for piece in self.pieces)

  @functools.cached_property
  def lengths(self) -> tuple[Float[np.ndarray, ' n'], Float[np.ndarray, ' n']]:
    """Return the number of characters that begin in each token, and of bytes."""
    # Of the bytes of UTF-8, 10xxxxxx goes on with a character, and all others begin one.
    characters = [sum(byte & 0xC0 != 0x80 for byte in piece) for piece in self.pieces]
    return np.array(characters, np.float32), np.array([len(piece) for piece in self.pieces], np.float32)

  @property
  def checksum(self) -> str:
    return hashlib.sha256(self.model).hexdigest()

  def encode(self, text: str) -> Int64[np.ndarray, ' t']:
    parts = [np.array(self._processor.encode(part), np.int64) for part in _chunks(text)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)

  def encode_lines(self, lines: Sequence[str]) -> list[list[int]]:
    """Return the ids of many short texts."""
    return self._processor.encode(list(lines))

  def decode(self, ids: np.ndarray) -> str:
    return b''.join(self.pieces[int(i)] for i in ids).decode(errors='replace')


def train(text: str, size: int) -> Subwords:
  """Return a tokenizer of `size` pieces made of a training text: the same for the same text and size.

  Raises InputError for a size that the text does not allow.
  """
  # A merge makes a text shorter. The trainer would find out after it has made all pieces that there are.
  if size > (most := BYTES + len(set(text)) + len(text)):
    raise InputError(f'task.vocabulary={size} does not fit the training text; allowed: at most {most}')
  if SPACE in text:
    log.warning('%d characters %s (U+2581) of the training text are read as spaces', text.count(SPACE), SPACE)
  model = io.BytesIO()
  lines = (match.group() for match in re.finditer(rf'[^\n]{{1,{LONGEST_LINE}}}', text))
  try:
    _package().SentencePieceTrainer.train(
      sentence_iterator=lines,
      model_writer=model,
      model_type='bpe',
      vocab_size=size,
      character_coverage=1.0,
      byte_fallback=True,
      normalization_rule_name='identity',
      add_dummy_prefix=False,
      remove_extra_whitespaces=False,
      allow_whitespace_only_pieces=True,
      user_defined_symbols=['\n'],
      max_sentence_length=4 * LONGEST_LINE,
      unk_id=0,
      bos_id=-1,
      eos_id=-1,
      pad_id=-1,
      num_threads=1,
      minloglevel=2,
    )
  except (RuntimeError, OSError) as error:
    allowed = re.search(r'<= (\d+)', str(error)) or re.search(r'vs\.? (\d+)', str(error))
    bound = f'; allowed: {"at most" if "too high" in str(error) else "at least"} {allowed[1]}' if allowed else ''
    raise InputError(
      f'task.vocabulary={size} does not fit the training text{bound or f": {one_line(error)}"}'
    ) from error
  return Subwords(model.getvalue())


def check_same(option: str, file: str, kept: pathlib.Path) -> None:
  """Raise InputError where an option names another tokenizer than the one that a workdir has kept."""
  if not file:
    return
  given, before = (Subwords(files.read_bytes(pathlib.Path(path))).checksum for path in (file, kept))
  if given != before:
    raise InputError(
      f'task.{option}={file} is not the tokenizer of the run, {kept}: sha256 {given[:SHOWN]}… instead of '
      f'{before[:SHOWN]}…'
    )


def _package() -> Any:
  try:
    import sentencepiece
  except ImportError as error:
    raise InputError('task.unit=subword needs the package sentencepiece: pip install sentencepiece') from error
  return sentencepiece


def _chunks(text: str) -> Iterator[str]:
  """Yield a text in parts that end where a line ends, so that no piece is cut."""
  start = 0
  while start < len(text):
    end = text.find('\n', start + CHUNK) + 1 or len(text)
    yield text[start:end]
    start = end
