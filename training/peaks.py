"""The peak of a device in FLOPs a second, that utilisation is a share of."""

import functools
import logging
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

log = logging.getLogger('seqmodels')

# Dense bfloat16 products, in TFLOP/s a device, by JAX's name of it; after NVIDIA's names stands the memory. NVIDIA's
# sheets give twice as much, with sparsity. From TPU v4 to v6e, a device of JAX is a chip;
# of TPU7x it is half of one.
NVIDIA_H100 = 'NVIDIA H100 data sheet, 2024'
NVIDIA_H200 = 'NVIDIA H200 data sheet, 2024'
NVIDIA_B200 = 'NVIDIA DGX B200 data sheet, 2024'
NVIDIA_A100 = 'NVIDIA A100 data sheet, 2022'
TPU = 'Google Cloud TPU system architecture'
PEAKS: tuple[tuple[str, float, str], ...] = (
  ('NVIDIA H100 PCIe', 756.5, NVIDIA_H100),
  ('NVIDIA H100 NVL', 835.5, NVIDIA_H100),
  ('NVIDIA H100', 989.5, NVIDIA_H100),
  ('NVIDIA H200 NVL', 835.5, NVIDIA_H200),
  ('NVIDIA H200', 989.5, NVIDIA_H200),
  ('NVIDIA B200', 2250.0, NVIDIA_B200),
  ('NVIDIA A100', 312.0, NVIDIA_A100),
  ('TPU v4', 275.0, TPU),
  ('TPU v5 lite', 197.0, TPU),  # v5e
  ('TPU v5e', 197.0, TPU),
  ('TPU v5p', 459.0, TPU),
  ('TPU v5', 459.0, TPU),  # v5p
  ('TPU v6 lite', 918.0, TPU),  # v6e
  ('TPU v6e', 918.0, TPU),
  ('TPU7x', 1153.5, TPU),  # half a chip of 2307
)
SIZE = 1024  # rows and columns of the matrices that are multiplied to measure a peak
SECONDS = 0.1  # of measuring


class Peak(NamedTuple):
  """flops: a second, of one device. source: a data sheet, or "measured …". is_measured: whether it was."""

  flops: float
  source: str
  is_measured: bool


def known_peak(kind: str) -> Peak | None:
  """Return the peak of a device by its data sheet, in bfloat16; None for one that is not in the table."""
  for name, tera, sheet in PEAKS:
    if kind == name or (name.startswith('NVIDIA') and kind.startswith((f'{name} ', f'{name}-'))):
      return Peak(tera * 1e12, sheet, False)
  return None


@functools.cache
def measured_peak(device: jax.Device, dtype: str) -> Peak:
  """Return the peak of a device that no data sheet here names, measured once a process, and log it.

  dtype: of the products that are measured.
  """
  flops = measured_flops(device, dtype)
  peak = Peak(flops, f'measured {dtype} products of {SIZE} × {SIZE} matrices', True)
  about = f'no data sheet for {device.device_kind}: utilisation is a share of {flops / 1e12:.3g} TFLOP/s'
  log.info('%s, %s', about, peak.source)
  return peak


def measured_flops(device: jax.Device, dtype: str) -> float:
  """Return the FLOPs a second of the fastest product of two square matrices within SECONDS."""
  x = jax.device_put(jnp.ones((SIZE, SIZE), dtype), device)
  multiply = jax.jit(lambda x: x @ x)
  multiply(x).block_until_ready()
  fastest, end = float('inf'), time.perf_counter() + SECONDS
  while time.perf_counter() < end:
    begun = time.perf_counter()
    multiply(x).block_until_ready()
    fastest = min(fastest, time.perf_counter() - begun)
  return 2 * SIZE**3 / fastest
