"""--mode=generate: goes on from a prompt with a trained model, and prints the text as it comes."""

import dataclasses
import sys
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
  temperature: float = 1.0,
  top_k: int = 0,
  top_p: float = 1.0,
  seed: int = 0,
  beam: int = 0,
) -> None:
  """Streams prompt and continuation to stdout; with `beam`, prints the likeliest continuation of a beam search.

  A model that reads a source (seq2seq) reads the prompt, and streams what it answers.

  InputError for a task without text or a prompt outside its vocabulary.
  """
  sampling = Sampling(temperature, top_k, top_p)
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
  made: list[int] = []
  shown = ''
  sys.stdout.write(prompt)
  for chunk in chunks:
    made.extend(np.asarray(chunk[0]).tolist())
    # Decoding all of it again keeps characters whole that are made of several tokens (bytes of UTF-8).
    text = loaded.task.decode(np.asarray(made))
    if text.startswith(shown):
      sys.stdout.write(text[len(shown) :])
      sys.stdout.flush()
      shown = text
  sys.stdout.write('\n')
