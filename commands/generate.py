"""--mode=generate: continue prompts with a trained model, and print the text as it is generated."""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from commands import speak
from commands.flags import check_decoding
from seqmodels.decoding.beam import beam_search
from seqmodels.decoding.sampling import Sampling, generate
from seqmodels.errors import InputError
from seqmodels.models import Model
from tasks.answers import before_end
from tasks.base import Task
from tasks.speech_frames import SpeechFrames
from tasks.speech_recognition import SpeechRecognition
from tasks.speech_synthesis import SpeechSynthesis
from training import files, limits, rebuilding
from training import workdir as workdirs
from training.workdir import Loaded

LENGTH = 200  # tokens, where --length says nothing
CHUNK = 16  # tokens printed at a time: long enough to hide the dispatch, short enough to read along


def main(
  workdir: str,
  *,
  prompt: Sequence[str],
  length: int | None = None,
  step: int | None = None,
  temperature: float | None = None,
  top_k: int | None = None,
  top_p: float | None = None,
  seed: int = 0,
  beam: int = 0,
  length_penalty: float | None = None,
  stop: str | None = None,
  output: str | None = None,
  recogniser: str | None = None,
) -> None:
  """Stream each prompt and its continuation to stdout, one after the other, with an empty line between them.

  Prompt i is sampled with seed + i. With `beam`, all prompts are searched as one batch, and the best continuation of
  each is printed. A model with a source (seq2seq) reads the prompt as its source and writes the answer. With `stop`, a
  text ends before the first place where it contains `stop`. A model of packed documents reads a prompt as the beginning
  of one, which may be empty, and a text ends where the model ends it.

  Models of speech write WAV files, or the text of those that the prompts name: see `speak`.

  Raises:
    InputError: a task without text, a prompt outside its vocabulary, or flags of sampling beside `beam`.
  """
  ways: dict[str, Any] = {'temperature': temperature, 'top_k': top_k, 'top_p': top_p}
  flags = {name: value for name, value in ways.items() if value is not None}
  check_decoding(flags, beam, length_penalty)
  sampling = Sampling(**flags)
  folder = files.resolve('workdir', workdir)
  loaded = workdirs.load(folder, step, rebuilding.without_data(folder))
  if isinstance(loaded.task, SpeechSynthesis | SpeechFrames):
    check_unused(loaded.task, beam=beam or None, stop=stop)
    if isinstance(loaded.task, SpeechFrames):
      check_unused(loaded.task, **flags)
    samples = output or str(pathlib.Path(workdir) / speak.SAMPLES)
    speak.synthesise(
      loaded, prompt, sampling, seed=seed, length=length or 0, output=samples, recogniser=recogniser or ''
    )
    return
  if isinstance(loaded.task, SpeechRecognition):
    check_unused(loaded.task, stop=stop, output=output, recogniser=recogniser, length=length, **flags)
    speak.transcribe(loaded, prompt, beam, length_penalty or 0.0)
    return
  check_unused(loaded.task, output=output, recogniser=recogniser)
  length = length or LENGTH
  prompts = [encode(loaded.task.prompt, '--prompt', text) for text in prompt]
  stops = None if stop is None else encode(loaded.task.encode, '--stop', stop)
  if beam:
    last = stop_token(loaded, stop, stops)
    check_beams(loaded.model, beam, length, prompts)
    print('\n\n'.join(search(loaded, prompts, length, beam, last, length_penalty or 0.0)))
    return
  for number, ids in enumerate(prompts):
    if number:
      sys.stdout.write('\n')
    for text in stream(loaded, ids, length, sampling, seed + number, stop or ''):
      sys.stdout.write(text)
      sys.stdout.flush()
    sys.stdout.write('\n')


def check_unused(task: Task, **flags: Any) -> None:
  """Raise InputError for a flag that has no meaning with a task."""
  for name, value in flags.items():
    if value is not None:
      raise InputError(f'--{name}={value} has no meaning with the task {type(task).__name__}')


def encode(read: Callable[[str], np.ndarray], flag: str, text: str) -> np.ndarray:
  """Return the ids that a task's `read` makes of a flag's text.

  Raises InputError if there are none, for text outside the vocabulary, and for a task without text.
  """
  shown = repr(text if len(text) <= 40 else f'{text[:40]}…')
  try:
    ids = read(text)
  except TypeError as error:
    raise InputError(f'--mode=generate needs a task of text; {error}') from error
  except InputError as error:
    raise InputError(f'{flag}={shown}: {error}') from error
  if not len(ids):
    raise InputError(f'{flag}={shown} must hold at least one token')
  return ids


