"""--mode=generate: goes on from a prompt with a trained model, and prints the text as it comes."""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.beam import beam_search
from seqmodels.errors import InputError
from seqmodels.generate import Sampling, generate
from training import workdir as workdirs

CHUNK = 16  # tokens printed at a time: long enough to hide the dispatch, short enough to read along


def main(
  workdir: str,
  *,
  prompt: str,
  length: int = 200,
  step: int | None = None,
  temperature: float | None = None,
  top_k: int | None = None,
  top_p: float | None = None,
  seed: int = 0,
  beam: int = 0,
) -> None:
  """Streams prompt and continuation to stdout; with `beam`, prints the likeliest continuation of a beam search.

  A model that reads a source (seq2seq) reads the prompt, and streams what it answers.

  InputError for a task without text, a prompt outside its vocabulary, or a way of sampling beside `beam`.
  """
  ways: dict[str, Any] = {'temperature': temperature, 'top_k': top_k, 'top_p': top_p}
  given = {name: value for name, value in ways.items() if value is not None}
  if beam and given:
    raise InputError(f'--{next(iter(given))} and --beam exclude each other: a beam search draws nothing')
  sampling = Sampling(**given)
  loaded = workdirs.load(workdir, step)
  try:
    ids = loaded.task.encode(prompt)
  except TypeError as error:
    raise InputError(f'--mode=generate needs a task of text; {error}') from error
  prompt_ids = jnp.asarray(ids, jnp.int32)[None]
  spec, stop = loaded.model.spec, -1
  more: dict[str, Any] = {}
  if spec.kind == 'seq2seq':
    # The prompt is what is read; what is written begins and ends with the start token.
    more = {'source': prompt_ids}
    prompt_ids, stop = jnp.full((1, 1), spec.start, jnp.int32), spec.start
    prompt = f'{prompt} → '
  if beam:
    tokens, _ = beam_search(loaded.model, loaded.params, prompt_ids, length, beams=beam, stop=stop, **more)
    print(prompt + loaded.task.decode(np.asarray(tokens[0, 0])))
    return
  chunks = generate(
    loaded.model,
    loaded.params,
    prompt_ids,
    length,
    key=jax.random.key(seed),
    sampling=dataclasses.replace(sampling, stop=stop),
    chunk=CHUNK,
    **more,
  )
  sys.stdout.write(prompt)
  for text in pieces((np.asarray(chunk[0]) for chunk in chunks), loaded.task.decode):
    sys.stdout.write(text)
    sys.stdout.flush()
  sys.stdout.write('\n')


def pieces(chunks: Iterable[np.ndarray], decode: Callable[[np.ndarray], str]) -> Iterator[str]:
  """The text of chunks of tokens as they come; joined, it is the text of all tokens at once.

  A character may be made of several tokens (bytes of UTF-8). What decodes to � at the end of a chunk may be the
  beginning of one, and waits for the next chunk.
  """
  made: list[int] = []
  shown, text = 0, ''
  for chunk in chunks:
    made.extend(chunk.tolist())
    text = decode(np.asarray(made))
    certain = len(text.rstrip('\ufffd'))
    if certain > shown:
      yield text[shown:certain]
      shown = certain
  yield text[shown:]
