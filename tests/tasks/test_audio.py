"""Features of sound against their formulas in float64 (SciPy, librosa's triangles), written independently."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from seqmodels.errors import InputError
from tasks import audio

RANDOM = np.random.default_rng(0)


def test_mu_law_is_that_of_the_standard():
  x = np.linspace(-1, 1, 1001)
  expected = np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)
  np.testing.assert_allclose(audio.companded(audio.mu_law(x)), expected, atol=1 / 255 + 1e-6)


def test_every_code_stands_for_a_sample_of_its_own():
  codes = np.arange(256, dtype=np.uint8)
  samples = audio.from_mu_law(codes)
  assert (np.diff(samples) > 0).all()
  assert (samples[0], samples[-1]) == (-1, 1)
  np.testing.assert_array_equal(audio.mu_law(samples), codes)
  assert audio.mu_law(np.array([0.0, -3.0, 3.0])).tolist() == [128, 0, 255]


@pytest.mark.parametrize('length', [1, 199, 200, 201, 280, 281, 1000])
def test_frames_cover_every_sample(length):
  samples = RANDOM.integers(-1000, 1000, length).astype(np.int16)
  frames = audio.framed(samples, 200, 80)
  assert len(frames) == audio.frame_count(length, 200, 80)
  assert (len(frames) - 1) * 80 + 200 >= length
  assert len(frames) == 1 or (len(frames) - 2) * 80 + 200 < length
  for i, frame in enumerate(frames):
    expected = np.zeros(200)
    part = samples[80 * i : 80 * i + 200] / 32768
    expected[: len(part)] = part
    np.testing.assert_allclose(frame, expected, atol=1e-7)


def htk_filters(rate, size, mels):
  """librosa.filters.mel(htk=True, norm=None), loop by loop."""
  hertz = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(0, 2595 * np.log10(1 + rate / 1400), mels + 2)]
  filters = np.zeros((size // 2 + 1, mels))
  for m in range(mels):
    low, centre, high = hertz[m : m + 3]
    for k in range(size // 2 + 1):
      f = k * rate / size
      if low <= f <= centre:
        filters[k, m] = (f - low) / (centre - low)
      elif centre < f <= high:
        filters[k, m] = (high - f) / (high - centre)
  return filters


@pytest.mark.parametrize(('rate', 'window', 'hop', 'mels'), [(8000, 200, 80, 40), (16_000, 400, 160, 80)])
def test_log_mel_is_that_of_scipys_transform_and_librosas_triangles(rate, window, hop, mels):
  samples = (3000 * RANDOM.normal(size=rate // 4)).astype(np.int16)
  frames = audio.framed(samples, window, hop)
  size = 1 << (window - 1).bit_length()
  padded = np.concatenate([samples, np.zeros(window, np.int16)]) / 32768
  _, _, spectrum = scipy.signal.stft(
    padded, window='hann', nperseg=window, noverlap=window - hop, nfft=size, boundary=None, padded=False, scaling='psd'
  )
  hann = scipy.signal.get_window('hann', window)
  power = np.abs(spectrum.T[: len(frames)]) ** 2 * np.square(hann).sum()
  expected = np.log(np.maximum(power @ htk_filters(rate, size, mels), audio.FLOOR))
  np.testing.assert_allclose(audio.log_mel_of(frames, rate, mels), expected, atol=2e-4)


def test_log_mel_does_not_depend_on_what_is_computed_together():
  number = audio.TOGETHER // 200 + 3
  frames = RANDOM.normal(size=(number, 200)).astype(np.float32)
  whole = audio.log_mel_of(frames, 8000, 20)
  np.testing.assert_allclose(whole[-3:], audio.log_mel_of(frames[-3:], 8000, 20), atol=1e-5)
  assert whole.shape == (number, 20)


def test_silence_has_a_finite_gradient():
  total = lambda frames: jnp.sum(audio.log_mel(frames, 8000, 20))
  value, gradient = jax.jit(jax.value_and_grad(total))(jnp.zeros((2, 200)))
  assert value == pytest.approx(2 * 20 * np.log(audio.FLOOR), rel=1e-5)
  assert np.isfinite(gradient).all()


def test_too_many_bands_are_refused():
  with pytest.raises(InputError, match=r'task\.mels=200 is too many for frames of 256 samples at 8000 Hz'):
    audio.mel_filters(8000, 256, 200)