def stop_token(loaded: Loaded, stop: str | None, ids: np.ndarray | None) -> int:
  """Return the token at which a beam ends; -1: none. InputError for a `stop` of several tokens."""
  if loaded.model.spec.kind == 'seq2seq':
    if stop is not None:
      raise InputError(f'--stop={stop!r} has no meaning with --beam here: answers end by themselves')
    return loaded.model.spec.start
  if stop is None or ids is None:
    return loaded.task.end_of_text
  text = loaded.task.decode(ids)
  if len(ids) > 1 or stop not in (text, text.strip()):
    raise InputError(f'--stop={stop!r} must be a single token of the vocabulary with --beam')
  return int(ids[0])


def check_beams(model: Model, beams: int, length: int, prompts: Sequence[np.ndarray]) -> None:
  """Raise InputError for beams whose tokens, logits and states do not fit the memory."""
  rows, room = beams * len(prompts), max(map(len, prompts)) + length
  each = limits.state_bytes(model, 1, room) + 4 * (2 * length + model.spec.output.size)
  if rows * each > limits.memory_bytes():
    raise InputError(
      f'--beam={beams}: the beams of {len(prompts)} prompts and {length} tokens need {rows * each / 2**30:,.3g} GiB; '
      f'this machine has {limits.memory_bytes() / 2**30:,.3g} GiB'
    )


def request(loaded: Loaded, prompts: Sequence[np.ndarray]) -> tuple[jax.Array, dict[str, Any], list[str]]:
  """Return the inputs of a model for a batch of prompts: tokens, further arguments, and the text to print before.

  Prompts are padded on the right. A model with a source reads them as its source, and its tokens begin with its start
  token.
  """
  spec, longest = loaded.model.spec, max(map(len, prompts))
  ids = jnp.asarray([np.pad(ids, (0, longest - len(ids))) for ids in prompts], jnp.int32)
  lengths = np.array([len(ids) for ids in prompts])
  mask = None if (lengths == longest).all() else jnp.arange(longest)[None, :] < lengths[:, None]
  if spec.kind == 'seq2seq':
    start = jnp.full((len(prompts), 1), spec.start, jnp.int32)
    texts = [f'{loaded.task.decode_source(ids)} → ' for ids in prompts]
    return start, {'source': ids, 'source_mask': mask}, texts
  return ids, {'mask': mask}, [loaded.task.decode(ids) for ids in prompts]


def search(
  loaded: Loaded, prompts: Sequence[np.ndarray], length: int, beams: int, stop: int, penalty: float
) -> list[str]:
  """Return each prompt with the best continuation of a beam search."""
  ids, options, before = request(loaded, prompts)
  found, _ = beam_search(
    loaded.model, loaded.params, ids, length, beams=beams, stop=stop, length_penalty=penalty, **options
  )
  texts = []
  for row in np.asarray(found[:, 0]):
    texts.append(loaded.task.decode(before_end(before_end(row, stop), loaded.task.end_of_text)))
  return [prompt + text for prompt, text in zip(before, texts, strict=True)]


def stream(loaded: Loaded, prompt: np.ndarray, length: int, sampling: Sampling, seed: int, stop: str) -> Iterator[str]:
  """Yield the prompt, then its continuation in chunks."""
  ids, options, (before,) = request(loaded, [prompt])
  spec = loaded.model.spec
  sampling = dataclasses.replace(sampling, stop=spec.start if spec.kind == 'seq2seq' else loaded.task.end_of_text)
  key = jax.random.key(seed)
  chunks = generate(loaded.model, loaded.params, ids, length, key=key, sampling=sampling, chunk=CHUNK, **options)
  yield before
  yield from pieces((np.asarray(chunk[0]) for chunk in chunks), loaded.task.decode, stop)


def pieces(chunks: Iterable[np.ndarray], decode: Callable[[np.ndarray], str], stop: str = '') -> Iterator[str]:
  """Yield the text of chunks of tokens; joined, it is the text of all tokens at once, up to `stop`.

  A character may span several tokens (bytes of UTF-8). A � at the end of a chunk may be an incomplete character, and
  is held back until the next chunk; so is a possible beginning of `stop`.
  """
  made: list[int] = []
  shown, text = 0, ''
  for chunk in chunks:
    made.extend(chunk.tolist())
    text = decode(np.asarray(made))
    if stop and stop in text:
      yield text[shown : text.index(stop)]
      return
    certain = text.rstrip('\ufffd')
    begun = next((n for n in range(len(stop) - 1, 0, -1) if certain.endswith(stop[:n])), 0)
    if len(certain) - begun > shown:
      yield certain[shown : len(certain) - begun]
      shown = len(certain) - begun
  yield text[shown:]
