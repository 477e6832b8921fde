"""Name the form that `kernels='auto'` stands for, with the measurement behind each line.

A line applies to the platforms that it names and where its form can compute the arrays; the first that applies is
taken, and `xla` where none does. Times are medians of interleaved calls, in float32 unless the line says otherwise; of
two cores with AVX-512, Xeon (results/intel-xeon-2-cores) or EPYC (Zen 4), and of an H200 (results/nvidia-h200).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

CPU, NVIDIA, GPUS, ANY = ('cpu',), ('cuda',), ('cuda', 'rocm'), ('cpu', 'cuda', 'rocm', 'tpu')


class Case(NamedTuple):
  """A call as lines look at it: the shape and dtype of the op's first array, and whether gradients are computed."""

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


def length(case: Case) -> int:
  return case.shape[1]


def is_long_and_half(case: Case) -> bool:
  return case.dtype in (jnp.bfloat16, jnp.float16) and length(case) > 64


AUTO: dict[str, tuple[Line, ...]] = {
  'rnn': (
    Line(CPU, 'cpu', in_training, 'EPYC, b32 t128 e256, forward and backward: 19.7 ms, xla 32.3'),
    # Sequences are divided among the threads, or walked through together, step by step. d stands for e.
    Line(CPU, 'cpu', lambda case: case.shape[0] >= 32, 'EPYC, forward, b32 t128 e256: 5.3 ms, xla 6.5; b8: 2.6, 1.7'),
    Line(CPU, 'cpu', lambda case: case.shape[2] >= 512, 'Xeon, forward, b1 t512 e1000: 60 ms, xla 67; e224: 3.5, 3.3'),
  ),
  'lstm': (
    Line(CPU, 'cpu', in_training, 'EPYC, b32 t128 e512, forward and backward: 256 ms, xla 357'),
    Line(CPU, 'cpu', lambda case: length(case) >= 64, 'Xeon, forward, b1 e112 t512: 3.1 ms, xla 3.5; t8: 0.21, 0.18'),
  ),
  'gru': (
    Line(CPU, 'cpu', in_training, 'EPYC, b32 t128 e512, forward and backward: 229 ms, xla 285'),
    Line(CPU, 'cpu', lambda case: length(case) >= 32, 'Xeon, forward, b1 e128 t32: 0.34 ms, xla 0.40; t8: 0.21, 0.17'),
  ),
  'attention': (
    Line(CPU, 'cpu', lambda case: length(case) >= 8, 'EPYC, b8 h8 k64 t256, forward and backward: 14.5 ms, xla 42.3'),
    Line(NVIDIA, 'cudnn', is_long_and_half, 'H200, bfloat16 b8 h8 k64 t4096: 1.4 ms, xla 9.8'),
    Line(GPUS, 'reference', lambda case: length(case) <= 256, 'H200, b8 h8 k64 t256: 0.14 ms, xla 0.19'),
    Line(ANY, 'reference', lambda case: length(case) <= 64, 'EPYC, b8 h8 k64 t16: 0.76 ms, xla 0.89; t128: 14.6, 9.5'),
  ),
  'decode_attention': (
    Line(CPU, 'cpu', any_size, 'EPYC, a token of a GPT 4×256, b1 t1000, beside two busy processes: 0.48 ms, xla 0.92'),
  ),
  'linear_attention': (Line(CPU, 'cpu', any_size, 'EPYC, b8 h8 k64 t512, forward and backward: 28.7 ms, xla 65.5'),),
  'mlp': (
    # With fewer rows, packing the weights takes longer than the products gain.
    Line(
      CPU,
      'cpu',
      lambda case: case.shape[0] >= 1024 and case.shape[1] >= 32,
      'EPYC, training step of a GPT 4×256 b16 t256: 570 ms of processor time, xla 630',
    ),
  ),
  'diagonal': (Line(CPU, 'cpu', any_size, 'EPYC, b1 t2048 e2048, forward and backward: 7.3 ms, xla 14.4'),),
}
