"""Make labelled speech with eSpeak NG: sentences × voices × rates, any number of them, by index.

Sentences are those of the GRID corpus (Cooke et al. 2006), "bin blue at f two now": 64,000 of six words out of 51.
Utterances are made in blocks, each by a process of its own, and cached: an index has the same samples every time.
"""

import contextlib
import ctypes.util
import functools
import hashlib
import importlib.util
import io
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
from jaxtyping import Int16

from seqmodels.errors import InputError, one_line
from tasks import draws
from tasks.datasets import source, wav
from tasks.datasets.own_wavs import Recording

log = logging.getLogger('seqmodels')

GRID = (
  ('bin', 'lay', 'place', 'set'),
  ('blue', 'green', 'red', 'white'),
  ('at', 'by', 'in', 'with'),
  tuple('abcdefghijklmnopqrstuvxyz'),  # without w, the only letter of more than one syllable
  ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'),
  ('again', 'now', 'please', 'soon'),
)
VOICES = tuple(
  f'{accent}{variant}' for accent in ('en', 'en-us', 'en-gb-scotland') for variant in ('', '+f2', '+f3', '+m3', '+m7')
)
SLOWEST, FASTEST = 130, 200  # words a minute
BLOCK = 100  # utterances that one process makes
SECONDS = 120  # that it may take
HELP = 'pip install espeakng-loader (the extra `speech`), or apt-get install espeak-ng'


def check() -> None:
  """Raise InputError, with the command that helps, where eSpeak NG is not installed."""
  _library()


def utterances(split: str, count: int, rate: int) -> list[Recording]:
  """Return the first `count` utterances of a split, at `rate` in Hz; what is not cached is made and said."""
  found: list[Recording] = []
  for block in range(-(-count // BLOCK)):
    plans = [_plan(split, block * BLOCK + i) for i in range(BLOCK)]
    samples = _block(split, block, rate, plans)
    found += [Recording(text, voice, part) for (text, voice, _), part in zip(plans, samples, strict=True)]
  return found[:count]


def _plan(split: str, index: int) -> tuple[str, str, int]:
  """Return text, voice and words a minute of an utterance."""
  words = draws.words(draws.key('espeak', split), np.array([index]), len(GRID) + 2)[0]
  text = ' '.join(choices[int(word % np.uint64(len(choices)))] for choices, word in zip(GRID, words, strict=False))
  speed = SLOWEST + int(words[-1] % np.uint64(FASTEST - SLOWEST + 1))
  return text, VOICES[int(words[-2] % np.uint64(len(VOICES)))], speed


def _block(split: str, block: int, rate: int, plans: list[tuple[str, str, int]]) -> list[Int16[np.ndarray, ' n']]:
  path = source.data_folder() / 'espeak' / _version() / f'{rate}' / f'{split}-{block:05d}.npz'
  with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path) as kept:
    if kept['plans'] == _checksum(plans):
      return np.split(kept['samples'], kept['ends'][:-1])
  log.info('espeak: making %s utterances %d to %d', split, block * BLOCK, block * BLOCK + len(plans) - 1)
  samples = _spoken(plans, rate)
  stream = io.BytesIO()
  ends = np.cumsum([len(part) for part in samples])
  np.savez(stream, samples=np.concatenate(samples), ends=ends, plans=np.array(_checksum(plans)))
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
      file.write(stream.getvalue())
    os.replace(file.name, path)
  except OSError as error:
    raise InputError(f'data_dir={str(source.data_folder())!r} cannot be written: {error.strerror}') from error
  return samples


def _spoken(plans: list[tuple[str, str, int]], rate: int) -> list[Int16[np.ndarray, ' n']]:
  """Return the samples of utterances that one new process speaks one after another."""
  library, data = _library()
  request = json.dumps({'library': library, 'data': data, 'utterances': plans})
  worker = pathlib.Path(__file__).with_name('espeak_worker.py')
  try:
    done = subprocess.run(
      [sys.executable, '-I', str(worker)], input=request.encode(), capture_output=True, timeout=SECONDS, check=False
    )
  except (OSError, subprocess.TimeoutExpired) as error:
    raise InputError(f'eSpeak NG ({library}) does not answer: {one_line(str(error))}') from error
  if done.returncode:
    reason = one_line(done.stderr.decode(errors='replace')) or f'the process ends with {done.returncode}'
    raise InputError(f'eSpeak NG ({library}) cannot speak: {reason}; {HELP}')
  head, _, body = done.stdout.partition(b'\n')
  made = json.loads(head)
  parts = np.split(np.frombuffer(body, '<i2'), np.cumsum(made['sizes'])[:-1] // 2)
  return [wav.to_int16(wav.resampled((part / 32768).astype(np.float32), made['rate'], rate)) for part in parts]


@functools.cache
def _library() -> tuple[str, str]:
  """Return the path of libespeak-ng and of its data ('': where the library looks): the wheel's, else the system's."""
  if importlib.util.find_spec('espeakng_loader') is not None:
    import espeakng_loader

    return str(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path())
  found = ctypes.util.find_library('espeak-ng')
  if not found:
    raise InputError(f'task.dataset=espeak needs eSpeak NG, which is not installed: {HELP}')
  return found, ''


@functools.cache
def _version() -> str:
  """Return a name for the library's file, so that another version has another cache."""
  library, _ = _library()
  path = pathlib.Path(library)
  content = path.read_bytes() if path.is_file() else library.encode()
  return hashlib.sha256(content).hexdigest()[:16]


def _checksum(plans: list[tuple[str, str, int]]) -> str:
  return hashlib.sha256(json.dumps(plans).encode()).hexdigest()
