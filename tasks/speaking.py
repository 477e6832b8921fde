"""Let models of speech_synthesis and speech_frames speak, chunk by chunk."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int

from seqmodels.decoding.sampling import Sampling, decode
from seqmodels.models import Decoder, Model
from seqmodels.notation import Params
from tasks import audio
from tasks.speech_frames import SpeechFrames
from tasks.speech_synthesis import END

CHUNK = 800  # samples at a time where the condition is not read again: 0.1 s at 8 kHz

read = jax.jit(Decoder.read)


class Chunk(NamedTuple):
  """Hold samples in [-1, 1], and the seconds of computing that they took."""

  samples: Float32[np.ndarray, ' n']
  seconds: float


def speak(
  decoder: Decoder,
  condition: Int[np.ndarray, ' c'],
  *,
  block: int,
  samples: int,
  room: int,
  key: jax.Array,
  sampling: Sampling = Sampling(),
) -> Iterator[Chunk]:
  """Yield the sound that a model of samples gives a condition, until it ends it or `samples` are written.

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
    sound = audio.from_mu_law(found[: min(end, samples - made)].astype(np.uint8))
    yield Chunk(sound, time.perf_counter() - start)
    made += steps
    if end < steps:
      return


def speak_frames(
  task: SpeechFrames, model: Model, params: Params, source: Int[np.ndarray, ' s'], samples: int
) -> Iterator[Chunk]:
  """Yield the first `samples` of the sound of a source, in one chunk: Griffin-Lim needs all frames."""
  start = time.perf_counter()
  (frames,) = task.write(model, params, source[None], np.ones((1, len(source)), bool))
  sound = task.audible(frames)[:samples]
  yield Chunk(sound, time.perf_counter() - start)


def sound_of(chunks: Sequence[Chunk]) -> Float32[np.ndarray, ' n']:
  """Return the samples of all chunks."""
  return np.concatenate([chunk.samples for chunk in chunks])
