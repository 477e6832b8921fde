"""Read and write WAV files, and change their rate. NumPy and SciPy only."""

import functools
import math
import struct
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int16

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # format tags
UNKNOWN_SIZE = 0xFFFFFFFF  # of data that were written to a pipe
LARGEST = 32767  # 16-bit sample


class Unreadable(Exception):
  """Report content that is no WAV file this module reads, in one short line."""


@dataclass(frozen=True)
class Sound:
  """Hold samples in [-1, 1], mixed down to one channel; `rate` in Hz, `channels` of the file."""

  samples: Float32[np.ndarray, ' n']
  rate: int
  channels: int = 1


def decode(content: bytes) -> Sound:
  """Return the sound of a WAV file: integers of 8, 16, 24 or 32 bits, or floats of 32 or 64; channels are averaged.

  Raises Unreadable for anything else, and for a file that is cut short, has no samples, or holds NaN.
  """
  if not content:
    raise Unreadable('is empty: 0 bytes')
  if content[:4] != b'RIFF' or content[8:12] != b'WAVE':
    raise Unreadable('is no WAV file: it does not begin with RIFF … WAVE')
  layout, data = None, None
  at = 12
  while at + 8 <= len(content) and data is None:
    name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], 'little')
    if name == b'data' and size == UNKNOWN_SIZE:
      size = len(content) - at - 8
    if at + 8 + size > len(content):
      raise Unreadable(f'is cut short: {len(content)} bytes, where its header says {at + 8 + size}')
    body = content[at + 8 : at + 8 + size]
    if name == b'fmt ':
      layout = _layout(body)
    elif name == b'data':
      data = body
    at += 8 + size + size % 2
  if layout is None or data is None:
    raise Unreadable(f'has no {"fmt" if layout is None else "data"} chunk')
  kind, channels, rate, bits = layout
  frame = channels * bits // 8
  if len(data) < frame:
    raise Unreadable('has no samples')
  values = _values(data[: len(data) // frame * frame], kind, bits).reshape(-1, channels).mean(axis=1)
  if not np.isfinite(values).all():
    raise Unreadable('holds samples that are not finite')
  return Sound(values.astype(np.float32), rate, channels)


def _layout(body: bytes) -> tuple[int, int, int, int]:
  """Return format tag, channels, rate and bits of a fmt chunk."""
  if len(body) < 16:
    raise Unreadable('has a fmt chunk that is too short')
  kind, channels, rate, _, _, bits = struct.unpack('<HHIIHH', body[:16])
  if kind == EXTENSIBLE and len(body) >= 26:
    kind = int.from_bytes(body[24:26], 'little')
  if (kind, bits) not in {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)}:
    raise Unreadable(f'has samples of format {kind} with {bits} bits; allowed: 8, 16, 24, 32-bit PCM and float')
  if not channels or not rate:
    raise Unreadable(f'has {channels} channels at {rate} Hz')
  return kind, channels, rate, bits


def _values(data: bytes, kind: int, bits: int) -> np.ndarray:
  """Return all samples in float64; integers are divided by their range."""
  if kind == FLOAT:
    return np.frombuffer(data, f'<f{bits // 8}').astype(np.float64)
  if bits == 8:
    return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
  if bits == 24:
    parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
    whole = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
    return np.where(whole >= 1 << 23, whole - (1 << 24), whole) / 2.0**23
  return np.frombuffer(data, f'<i{bits // 8}') / 2.0 ** (bits - 1)


def resampled(samples: Float32[np.ndarray, ' n'], rate: int, to: int) -> Float32[np.ndarray, ' m']:
  """Return the sound at another rate, by a polyphase filter (`scipy.signal.resample_poly`)."""
  if rate == to:
    return samples
  import scipy.signal

  common = math.gcd(rate, to)
  return scipy.signal.resample_poly(samples.astype(np.float64), to // common, rate // common).astype(np.float32)


def to_int16(samples: Float32[np.ndarray, ' n']) -> Int16[np.ndarray, ' n']:
  """Return 16-bit samples; what lies outside [-1, 1] is clipped."""
  return np.round(np.clip(samples, -1, 1) * LARGEST).astype(np.int16)


def encode(samples: Float32[np.ndarray, ' n'], rate: int) -> bytes:
  """Return a WAV file of 16-bit samples in one channel."""
  data = to_int16(samples).astype('<i2').tobytes()
  return header(len(data), rate) + data


@functools.lru_cache(maxsize=16)
def header(size: int, rate: int) -> bytes:
  """Return the header before `size` bytes of 16-bit samples in one channel."""
  layout = struct.pack('<HHIIHH', PCM, 1, rate, 2 * rate, 2, 16)
  return (
    b'RIFF'
    + struct.pack('<I', 36 + size)
    + b'WAVEfmt '
    + struct.pack('<I', 16)
    + layout
    + b'data'
    + struct.pack('<I', size)
  )
