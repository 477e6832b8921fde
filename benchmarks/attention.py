"""Causal softmax attention, linear attention and diagonal recurrences, forward and backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.work import OURS, Absent, Sides, Work, check, deviation, to_torch, torch
from comparison.experiments.program import Program, compile_program, together
from seqmodels.kernels import attention, diagonal, linear_attention

BATCH, HEADS, WIDTH = 8, 8, 64
LENGTHS = (128, 256, 512, 1024)
LONGER = (4096,)  # on GPUs also
LINEAR_LENGTHS = (512, 2048)
CHANNELS = 2048
LARGEST_DEVIATION = 1e-4
LARGEST_IN_HALF = 5e-2  # bfloat16 has 8 bits of mantissa


def works() -> list[Work]:
  softmax = [Work(f'attention b8 h8 k64 t{t}', 'attention', 1.25, 0.9, partial(softmax_attention, t)) for t in LENGTHS]
  linear = [
    Work(f'linear attention b8 h8 k64 t{t}', 'linear', 0.85, 0.7, partial(linear_sums, t)) for t in LINEAR_LENGTHS
  ]
  scans = [
    Work(f'diagonal recurrence b1 t{t} e{CHANNELS}', 'diagonal', 0.35, 0.2, partial(scan, t)) for t in (512, 2048)
  ]
  on_gpu = [
    Work(f'attention {dtype} b8 h8 k64 t{t}', 'attention_gpu', None, None, partial(softmax_attention, t, dtype))
    for dtype, lengths in (('float32', LONGER), ('bfloat16', (256, 1024, *LONGER)))
    for t in lengths
  ]
  return [*softmax, *linear, *scans, *on_gpu]


def both(function: Callable[..., Any], *arrays: Any) -> Program:
  """Return the compiled (output, gradients of all but the last argument), the last being the output's gradient."""

  def run(*arguments: Any) -> Any:
    *inputs, dy = arguments
    y, back = jax.vjp(function, *inputs)
    return y, *back(dy)

  return compile_program(run, *arrays)


def torch_both(function: Callable[..., Any], inputs: Any, dy: Any, dtype: str = '') -> Callable[[], Any]:
  """Return the same in PyTorch. dtype: of all tensors, if not the arrays'."""
  tensors = [to_torch(a, requires_grad=True, dtype=dtype) for a in inputs]
  gradient = to_torch(dy, dtype=dtype)

  def call() -> Any:
    for tensor in tensors:
      tensor.grad = None
    y = function(*tensors)
    y.backward(gradient)
    return y.detach(), *(tensor.grad for tensor in tensors)

  return call


def draw(*shape: int, count: int = 4) -> list[np.ndarray]:
  random = np.random.default_rng(0)
  return [random.standard_normal(shape, np.float32) for _ in range(count)]


def softmax_attention(length: int, dtype: str = 'float32') -> Sides:
  """Against `scaled_dot_product_attention` and the explicit form, each in the layout that it likes."""
  if length in LONGER or dtype != 'float32':
    only_on_gpu()
  from benchmarks import torch_models

  arrays = draw(BATCH, length, HEADS, WIDTH)
  arguments = jax.device_put([jnp.asarray(a, dtype) for a in arrays])
  others = ('xla', *(('cudnn',) if dtype != 'float32' else ())) if jax.default_backend() == 'gpu' else ()
  forms = ('auto', 'reference', *others)
  made = together([partial(both, partial(attention.attention, causal=True, kernels=how), *arguments) for how in forms])
  programs = dict(zip(forms, made, strict=True))
  turned = [np.ascontiguousarray(a.swapaxes(1, 2)) for a in arrays]
  product = partial(torch().nn.functional.scaled_dot_product_attention, is_causal=True)
  names = {how: OURS if how == 'auto' else f'{OURS}, {how}' for how in programs}
  calls: dict[str, Callable[..., Any]] = {
    names[how]: partial(program.call, *arguments) for how, program in programs.items()
  }
  calls['PyTorch SDPA'] = torch_both(product, turned[:3], turned[3], dtype)
  calls['PyTorch explicit'] = torch_both(torch_models.explicit_attention, turned[:3], turned[3], dtype)
  back = [np.asarray(a.float().cpu()).swapaxes(1, 2) for a in calls['PyTorch SDPA']()]
  off = check(deviation(calls[OURS](), back), LARGEST_DEVIATION if dtype == 'float32' else LARGEST_IN_HALF, 'attention')
  rows = [
    {'metric': 'temporary_bytes', 'value': programs[how].temporary_bytes, 'unit': 'B', 'side': name}
    for how, name in names.items()
  ]
  return Sides(calls, off, columns={**columns(BATCH, length, HEADS * WIDTH), 'dtype': dtype}, rows=rows)


def only_on_gpu() -> None:
  if jax.default_backend() != 'gpu':
    raise Absent('for GPUs')


def linear_sums(length: int) -> Sides:
  from benchmarks import torch_models

  arrays = draw(BATCH, length, HEADS, WIDTH)
  arrays = [*(np.abs(a) * WIDTH**-0.5 for a in arrays[:2]), *arrays[2:]]  # features are positive
  arguments = jax.device_put(arrays)

  def sums(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    state = linear_attention.init_state(BATCH, HEADS, WIDTH, WIDTH)
    return linear_attention.linear_attention(q, k, v, state)[0].y

  program = both(sums, *arguments)
  calls: dict[str, Callable[..., Any]] = {OURS: partial(program.call, *arguments)}
  for chunk in (32, 64):
    same = partial(torch_models.linear_attention, chunk=chunk)
    calls[f'PyTorch, chunks of {chunk}'] = torch_both(same, arrays[:3], arrays[3])
  off = check(deviation(calls[OURS](), calls['PyTorch, chunks of 32']()), LARGEST_DEVIATION, 'linear attention')
  rows = [{'metric': 'temporary_bytes', 'value': program.temporary_bytes, 'unit': 'B', 'side': OURS}]
  return Sides(calls, off, columns=columns(BATCH, length, HEADS * WIDTH), rows=rows)


def scan(length: int) -> Sides:
  """Against `jax.lax.associative_scan` under autodiff, which is the usual way to write one."""
  a, b, dy = draw(length, 1, CHANNELS, count=3)
  a = 1 / (1 + np.exp(-a - 2))
  h = np.zeros((1, CHANNELS), np.float32)
  arguments = jax.device_put((a, b, dy))
  start = jax.device_put(h)
  program = both(lambda a, b: diagonal.diagonal(a, b, start)[0], *arguments)

  def associative(a: jax.Array, b: jax.Array) -> jax.Array:
    join = lambda first, second: (first[0] * second[0], second[0] * first[1] + second[1])
    return jax.lax.associative_scan(join, (a, b))[1]

  other = both(associative, *arguments)
  calls: dict[str, Callable[..., Any]] = {OURS: partial(program.call, *arguments)}
  calls['associative_scan'] = partial(other.call, *arguments)
  if jax.default_backend() == 'gpu':
    steps = both(lambda a, b: diagonal.diagonal(a, b, start, kernels='reference')[0], *arguments)
    calls[f'{OURS}, scan'] = partial(steps.call, *arguments)
  off = check(deviation(calls[OURS](), calls['associative_scan']()), LARGEST_DEVIATION, 'diagonal recurrence')
  return Sides(calls, off, columns=columns(1, length, CHANNELS))


def columns(batch: int, length: int, width: int) -> dict[str, Any]:
  return {'batch': batch, 'length': length, 'width': width, 'dtype': str(jnp.dtype(jnp.float32))}
