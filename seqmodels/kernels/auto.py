"""What `backend='auto'` stands for: the fastest form that is known, with the measurement behind each line.

A line applies to the platforms that it names and where its form can compute the arrays; the first that applies is
taken, and `xla` where none does. Times are medians of interleaved calls; float32 unless the line says otherwise. Xeon:
two cores with AVX-512 (results/intel-xeon-2-cores).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

CPU, NVIDIA, GPUS = ('cpu',), ('cuda',), ('cuda', 'rocm')


class Case(NamedTuple):
  """What a line looks at: the shape and dtype of the op's first array, and whether gradients are computed."""

  shape: tuple[int, ...]
  dtype: Any
  training: bool


class Line(NamedTuple):
  platforms: tuple[str, ...]
  backend: str
  applies: Callable[[Case], bool]
  measured: str


def any_size(case: Case) -> bool:
  del case
  return True


def in_training(case: Case) -> bool:
  return case.training


def is_half(case: Case) -> bool:
  return case.dtype.itemsize == 2 and np.dtype(case.dtype).kind in 'fV'


def length(case: Case) -> int:
  return case.shape[1]


AUTO: dict[str, tuple[Line, ...]] = {
  'rnn': (
    Line(CPU, 'cpu', in_training, 'Xeon, b32 t128 e256, forward and backward: 10.8 ms, PyTorch 23.0'),
    # e is not in the case, but d is, and layers are as wide as their inputs.
    Line(CPU, 'cpu', lambda case: case.shape[2] >= 512, 'Xeon, b1 e1000 t512, forward: 60 ms, xla 67; e224: 3.5, 3.3'),
  ),
  'lstm': (
    Line(CPU, 'cpu', in_training, 'Xeon, b32 t128 e512, forward and backward: 171 ms, PyTorch 172'),
    Line(CPU, 'cpu', lambda case: length(case) >= 64, 'Xeon, b1 e112, forward: t512 3.1 ms, xla 3.5; t8 0.21, 0.18'),
  ),
  'gru': (
    Line(CPU, 'cpu', in_training, 'Xeon, b32 t128 e512, forward and backward: 128 ms, PyTorch 215'),
    Line(CPU, 'cpu', lambda case: length(case) >= 32, 'Xeon, b1 e128, forward: t32 0.34 ms, xla 0.40; t8 0.21, 0.17'),
  ),
  'attention': (
    Line(CPU, 'cpu', lambda case: length(case) >= 8, 'Xeon, b8 h8 k64 t256, forward and backward: 9.1 ms, PyTorch 20'),
    Line(NVIDIA, 'cudnn', lambda case: is_half(case) and length(case) > 64, 'H200: results/nvidia-h200/peers'),
    Line(GPUS, 'reference', lambda case: length(case) <= 256, 'H200: results/nvidia-h200/peers'),
    Line(('cpu', 'cuda', 'rocm', 'tpu'), 'reference', lambda case: length(case) <= 64, 'EPYC, b8 h8 k64'),
  ),
  'decode_attention': (
    Line(CPU, 'cpu', any_size, 'Xeon, 512 tokens of a GPT 4×256: results/intel-xeon-2-cores/decoding'),
  ),
  'linear_attention': (
    Line(CPU, 'cpu', any_size, 'Xeon, b8 h8 k64 t512, forward and backward: 17.9 ms, PyTorch 48.5'),
  ),
  'mlp': (
    # With fewer rows, packing the weights takes longer than the products gain.
    Line(
      CPU,
      'cpu',
      lambda case: case.shape[0] >= 1024 and case.shape[1] >= 32,
      'two Zen 4 cores, training step of a GPT 4×256 b16 t256: 570 ms of processor time, xla 630',
    ),
  ),
  'diagonal': (Line(CPU, 'cpu', any_size, 'Xeon, b1 t2048 e2048, forward and backward: 4.8 ms, associative_scan 30'),),
}
