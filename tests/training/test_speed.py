"""Step times, throughput and utilisation."""

import itertools
import types

import jax
import numpy as np
import pytest

from training import peaks, speed
from training.speed import Speed


def device(kind, stats=None):
  return types.SimpleNamespace(device_kind=kind, process_index=0, memory_stats=lambda: stats)


@pytest.fixture
def clock(monkeypatch):
  """A clock that the test sets."""
  now = types.SimpleNamespace(seconds=0.0)
  monkeypatch.setattr(speed, 'time', types.SimpleNamespace(perf_counter=lambda: now.seconds))
  return now


def test_values_of_known_times(clock):
  devices = [device('TPU v5 lite', {'bytes_in_use': size, 'peak_bytes_in_use': 2 * size}) for size in (3, 5)]
  measured = Speed(1000, 197e9 / 2, devices, 'bfloat16')
  assert measured.values() == {}
  measured.step(9.0)  # of the first step nothing is known: it was compiled
  times = [0.1] * 97 + [0.2, 0.3, 0.4]
  for seconds in times:
    clock.seconds += seconds
    measured.step(0.01)
  values = measured.values()
  rate = 1000 * 100 / sum(times)
  assert values['tokens_per_second'] == pytest.approx(rate)
  assert values['tokens_per_second_per_device'] == pytest.approx(rate / 2)
  assert values['step_seconds_p50'] == pytest.approx(0.1)
  assert values['step_seconds_p99'] == pytest.approx(np.percentile(times, 99))
  assert values['data_wait_share'] == pytest.approx(1.0 / sum(times))
  assert (values['memory_bytes'], values['peak_memory_bytes']) == (5, 10)
  # 197 TFLOP/s a chip by the data sheet, 2 chips: at half of 197 GFLOPs a token.
  assert values['utilisation'] == pytest.approx(rate * (197e9 / 2) / (2 * 197e12))
  assert 'of the data sheet' in speed.shown(values)
  assert measured.values() == {}


def test_a_pause_is_no_step(clock):
  measured = Speed(10, 1.0, [device('TPU v4')], 'bfloat16')
  for seconds in (0.0, 1.0):
    clock.seconds += seconds
    measured.step(0.0)
  measured.pause()
  clock.seconds += 100  # an evaluation
  measured.step(0.0)
  clock.seconds += 1.0
  measured.step(0.0)
  values = measured.values()
  assert values['tokens_per_second'] == 10
  assert 'memory_bytes' not in values  # where the device does not say


@pytest.mark.parametrize(
  ('kind', 'tera'),
  [
    ('NVIDIA H100 80GB HBM3', 989.5),
    ('NVIDIA H100 PCIe', 756.5),
    ('NVIDIA H200', 989.5),
    ('NVIDIA A100-SXM4-80GB', 312.0),
    ('TPU v4', 275.0),
    ('TPU v5 lite', 197.0),
    ('TPU v5', 459.0),
    ('TPU v5p', 459.0),
    ('TPU v6 lite', 918.0),
    ('TPU7x', 1153.5),  # one of the two devices of a chip
    ('NVIDIA B200', 2250.0),
    ('TPU v4 lite', None),
    ('NVIDIA H1000', None),
    ('cpu', None),
  ],
)
def test_the_table_of_peaks(kind, tera):
  peak = peaks.known_peak(kind)
  assert (None if peak is None else peak.flops / 1e12) == tera


def test_an_unknown_device_is_measured_once_and_only_in_a_run_that_lasts(clock, monkeypatch, logged):
  monkeypatch.setattr(peaks, 'SECONDS', 0.01)
  ticks = itertools.count()
  monkeypatch.setattr(peaks, 'time', types.SimpleNamespace(perf_counter=lambda: next(ticks) * 1e-3))
  monkeypatch.setattr(peaks, 'SIZE', 8)
  peaks.measured_peak.cache_clear()
  measured = Speed(10, 100.0, jax.devices()[:1], 'float32')
  for _ in range(3):
    for seconds in (0.0, 6.0):
      clock.seconds += seconds
      measured.step(0.0)
    values = measured.values()
  peak = 2 * 8**3 / 1e-3
  assert values['utilisation_of_measured_peak'] == pytest.approx(values['tokens_per_second'] * 100.0 / peak)
  assert 'utilisation' not in values
  assert 'of a measured peak' in speed.shown(values)
  (message,) = [record.message for record in logged.records]
  assert 'measured float32 products of 8 × 8 matrices' in message
  peaks.measured_peak.cache_clear()
