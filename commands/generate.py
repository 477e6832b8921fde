"""--mode=generate: goes on from prompts with a trained model, and prints the text as it comes."""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.decoding.beam import beam_search
from seqmodels.decoding.sampling import Sampling, generate
from seqmodels.errors import InputError
from tasks.base import Task
from training import workdir as workdirs
from training.workdir import Loaded

CHUNK = 16  # tokens printed at a time: long enough to hide the dispatch, short enough to read along


def main(
  workdir: str,
  *,
  prompt: Sequence[str],
  length: int = 200,
  step: int | None = None,
  temperature: float | None = None,
  top_k: int | None = None,
  top_p: float | None = None,
  seed: int = 0,
  beam: int = 0,
  length_penalty: float | None = None,
  stop: str | None = None,
) -> None:
  """Streams each prompt and its continuation to stdout, one after the other, with an empty line between them.

  Prompt i is drawn with seed + i. With `beam`, all prompts are searched as one batch, and the best continuation of each
  is printed. A model that reads a source (seq2seq) reads the prompt, and writes what it answers. `stop`: a text ends
  before the first place where this stands in it.

  InputError for a task without text, a prompt outside its vocabulary, or a way of sampling beside `beam`.
  """
  ways: dict[str, Any] = {'temperature': temperature, 'top_k': top_k, 'top_p': top_p}
  given = {name: value for name, value in ways.items() if value is not None}
  if beam and given:
    raise InputError(f'--{next(iter(given))} and --beam exclude each other: a beam search draws nothing')
  if length_penalty is not None and not beam:
    raise InputError(f'--length_penalty={length_penalty} needs --beam: sampling has no scores')
  sampling = Sampling(**given)
  loaded = workdirs.load(workdir, step)
  prompts = [encode(loaded.task, '--prompt', text) for text in prompt]
  stops = None if stop is None else encode(loaded.task, '--stop', stop)
  if beam:
    last = stop_token(loaded, stop, stops)
    print('\n\n'.join(search(loaded, prompts, length, beam, last, length_penalty or 0.0)))
    return
  for number, ids in enumerate(prompts):
    if number:
      sys.stdout.write('\n')
    for text in stream(loaded, ids, length, sampling, seed + number, stop or ''):
      sys.stdout.write(text)
      sys.stdout.flush()
    sys.stdout.write('\n')


def encode(task: Task, flag: str, text: str) -> np.ndarray:
  """The ids of a flag's text. InputError if it is empty or outside the vocabulary, or the task is not one of text."""
  shown = repr(text if len(text) <= 40 else f'{text[:40]}…')
  try:
    ids = task.encode(text)
  except TypeError as error:
    raise InputError(f'--mode=generate needs a task of text; {error}') from error
  except InputError as error:
    raise InputError(f'{flag}={shown}: {error}') from error
  if not len(ids):
    raise InputError(f'{flag}={shown} must hold at least one token')
  return ids


def stop_token(loaded: Loaded, stop: str | None, ids: np.ndarray | None) -> int:
  """The token at which a beam ends; -1: none. InputError for a text of several tokens: beams are scored by token."""
  if loaded.model.spec.kind == 'seq2seq':
    if stop is not None:
      raise InputError(f'--stop={stop!r} has no meaning with --beam here: answers end by themselves')
    return loaded.model.spec.start
  if stop is None or ids is None:
    return -1
  told = loaded.task.decode(ids)
  if len(ids) > 1 or stop not in (told, told.strip()):
    raise InputError(f'--stop={stop!r} must be a single token of the vocabulary with --beam')
  return int(ids[0])


def request(loaded: Loaded, prompts: Sequence[np.ndarray]) -> tuple[jax.Array, dict[str, Any], list[str]]:
  """What a model is given for prompts, as one batch: what it goes on from, what else, and what stands before its text.

  Prompts are padded on the right. A model with a source reads them there, and what it writes begins with its start
  token.
  """
  spec, longest = loaded.model.spec, max(map(len, prompts))
  ids = jnp.asarray([np.pad(ids, (0, longest - len(ids))) for ids in prompts], jnp.int32)
  lengths = np.array([len(ids) for ids in prompts])
  mask = None if (lengths == longest).all() else jnp.arange(longest)[None, :] < lengths[:, None]
  texts = [loaded.task.decode(ids) for ids in prompts]
  if spec.kind == 'seq2seq':
    start = jnp.full((len(prompts), 1), spec.start, jnp.int32)
    return start, {'source': ids, 'source_mask': mask}, [f'{text} → ' for text in texts]
  return ids, {'mask': mask}, texts


def search(
  loaded: Loaded, prompts: Sequence[np.ndarray], length: int, beams: int, stop: int, penalty: float
) -> list[str]:
  """Each prompt with the best continuation of a beam search."""
  ids, more, before = request(loaded, prompts)
  how: dict[str, Any] = {'beams': beams, 'stop': stop, 'length_penalty': penalty, **more}
  found, _ = beam_search(loaded.model, loaded.params, ids, length, **how)
  texts = []
  for row in np.asarray(found[:, 0]):
    end = np.argmax(row == stop) if (row == stop).any() else len(row)
    texts.append(loaded.task.decode(row[:end]))
  return [prompt + text for prompt, text in zip(before, texts, strict=True)]


def stream(loaded: Loaded, prompt: np.ndarray, length: int, sampling: Sampling, seed: int, stop: str) -> Iterator[str]:
  """The prompt, and its continuation as it comes."""
  ids, more, (before,) = request(loaded, [prompt])
  spec = loaded.model.spec
  how = dataclasses.replace(sampling, stop=spec.start if spec.kind == 'seq2seq' else -1)
  key = jax.random.key(seed)
  chunks = generate(loaded.model, loaded.params, ids, length, key=key, sampling=how, chunk=CHUNK, **more)
  yield before
  yield from pieces((np.asarray(chunk[0]) for chunk in chunks), loaded.task.decode, stop)


def pieces(chunks: Iterable[np.ndarray], decode: Callable[[np.ndarray], str], stop: str = '') -> Iterator[str]:
  """The text of chunks of tokens as they come; joined, it is the text of all tokens at once, up to `stop`.

  A character may be made of several tokens (bytes of UTF-8). What decodes to � at the end of a chunk may be the
  beginning of one, and waits for the next chunk; so does what may be the beginning of `stop`.
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
