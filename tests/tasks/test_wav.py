"""WAV files against SciPy's reader and writer, resampling against a tone, and content that is refused in one line."""

import io
import struct
import warnings

import numpy as np
import pytest
import scipy.io.wavfile

from tasks.datasets import wav

RANDOM = np.random.default_rng(0)


def written(values, rate=8000):
  stream = io.BytesIO()
  scipy.io.wavfile.write(stream, rate, values)
  return stream.getvalue()


def chunked(kind, channels, rate, bits, data, extension=b''):
  layout = struct.pack('<HHIIHH', kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
  layout += extension
  body = b'WAVEfmt ' + struct.pack('<I', len(layout)) + layout
  body += b'LIST' + struct.pack('<I', 3) + b'abc\0'  # an odd chunk, padded
  body += b'data' + struct.pack('<I', len(data)) + data
  return b'RIFF' + struct.pack('<I', len(body)) + body


@pytest.mark.parametrize('channels', [1, 2, 3])
@pytest.mark.parametrize('kind', ['uint8', 'int16', 'int32', 'float32', 'float64'])
def test_formats_are_read_as_scipy_writes_them(kind, channels):
  if kind.startswith('float'):
    values = RANDOM.uniform(-1, 1, (100, channels)).astype(kind)
    expected = values.astype(np.float64)
  else:
    info = np.iinfo(kind)
    values = RANDOM.integers(info.min, info.max, (100, channels), endpoint=True).astype(kind)
    expected = (values.astype(np.float64) - (128 if kind == 'uint8' else 0)) / (1 << (info.bits - 1))
  sound = wav.decode(written(values if channels > 1 else values[:, 0], 44_100))
  assert (sound.rate, sound.channels, sound.samples.dtype) == (44_100, channels, np.float32)
  np.testing.assert_allclose(sound.samples, expected.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize('kind', [wav.PCM, wav.EXTENSIBLE])
def test_24_bits_are_read_as_scipy_reads_them(kind):
  data = RANDOM.integers(0, 256, 3 * 50, dtype=np.uint8).tobytes()
  guid = struct.pack('<HHIH', 22, 24, 0, wav.PCM) + bytes.fromhex('000000001000800000aa00389b71')
  content = chunked(kind, 1, 16_000, 24, data, guid if kind == wav.EXTENSIBLE else b'')
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # of chunks that SciPy does not know
    _, expected = scipy.io.wavfile.read(io.BytesIO(content))  # in the upper bits of 32
  np.testing.assert_allclose(wav.decode(content).samples, expected / 2.0**31, atol=1e-7)


def test_what_is_written_is_read_back_and_by_scipy():
  samples = np.array([0, 0.5, -0.5, 1, -1, 2], np.float32)
  content = wav.encode(samples, 8000)
  rate, values = scipy.io.wavfile.read(io.BytesIO(content))
  assert (rate, values.tolist()) == (8000, [0, 16384, -16384, 32767, -32767, 32767])
  np.testing.assert_allclose(wav.decode(content).samples, np.clip(samples, -1, 1), atol=1e-4)


def test_a_header_for_a_pipe_is_read():
  content = bytearray(wav.encode(np.full(10, 0.25, np.float32), 8000))
  content[40:44] = b'\xff' * 4
  np.testing.assert_allclose(wav.decode(bytes(content)).samples, 0.25, atol=1e-4)


GOOD = wav.encode(np.ones(10, np.float32), 8000)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'is empty: 0 bytes'),
    (b'ID3\x04 an MP3 file', 'is no WAV file'),
    (GOOD[:50], 'is cut short: 50 bytes, where its header says 64'),
    (GOOD[:36], 'has no data chunk'),
    (GOOD[:12] + GOOD[36:], 'has no fmt chunk'),
    (wav.header(0, 8000), 'has no samples'),
    (chunked(wav.PCM, 1, 8000, 12, b'1234'), 'format 1 with 12 bits; allowed: 8, 16, 24, 32-bit PCM and float'),
    (chunked(7, 1, 8000, 8, b'1234'), 'format 7 with 8 bits'),
    (chunked(wav.PCM, 0, 8000, 16, b'1234'), 'has 0 channels'),
    (chunked(wav.FLOAT, 1, 8000, 32, np.array([0, np.nan], '<f4').tobytes()), 'not finite'),
  ],
  ids=['empty', 'mp3', 'short', 'no data', 'no format', 'no samples', '12 bits', 'mu-law', 'no channels', 'nan'],
)
def test_other_content_is_refused_in_one_line(content, message):
  with pytest.raises(wav.Unreadable, match=message) as caught:
    wav.decode(content)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('rate', [44_100, 16_000, 8000, 6000])
def test_a_tone_is_the_same_at_another_rate(rate):
  tone = lambda rate: np.sin(2 * np.pi * 440 * np.arange(rate // 4) / rate).astype(np.float32)
  found = wav.resampled(tone(rate), rate, 8000)
  assert abs(len(found) - 2000) <= 1
  np.testing.assert_allclose(found[100:1900], tone(8000)[100:1900], atol=0.01)
