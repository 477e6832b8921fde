"""Read the user's own WAV files and a table of transcripts: a line a file, `file<TAB>text[<TAB>speaker]`."""

import hashlib
import logging
import pathlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

from seqmodels.errors import InputError
from tasks.datasets import files, wav

log = logging.getLogger('seqmodels')

TABLE = '.tsv'
HEADERS = ('file', 'filename', 'path', 'wav', 'audio')  # first cell of a header
FORM = 'file<TAB>text, or file<TAB>text<TAB>speaker'


class Recording(NamedTuple):
  """Hold a recording at the rate that was asked for; `speaker` is '' where the table names none."""

  text: str
  speaker: str
  samples: Int16[np.ndarray, ' n']


class OwnSpeech(NamedTuple):
  """Hold the recordings of each split, or "full"; `content` has the sha256 of tables and files together."""

  recordings: dict[str, list[Recording]]
  content: dict[str, str]


class Line(NamedTuple):
  place: str
  path: pathlib.Path
  text: str
  speaker: str


def load(dataset: str, rate: int) -> OwnSpeech:
  """Read the recordings that the tables of `dataset` list, at `rate` in Hz, mixed down to one channel (and say so).

  dataset: a folder with one .tsv file, or with one for each split in its name, or such files. Names of WAV files are
  relative to their table. Raises InputError, one line, for a table that cannot be read, a line without a text, a file
  that is missing, twice in a table, or no WAV file. Files in the folder that no table lists are left out, and logged.
  """
  tables = [path for path in files.find(dataset) if path.suffix == TABLE]
  if not tables:
    raise InputError(f'task.dataset={dataset!r} holds no {TABLE} file of transcripts; its lines are {FORM}')
  splits = files.by_split(tables)
  if 'full' in splits and len(tables) > 1:
    raise InputError(
      f'task.dataset={dataset!r} holds {len(tables)} {TABLE} files, {files.listed(tables)}; allowed: one, or some with '
      'train, valid and test in their names'
    )
  recordings: dict[str, list[Recording]] = {}
  content: dict[str, str] = {}
  changes: Counter[str] = Counter()
  seen: dict[pathlib.Path, str] = {}
  for split, paths in splits.items():
    digest = hashlib.sha256()
    recordings[split] = []
    for line in (line for path in paths for line in _lines(path)):
      if line.path.resolve() in seen:
        raise InputError(f'{line.place}: {line.path} is listed twice, first in {seen[line.path.resolve()]}')
      seen[line.path.resolve()] = line.place
      if not line.path.is_file():
        raise InputError(f'{line.place}: there is no file {line.path}')
      raw = files.read_bytes(line.path)
      for part in (line.text.encode(), line.speaker.encode(), raw):
        digest.update(len(part).to_bytes(8, 'little') + part)
      recordings[split].append(Recording(line.text, line.speaker, _samples(line, raw, rate, changes)))
    content[split] = digest.hexdigest()
  total = len(seen)
  for change, number in sorted(changes.items()):
    log.info('%s: %d of %d recordings %s', dataset, number, total, change)
  _report_unlisted(dataset, seen)
  return OwnSpeech(recordings, content)


def _lines(table: pathlib.Path) -> Iterator[Line]:
  """Yield the lines of a table; empty ones are passed over."""
  text = files.decode(table, files.read_bytes(table))
  found = False
  for number, line in enumerate(text.split('\n'), 1):
    if not line.strip():
      continue
    place = f'{table}:{number}'
    name, *cells = (cell.strip() for cell in line.split('\t'))
    if number == 1 and name.lower() in HEADERS:
      continue
    if not cells:
      raise InputError(f'{place}: {name[:60]!r} has no transcript; lines are {FORM}')
    if len(cells) > 2:
      raise InputError(f'{place}: {1 + len(cells)} columns; lines are {FORM}')
    if not name or not cells[0]:
      raise InputError(f'{place}: the {"text" if name else "file"} is empty; lines are {FORM}')
    found = True
    yield Line(place, table.parent / name, ' '.join(cells[0].split()), cells[1] if len(cells) > 1 else '')
  if not found:
    raise InputError(f'{table} lists no recording; lines are {FORM}')


def _samples(line: Line, raw: bytes, rate: int, changes: Counter[str]) -> Int16[np.ndarray, ' n']:
  """Return a file's samples at `rate`, and count what was changed."""
  try:
    sound = wav.decode(raw)
  except wav.Unreadable as error:
    raise InputError(f'{line.place}: {line.path} {error}') from error
  if sound.channels > 1:
    changes[f'of {sound.channels} channels are mixed down to one'] += 1
  if sound.rate != rate:
    changes[f'are resampled from {sound.rate} to {rate} Hz (task.rate)'] += 1
  samples = wav.resampled(sound.samples, sound.rate, rate)
  if np.abs(samples).max() > 1:
    changes['are louder than a WAV file holds and clipped'] += 1
  return wav.to_int16(samples)


def _report_unlisted(dataset: str, seen: dict[pathlib.Path, str]) -> None:
  """Warn of WAV files in the folders of the recordings that no table lists."""
  folders = {path.parent for path in seen}
  unlisted = sorted(
    path for folder in folders for path in folder.glob('*') if path.suffix.lower() == '.wav' and path not in seen
  )
  if unlisted:
    log.warning(
      '%s: %d WAV files have no transcript and are left out: %s', dataset, len(unlisted), files.listed(unlisted)
    )
