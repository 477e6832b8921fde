"""Turn sound into what models read: µ-law codes, frames, and log-mel spectrograms, which are computed in JAX."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int16, UInt8

from seqmodels.errors import InputError

LEVELS = 256  # of the µ-law
MU = LEVELS - 1
OVERLAP = 2.5  # length of a frame in hops
FLOOR = 1e-6  # the least power of a mel band
TOGETHER = 2**20  # samples of the frames that one call computes


def mu_law(samples: Float[np.ndarray, '*n']) -> UInt8[np.ndarray, '*n']:
  """Return the 8-bit codes of samples in [-1, 1] (ITU-T G.711 in its continuous form); 128 is silence."""
  compressed = np.sign(samples) * np.log1p(MU * np.abs(np.clip(samples, -1, 1))) / math.log1p(MU)
  return np.minimum(np.floor((compressed + 1) / 2 * MU + 0.5), MU).astype(np.uint8)


def companded(codes: UInt8[np.ndarray, '*n']) -> Float32[np.ndarray, '*n']:
  """Return the codes as numbers in [-1, 1], evenly spaced."""
  return (2 * codes.astype(np.float32) / MU - 1).astype(np.float32)


def from_mu_law(codes: UInt8[np.ndarray, '*n']) -> Float32[np.ndarray, '*n']:
  """Return the samples that codes stand for."""
  values = companded(codes)
  return (np.sign(values) * np.expm1(np.abs(values) * math.log1p(MU)) / MU).astype(np.float32)


def frame_count(samples: int, window: int, hop: int) -> int:
  """Return how many frames cover all samples; at least one."""
  return 1 + max(0, -(-(samples - window) // hop))


def framed(samples: Int16[np.ndarray, ' n'], window: int, hop: int) -> Float32[np.ndarray, 'f w']:
  """Return frames of `window` samples in [-1, 1], one every `hop`, zeros behind the end."""
  frames = frame_count(len(samples), window, hop)
  padded = np.zeros((frames - 1) * hop + max(window, len(samples)), np.float32)
  padded[: len(samples)] = samples / np.float32(32768)
  return np.lib.stride_tricks.sliding_window_view(padded, window)[: (frames - 1) * hop + 1 : hop]


def transform_size(window: int) -> int:
  """Return the length of the Fourier transform of a frame: the next power of two."""
  return 1 << (window - 1).bit_length()


def hann(window: int) -> Float32[np.ndarray, ' w']:
  """Return a periodic Hann window."""
  return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


@functools.cache
def mel_filters(rate: int, size: int, mels: int) -> Float32[np.ndarray, 'k m']:
  """Return triangles over the bins of a Fourier transform of `size` samples, evenly spaced in mel (O'Shaughnessy 1987).

  Raises InputError where a triangle is so narrow that no bin lies in it.
  """
  refusal = InputError(
    f'task.mels={mels} is too many for frames of {size} samples at {rate} Hz: a band holds no frequency'
  )
  if mels > size // 2:
    raise refusal
  mel = lambda hertz: 2595 * np.log10(1 + hertz / 700)
  edges = 700 * (10 ** (np.linspace(0, mel(rate / 2), mels + 2) / 2595) - 1)
  bins = np.arange(size // 2 + 1) * rate / size
  rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])[None]
  falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])[None]
  filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
  if not filters.any(axis=0).all():
    raise refusal
  return filters


def log_mel(frames: Float32[Array, 'f w'], rate: int, mels: int) -> Float32[Array, 'f m']:
  """Return the logarithms of the power in `mels` bands of each frame under a Hann window.

  A pure function of JAX. Its gradient is finite: power below FLOOR counts as FLOOR.
  """
  window = frames.shape[-1]
  size = transform_size(window)
  spectrum = jnp.fft.rfft(frames * hann(window)[None, :], size, axis=-1)
  power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
  bands = jnp.matmul(power, mel_filters(rate, size, mels), precision=jax.lax.Precision.HIGHEST)
  return jnp.log(jnp.maximum(bands, FLOOR))


_log_mel = jax.jit(log_mel, static_argnames=('rate', 'mels'))


def log_mel_of(frames: Float32[np.ndarray, 'f w'], rate: int, mels: int) -> Float32[np.ndarray, 'f m']:
  """Return `log_mel` as NumPy, computed on the CPU, so that the data are the same beside every accelerator."""
  with jax.default_device(_cpu()):
    parts, together = [], max(1, TOGETHER // frames.shape[1])
    for start in range(0, len(frames), together):
      part = frames[start : start + together]
      whole = np.zeros((together, frames.shape[1]), np.float32)  # one shape, which is compiled once
      whole[: len(part)] = part
      parts.append(np.asarray(_log_mel(whole, rate, mels))[: len(part)])
  return np.concatenate(parts)


def griffin_lim(
  bands: Float[np.ndarray, 'f m'], rate: int, window: int, hop: int, rounds: int = 60
) -> Float32[np.ndarray, ' n']:
  """Return a sound whose log-mel bands are about these, its largest sample being 0.5 (Griffin & Lim 1984).

  The power of each frequency is that of the pseudoinverse of the filters; phases begin at random, the same each time.
  """
  size = transform_size(window)
  inverse = np.linalg.pinv(mel_filters(rate, size, bands.shape[1]).astype(np.float64))
  magnitude = np.sqrt(np.maximum(np.exp(bands.astype(np.float64)) @ inverse, 0))
  phase = np.random.default_rng(0).uniform(-np.pi, np.pi, magnitude.shape)
  taper, length = hann(window).astype(np.float64), (len(bands) - 1) * hop + window
  places = hop * np.arange(len(bands))[:, None] + np.arange(window)[None, :]
  added = lambda frames: np.bincount(places.ravel(), frames.ravel(), length)
  weight = np.maximum(added(np.tile(np.square(taper), (len(bands), 1))), 1e-3)
  sound = np.zeros(length)
  for _ in range(rounds):
    frames = np.fft.irfft(magnitude * np.exp(1j * phase), size, axis=1)[:, :window] * taper
    sound = added(frames) / weight
    phase = np.angle(np.fft.rfft(sound[places] * taper, size, axis=1))
  return (0.5 * sound / max(np.abs(sound).max(), 1e-9)).astype(np.float32)


def _cpu() -> jax.Device | None:
  """Return this process's CPU; None, which is the default device, where JAX runs on nothing else."""
  try:
    return jax.local_devices(backend='cpu')[0]
  except RuntimeError:
    return None
