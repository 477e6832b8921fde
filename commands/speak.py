"""--mode=generate of the tasks of speech: write WAV files of prompts, or the text of WAV files."""

import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from seqmodels.decoding.sampling import Sampling
from seqmodels.errors import InputError
from tasks.base import Decoding
from tasks.datasets import wav
from tasks.speaking import Chunk, sound_of, speak, speak_frames
from tasks.speech_frames import SpeechFrames
from tasks.speech_recognition import SpeechRecognition
from tasks.speech_synthesis import SpeechSynthesis
from tasks.transcripts import error_sums
from training import files
from training import workdir as workdirs
from training.metrics import log
from training.settings import eval_settings
from training.workdir import Loaded

EVERY = '*'  # the prompt that stands for all texts and speakers
SAMPLES = 'samples'  # folder in a workdir
LONGEST = 60  # seconds of a sound, where --length says nothing


class Spoken(NamedTuple):
  prompt: str
  path: pathlib.Path
  samples: np.ndarray


def synthesise(
  loaded: Loaded, prompts: Sequence[str], sampling: Sampling, *, seed: int, length: int, output: str, recogniser: str
) -> None:
  """Write a WAV file a prompt and print its path, seconds, real-time factor and µs a sample, which leave compiling out.

  The real-time factor is computing time over the time of the sound. With `recogniser`, a workdir, what its model
  hears stands beside, and at the end the errors over all prompts.

  Raises:
    InputError: a prompt that is no text and speaker of the task, or an output that cannot be written.
  """
  task = loaded.task
  assert isinstance(task, SpeechSynthesis | SpeechFrames)
  prompts = [one for prompt in prompts for one in (task.prompts() if prompt == EVERY else [prompt])]
  conditions = [_condition(task, prompt) for prompt in prompts]
  listener = _listener(recogniser, task.rate) if recogniser else None
  paths = _paths(loaded, prompts, output)
  files.check_writable('output', output, paths[0].parent)
  length = length or LONGEST * task.rate
  streamed, spoken = _streams(loaded, sampling, length), []
  for number, (prompt, condition, path) in enumerate(zip(prompts, conditions, paths, strict=True)):
    if not number:  # compile
      next(streamed(condition, seed))
    chunks = list(streamed(condition, seed + number))
    samples = sound_of(chunks)
    with files.writing(path):
      path.parent.mkdir(parents=True, exist_ok=True)
      files.write_bytes(path, wav.encode(samples, task.rate))
    print(f'{path}: {about(chunks, len(samples), task.rate)}', flush=True)
    spoken.append(Spoken(prompt, path, samples))
  if listener is not None:
    _round_trip(listener, task, spoken)


def _streams(loaded: Loaded, sampling: Sampling, length: int) -> Callable[[np.ndarray, int], Iterator[Chunk]]:
  """Return the function from a condition and a seed to the chunks of its sound."""
  task = loaded.task
  if isinstance(task, SpeechFrames):
    return lambda condition, seed: speak_frames(task, loaded.model, loaded.params, condition, length)
  assert isinstance(task, SpeechSynthesis)
  decoder, room = loaded.model.decoder(loaded.params), _room(loaded)
  length = min(length, task.longest(task.sound))

  def stream(condition: np.ndarray, seed: int) -> Iterator[Chunk]:
    key = jax.random.key(seed)
    return speak(decoder, condition, block=task.block, samples=length, room=room, key=key, sampling=sampling)

  return stream


def about(chunks: Sequence[Chunk], samples: int, rate: int) -> str:
  """Return how long a sound is and how fast it was made."""
  seconds = sum(chunk.seconds for chunk in chunks)
  if not samples:
    return 'the model ends it at once: 0 samples'
  return (
    f'{samples / rate:.2f} s of sound in {len(chunks)} chunks, real-time factor {seconds * rate / samples:.3g}, '
    f'{1e6 * seconds / samples:.3g} µs a sample'
  )


def transcribe(loaded: Loaded, prompts: Sequence[str], beams: int, length_penalty: float) -> None:
  """Print the text of each prompt, which is the path of a WAV file. Raises InputError for what is none."""
  task = loaded.task
  assert isinstance(task, SpeechRecognition)
  sounds = [_read(prompt, task.rate) for prompt in prompts]
  batch = task.sounds(sounds)
  for prompt, text in zip(
    prompts, task.transcribe(loaded.model, loaded.params, batch, Decoding(beams or 1, length_penalty)), strict=True
  ):
    print(f'{prompt}: {text}')


def _condition(task: SpeechSynthesis | SpeechFrames, prompt: str) -> np.ndarray:
  try:
    return task.encode(prompt)
  except InputError as error:
    raise InputError(f'--prompt={prompt!r}: {error}; {EVERY} stands for all') from error


def _room(loaded: Loaded) -> int:
  """Return the tokens that attention held in evaluation, or those of a whole sequence."""
  return eval_settings(loaded.config['eval']).for_task(loaded.task).memory or loaded.task.spec.length


def _paths(loaded: Loaded, prompts: Sequence[str], output: str) -> list[pathlib.Path]:
  """Return a path a prompt: `output` itself if it is a .wav file, else in that folder or in the workdir's samples."""
  if output.endswith('.wav'):
    if len(prompts) > 1:
      raise InputError(f'--output={output} is one file for {len(prompts)} prompts; name a folder')
    return [pathlib.Path(output)]
  folder = pathlib.Path(output)
  names = [re.sub(r'[^\w-]+', '_', prompt) or 'sound' for prompt in prompts]
  seen: dict[str, int] = {}
  paths = []
  for name in names:
    seen[name] = seen.get(name, 0) + 1
    paths.append(folder / (f'{name}.wav' if seen[name] == 1 else f'{name}_{seen[name]}.wav'))
  return paths


def _listener(workdir: str, rate: int) -> Loaded:
  listener = workdirs.load(workdir)
  if not isinstance(listener.task, SpeechRecognition) or listener.task.rate != rate:
    raise InputError(f'--recogniser={workdir} must hold a model of speech_recognition at {rate} Hz')
  return listener


def _round_trip(listener: Loaded, task: SpeechSynthesis | SpeechFrames, spoken: Sequence[Spoken]) -> None:
  """Print what a recogniser hears, and its error rates."""
  recogniser = listener.task
  assert isinstance(recogniser, SpeechRecognition)
  most = recogniser.steps_read * recogniser.step
  batch = recogniser.sounds([wav.to_int16(one.samples[:most] if len(one.samples) else np.zeros(1)) for one in spoken])
  heard = recogniser.transcribe(listener.model, listener.params, batch)
  said = [task.text_of(task.encode(one.prompt)) for one in spoken]
  for one, text in zip(spoken, heard, strict=True):
    print(f'{one.path}: heard {text!r}')
  totals = {
    name: (float(errors.sum()), float(sizes.sum())) for name, (errors, sizes) in error_sums(heard, said).items()
  }
  print(f'{len(spoken)} sounds: ' + ', '.join(f'{name} {errors / size:.4g}' for name, (errors, size) in totals.items()))


def _read(prompt: str, rate: int) -> np.ndarray:
  path = pathlib.Path(prompt)
  try:
    sound = wav.decode(path.read_bytes())
  except OSError as error:
    raise InputError(f'--prompt={prompt} must be a WAV file: {files.reason(error)}') from error
  except wav.Unreadable as error:
    raise InputError(f'--prompt={prompt} {error}') from error
  if sound.rate != rate:
    log.info('%s: resampled from %d to %d Hz', prompt, sound.rate, rate)
  return wav.to_int16(wav.resampled(sound.samples, sound.rate, rate))
