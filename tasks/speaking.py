"""Let a model of `speech_synthesis` speak: sample after sample, in chunks, with its condition read again and again."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int, UInt8

from seqmodels.decoding.sampling import Sampling, decode
from seqmodels.models import Decoder
from tasks import audio
from tasks.speech_synthesis import END

CHUNK = 800  # samples at a time where the condition is not read again: 0.1 s at 8 kHz

read = jax.jit(Decoder.read)


class Chunk(NamedTuple):
  """Hold samples as codes, and the seconds that they took."""

  codes: UInt8[np.ndarray, 'n']
  seconds: float


def speak(
  decoder: Decoder,
  condition: Int[np.ndarray, 'c'],
  *,
  block: int,
  samples: int,
  room: int,
  key: jax.Array,
  sampling: Sampling = Sampling(),
) -> Iterator[Chunk]:
  """Yield the sound of a condition chunk by chunk, until the model ends it or `samples` are written.

  Args:
    block: samples between two conditions, as in training; 0: the condition stands at the beginning only.
    room: tokens that the state of attention holds; what is older is forgotten.
  """
  sampling = Sampling(sampling.temperature, sampling.top_k, sampling.top_p, END)
  tokens = jnp.asarray(condition, jnp.int32)[None]
  state = decoder.init_state(1, room)
  logits, made, done = None, 0, jnp.zeros((1,), bool)
  while made < samples:
    start = time.perf_counter()
    if logits is None or block:
      outputs, state = read(decoder, tokens, state)
      logits = outputs[:, -1]
    steps = block or CHUNK
    drawn, logits, state, done = decode(
      decoder, logits, state, done, key, jnp.int32(made), sampling=sampling, steps=steps
    )
    found = np.asarray(drawn[0])
    end = int(np.argmax(found == END)) if (found == END).any() else steps
    yield Chunk(found[: min(end, samples - made)].astype(np.uint8), time.perf_counter() - start)
    made += steps
    if end < steps:
      return


def sound_of(chunks: list[Chunk]) -> Float32[np.ndarray, 'n']:
  """Return the samples of all chunks, in [-1, 1]."""
  return audio.from_mu_law(np.concatenate([chunk.codes for chunk in chunks]))
