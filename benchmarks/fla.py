"""Linear attention of several kinds on NVIDIA GPUs, against the Triton kernels of flash-linear-attention.

Forward and backward with operands in bfloat16, `[b t h k]`; the library is an optional requirement (`fla-core`).
"""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.attention import both, columns, torch_both
from benchmarks.work import OURS, Absent, Sides, Work, check, deviation, torch_device
from comparison.experiments.program import together
from seqmodels.kernels import delta, gated_linear_attention, linear_attention

BATCH, HEADS, WIDTH, LENGTH = 8, 8, 64, 2048
CHUNKS = (128, 256)  # beside what is chosen
LARGEST_DEVIATION = 5e-2  # bfloat16 has 8 bits of mantissa, and the sides round at different places

Inputs = tuple[np.ndarray, ...]
Call = Callable[..., Any]


def works() -> list[Work]:
  shape = f'b{BATCH} h{HEADS} k{WIDTH} t{LENGTH}'
  kinds = {
    'linear attention': linear_sums,
    'linear attention, decay a head': decayed,
    'gated linear attention': gated,
    'gated delta rule': gated_delta,
  }
  return [Work(f'{name} bfloat16 {shape}', 'fla', None, None, partial(compare, kind)) for name, kind in kinds.items()]


def compare(kind: Callable[[], tuple[Inputs, Callable[[int], Call], Call]]) -> Sides:
  """Both libraries on the same inputs; ours also with longer chunks. Raises Absent without a GPU or the library."""
  if torch_device() != 'cuda':
    raise Absent('flash-linear-attention is written for GPUs')
  if importlib.util.find_spec('fla') is None:
    raise Absent('flash-linear-attention is not installed (pip install fla-core)')
  inputs, ours, theirs = kind()
  dy = normal(BATCH, LENGTH, HEADS, WIDTH)
  arguments = jax.device_put(tuple(jnp.asarray(a, jnp.bfloat16) for a in (*inputs, dy)))
  chunks = (0, *CHUNKS)
  programs = together([partial(both, ours(chunk), *arguments) for chunk in chunks])
  calls: dict[str, Call] = {
    f'{OURS}, chunk {chunk}' if chunk else OURS: partial(program.call, *arguments)
    for chunk, program in zip(chunks, programs, strict=True)
  }
  calls['flash-linear-attention'] = torch_both(theirs, inputs, dy, dtype='bfloat16')
  off = check(deviation(calls[OURS](), calls['flash-linear-attention']()), LARGEST_DEVIATION, 'fla')
  bytes_of = {'metric': 'temporary_bytes', 'value': programs[0].temporary_bytes, 'unit': 'B', 'side': OURS}
  about = {**columns(BATCH, LENGTH, HEADS * WIDTH), 'dtype': 'bfloat16'}
  return Sides(calls, off, columns=about, rows=[bytes_of])


def normal(*shape: int, seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


def queries_keys_values() -> Inputs:
  """Keys of length one, as the delta rule wants them; queries scaled, so that no side scales."""
  q, k, v = (normal(BATCH, LENGTH, HEADS, WIDTH, seed=seed) for seed in (1, 2, 3))
  return q * np.float32(WIDTH**-0.5), k / np.linalg.norm(k, axis=-1, keepdims=True), v


def log_decays(*last: int) -> np.ndarray:
  """Of a sigmoid to the power of 1/16, as gated linear attention uses it."""
  return -np.logaddexp(0, -normal(BATCH, LENGTH, HEADS, *last, seed=4)).astype(np.float32) / 16


def start() -> jax.Array:
  return jnp.zeros((BATCH, HEADS, WIDTH, WIDTH), jnp.float32)


def half(y: jax.Array) -> jax.Array:
  return y.astype(jnp.bfloat16)


def linear_sums() -> tuple[Inputs, Callable[[int], Call], Call]:
  from fla.ops.simple_gla import chunk_simple_gla

  def ours(chunk: int) -> Call:
    sums = partial(linear_attention.linear_attention, chunk=chunk, dtype=jnp.bfloat16)
    return lambda q, k, v: half(sums(q, k, v, {'s': start()})[0].y)

  return queries_keys_values(), ours, lambda q, k, v: chunk_simple_gla(q, k, v, scale=1.0)[0]


def decayed() -> tuple[Inputs, Callable[[int], Call], Call]:
  from fla.ops.simple_gla import chunk_simple_gla

  def ours(chunk: int) -> Call:
    sums = partial(linear_attention.linear_attention, chunk=chunk, dtype=jnp.bfloat16)
    return lambda q, k, v, a: half(sums(q, k, v, {'s': start()}, log_decay=a)[0].y)

  return (*queries_keys_values(), log_decays()), ours, lambda q, k, v, a: chunk_simple_gla(q, k, v, a, scale=1.0)[0]


def gated() -> tuple[Inputs, Callable[[int], Call], Call]:
  from fla.ops.gla import chunk_gla

  def ours(chunk: int) -> Call:
    sums = partial(gated_linear_attention.gated_linear_attention, chunk=chunk, dtype=jnp.bfloat16)
    return lambda q, k, v, a: half(sums(q, k, v, a, start())[0])

  theirs = lambda q, k, v, a: chunk_gla(q, k, v, a, scale=1.0)[0]
  return (*queries_keys_values(), log_decays(WIDTH)), ours, theirs


def gated_delta() -> tuple[Inputs, Callable[[int], Call], Call]:
  from fla.ops.gated_delta_rule import chunk_gated_delta_rule

  def ours(chunk: int) -> Call:
    rule = partial(delta.gated_delta, chunk=chunk, dtype=jnp.bfloat16)
    return lambda q, k, v, beta, a: half(rule(q, k, v, beta, a, start())[0])

  beta = 1 / (1 + np.exp(-normal(BATCH, LENGTH, HEADS, seed=5)))
  theirs = lambda q, k, v, beta, a: chunk_gated_delta_rule(q, k, v, a, beta, scale=1.0)[0]
  return (*queries_keys_values(), beta, log_decays()), ours, theirs
