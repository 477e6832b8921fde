"""One case of every op: its function, arrays of a given length, and where padding stands in them."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels import kernels
from seqmodels.context import Documents
from seqmodels.kernels import (
  attention,
  cache,
  conv_lstm,
  convolution,
  delta,
  diagonal,
  gated_linear_attention,
  linear_attention,
  local_attention,
  mlp,
  recurrent,
  slstm,
  sparse_attention,
)
from seqmodels.kernels.cpu import library
from seqmodels.kernels.dispatch import Op

B, CHUNK = 4, 8


@dataclasses.dataclass(frozen=True)
class Case:
  """A call of an op.

  run      from arrays and keyword arguments (`kernels`, and `dtype` if it has one) to its results
  arrays   floats by name, which are differentiable; batch_axes: of each of their leaves
  flags    documents, or bounds; batch first
  padded   arrays with an entry for each token, and their axes of batch and time
  of_tokens  of the leaves of the results, the axes of batch and time; None: a state
  """

  run: Callable[..., Any]
  arrays: dict[str, Any]
  batch_axes: dict[str, Any]
  flags: dict[str, Any]
  padded: dict[str, tuple[int, int]]
  of_tokens: tuple[tuple[int, int] | None, ...]
  has_dtype: bool = True

  def call(self, backend: str, arrays: dict[str, Any], flags: dict[str, Any], dtype: Any = jnp.float32) -> Any:
    return self.run(arrays, flags, kernels=backend, **({'dtype': dtype} if self.has_dtype else {}))

  def loss(self, backend: str, dtype: Any = jnp.float32) -> Callable[..., Any]:
    """A number that depends on every result, with the results."""

    def total(arrays: dict[str, Any], flags: dict[str, Any]) -> Any:
      results = self.call(backend, arrays, flags, dtype)
      weighted = [
        a.astype(jnp.float32) * self.weights(a, axes)
        for a, axes in zip(jax.tree.leaves(results), self.of_tokens, strict=True)
      ]
      if 'documents' in flags:
        # As in a model, where no loss reads what stands at padding.
        mask = flags['documents'].mask
        weighted = [self.without_padding(a, axes, mask) for a, axes in zip(weighted, self.of_tokens, strict=True)]
      return sum(jnp.sum(a) for a in weighted), results

    return total

  @staticmethod
  def weights(a: jax.Array, axes: Any) -> jax.Array:
    del axes
    return jnp.cos(jnp.arange(a.size, dtype=jnp.float32)).reshape(a.shape)

  @staticmethod
  def without_padding(a: Any, axes: tuple[int, int] | None, mask: Any) -> Any:
    if axes is None or mask is None:
      return a
    keep = mask if axes == (0, 1) else mask.T
    return jnp.where(keep.reshape(keep.shape + (1,) * (a.ndim - 2)), a, 0)


def normal(random: np.random.Generator, *shape: int) -> np.ndarray:
  return random.normal(size=shape).astype(np.float32)


def draw_flags(random: np.random.Generator, length: int, flagged: bool) -> dict[str, Any]:
  if not flagged:
    return {}
  mask = random.random((B, length)) < 0.7
  mask[0] = False  # a row of nothing but padding
  mask[1, -1] = True
  return {'documents': Documents((random.random((B, length)) < 0.2) & mask, mask)}


def recurrent_case(cell: str, random: np.random.Generator, length: int, flagged: bool) -> Case:
  gates, d, e = {'rnn': 1, 'lstm': 4, 'gru': 3}[cell], 5, 7
  carries = ('h', 'c') if cell == 'lstm' else ('h',)
  weights = {'w': (d, gates, e), 'u': (e, gates, e), 'bias': (gates, e)} | ({'bias_n': (e,)} if cell == 'gru' else {})
  arrays = {'x': normal(random, B, length, d)} | {name: normal(random, B, e) for name in carries}
  arrays |= {name: normal(random, *shape) * 0.5 for name, shape in weights.items()}

  def run(a: Any, flags: Any, **options: Any) -> Any:
    rest = [a[name] for name in (*carries, *weights)]
    return getattr(recurrent, cell)(a['x'], *rest, **flags, **options)

  axes = dict.fromkeys(('x', *carries), 0) | dict.fromkeys(weights)
  of_tokens = ((0, 1), *(None for _ in carries))
  return Case(run, arrays, axes, draw_flags(random, length, flagged), {'x': (0, 1)}, of_tokens)


def draw_bounds(random: np.random.Generator, t: int, s: int) -> dict[str, Any]:
  """Documents with padding; some queries see nothing."""
  index = np.sort(random.integers(0, s, (B, t)))
  lower = np.maximum(index - random.integers(0, 9, (B, t)), 0)
  upper = np.where(random.random((B, t)) < 0.1, lower - 1, index)
  position = np.where(random.random((B, s)) < 0.2, -1, np.arange(s))
  return {'bounds': tuple(a.astype(np.int32) for a in (lower, upper, position))}


def attention_case(random: np.random.Generator, length: int, flagged: bool) -> Case:
  heads, groups, k, v = 4, 2, 8, 8
  arrays = {'q': normal(random, B, length, heads, k), 'k': normal(random, B, length, groups, k)}
  arrays['v'] = normal(random, B, length, groups, v)

  def run(a: Any, flags: Any, kernels: str) -> Any:
    return attention.attention(a['q'], a['k'], a['v'], causal=not flags, kernels=kernels, **flags)

  flags = draw_bounds(random, length, length) if flagged else {}
  return Case(run, arrays, dict.fromkeys(arrays, 0), flags, {}, ((0, 1),), has_dtype=False)


def decode_case(random: np.random.Generator, length: int, flagged: bool) -> Case:
  """`length` is how many slots the cache has."""
  heads, groups, width = 4, 2, 6
  block = lambda: tuple(normal(random, *a.shape) for a in cache.spec(B, groups, length, width, jnp.float32).blocks)
  arrays = {'q': normal(random, B, heads, width), 'k_blocks': block(), 'v_blocks': block()}
  arrays |= {name: normal(random, B, groups, width) for name in ('k', 'v')}
  end = np.asarray([1, length // 2 + 1, length, 3 * length + 1], np.int32)

  def run(a: Any, flags: Any, kernels: str) -> Any:
    caches = cache.Cache(a['k_blocks']), cache.Cache(a['v_blocks'])
    return cache.decode_attention(
      a['q'], (a['k'], a['v']), *caches, flags['end'], mask=flags.get('mask'), kernels=kernels
    )

  flags = {'end': end} | ({'mask': np.asarray([True, False, True, True])} if flagged else {})
  axes = jax.tree.map(lambda a: 0, arrays)
  of_tokens = (None,) * (1 + 2 * len(arrays['k_blocks']))
  return Case(run, arrays, axes, flags, {}, of_tokens, has_dtype=False)


def sums_case(form: str, random: np.random.Generator, length: int, flagged: bool) -> Case:
  heads, k, v = 2, 5, 3
  keys = normal(random, B, length, heads, k)
  arrays = {
    'q': normal(random, B, length, heads, k),
    'k': keys / np.linalg.norm(keys, axis=-1, keepdims=True),
    'v': normal(random, B, length, heads, v),
  }
  if form in ('decay', 'delta'):
    arrays['log_decay'] = -np.exp(normal(random, B, length, heads))
  if form == 'gated':
    arrays['log_decay'] = -np.exp(normal(random, B, length, heads, k))
  if form == 'delta':
    arrays['beta'] = (0.5 + 0.4 * np.tanh(normal(random, B, length, heads))).astype(np.float32)
  padded = dict.fromkeys(arrays, (0, 1))
  arrays['s'] = normal(random, B, heads, k, v)

  def run(a: Any, flags: Any, **options: Any) -> Any:
    qkv, options = (a['q'], a['k'], a['v']), {'chunk': CHUNK, **flags, **options}
    if form == 'gated':
      return gated_linear_attention.gated_linear_attention(*qkv, a['log_decay'], a['s'], **options)
    if form == 'delta':
      return delta.gated_delta(*qkv, a['beta'], a['log_decay'], a['s'], **options)
    state = {name: a[name] for name in ('s', 'n') if name in a}
    return linear_attention.linear_attention(*qkv, state, log_decay=a.get('log_decay'), **options)

  if form == 'plain':
    arrays['n'] = normal(random, B, heads, k)
  of_tokens: Any = ((0, 1), None)
  if form == 'plain':
    of_tokens = ((0, 1), (0, 1), None, None)
  return Case(run, arrays, dict.fromkeys(arrays, 0), draw_flags(random, length, flagged), padded, of_tokens)


def diagonal_case(random: np.random.Generator, length: int, flagged: bool) -> Case:
  e = 21
  arrays = {'a': (1 / (1 + np.exp(-normal(random, length, B, e)))).astype(np.float32)}
  arrays |= {'b': normal(random, length, B, e), 'h': normal(random, B, e)}
  run = lambda a, flags, kernels: diagonal.diagonal(a['a'], a['b'], a['h'], kernels=kernels, **flags)
  padded = {'a': (1, 0), 'b': (1, 0)}
  axes = {'a': 1, 'b': 1, 'h': 0}
  return Case(run, arrays, axes, draw_flags(random, length, flagged), padded, ((1, 0), None), has_dtype=False)


def rotating_case(random: np.random.Generator, length: int, flagged: bool) -> Case:
  e = 5
  arrays = {'a_re': 0.9 * np.cos(np.arange(e, dtype=np.float32)), 'a_im': 0.9 * np.sin(np.arange(e, dtype=np.float32))}
  arrays |= {name: normal(random, length, B, e) for name in ('b_re', 'b_im')}
  arrays |= {name: normal(random, B, e) for name in ('h_re', 'h_im')}

  def run(a: Any, flags: Any, kernels: str) -> Any:
    pairs = ((a[f'{name}_re'], a[f'{name}_im']) for name in 'abh')
    return diagonal.rotating(*pairs, kernels=kernels, **flags)

  axes = {'a_re': None, 'a_im': None, 'b_re': 1, 'b_im': 1, 'h_re': 0, 'h_im': 0}
  padded = {'b_re': (1, 0), 'b_im': (1, 0)}
  of_tokens = ((1, 0), (1, 0), None, None)
  return Case(run, arrays, axes, draw_flags(random, length, flagged), padded, of_tokens, has_dtype=False)


def slstm_case(random: np.random.Generator, length: int, flagged: bool) -> Case:
  heads, k = 2, 3
  arrays = {'gates': normal(random, length, heads, B, 4 * k), 'u': normal(random, heads, k, 4 * k)}
  arrays |= {'h': normal(random, heads, B, k), 'c': normal(random, heads, B, k)}

  def run(a: Any, flags: Any, **options: Any) -> Any:
    carry = a['h'], a['c'], jnp.ones_like(a['h']), jnp.zeros_like(a['h'])
    hs, end = slstm.slstm(a['gates'], carry, a['u'], **flags, **options)
    return jnp.moveaxis(hs, 1, 2), end  # [t b g k]

  axes = {'gates': 2, 'u': None, 'h': 1, 'c': 1}
  return Case(run, arrays, axes, draw_flags(random, length, flagged), {'gates': (2, 0)}, ((1, 0), *(None,) * 4))


def convolution_case(random: np.random.Generator, length: int, flagged: bool) -> Case:
  d, taps = 6, 3
  arrays = {
    'x': normal(random, B, length, d),
    'taps': normal(random, taps, d),
    'history': normal(random, B, taps - 1, d),
  }

  def run(a: Any, flags: Any, kernels: str) -> Any:
    del kernels  # it has one form
    return convolution.causal_depthwise(a['x'], a['taps'], a['history'], **flags)

  axes = {'x': 0, 'taps': None, 'history': 0}
  of_tokens = ((0, 1), None)
  return Case(run, arrays, axes, draw_flags(random, length, flagged), {'x': (0, 1)}, of_tokens, has_dtype=False)


def conv_lstm_case(random: np.random.Generator, length: int, flagged: bool) -> Case:
  height, width, n, c = 2, 3, 2, 3
  arrays = {'x': normal(random, B, length, height, width, n), 'bias': normal(random, 4, c)}
  arrays |= {'w': normal(random, n, 3, 3, 4, c), 'u': 0.3 * normal(random, c, 3, 3, 4, c)}
  arrays |= {'peepholes': normal(random, 3, height, width, c)}
  arrays |= {part: normal(random, B, height, width, c) for part in 'hc'}

  def run(a: Any, flags: Any, **options: Any) -> Any:
    weights = (a[name] for name in ('w', 'u', 'bias', 'peepholes'))
    return conv_lstm.conv_lstm(a['x'], (a['h'], a['c']), *weights, **flags, **options)

  axes = {name: 0 if name in ('x', 'h', 'c') else None for name in arrays}
  return Case(run, arrays, axes, draw_flags(random, length, flagged), {'x': (0, 1)}, ((0, 1), None, None))


def mlp_case(random: np.random.Generator, length: int, flagged: bool) -> Case:
  del flagged
  d, hidden = 6, 21
  arrays = {'x': normal(random, B, length, d), 'b1': normal(random, hidden), 'b2': normal(random, d)}
  # Of the size that they are drawn with in a model: sums of unit variance.
  arrays |= {'w1': normal(random, d, hidden) * d**-0.5, 'w2': normal(random, hidden, d) * hidden**-0.5}
  names = ('x', 'w1', 'b1', 'w2', 'b2')
  run = lambda a, flags, **options: mlp.mlp(*(a[name] for name in names), **options)
  axes = {name: 0 if name == 'x' else None for name in arrays}
  return Case(run, arrays, axes, {}, {}, ((0, 1),))


MAKERS: dict[str, Callable[..., Case]] = {
  **{cell: lambda *a, cell=cell: recurrent_case(cell, *a) for cell in ('rnn', 'lstm', 'gru')},
  'attention': attention_case,
  'decode_attention': decode_case,
  'linear_attention': lambda *a: sums_case('plain', *a),
  'linear_attention with decay': lambda *a: sums_case('decay', *a),
  'gated_linear_attention': lambda *a: sums_case('gated', *a),
  'gated_delta': lambda *a: sums_case('delta', *a),
  'diagonal': diagonal_case,
  'rotating': rotating_case,
  'slstm': slstm_case,
  'convolution': convolution_case,
  'conv_lstm': conv_lstm_case,
  'mlp': mlp_case,
}


def make(name: str, length: int, flagged: bool, seed: int = 0) -> Case:
  return MAKERS[name](np.random.default_rng(seed), length, flagged)


def ops() -> dict[str, Op]:
  """Every op of the package by name."""
  modules = [importlib.import_module(f'seqmodels.kernels.{m.name}') for m in pkgutil.iter_modules(kernels.__path__)]
  return {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Op)}


OPS = ops()
# A case and a backend that has a form of its op; `auto` of every case.
PAIRS = [
  (case, backend)
  for case in MAKERS
  for backend in dict.fromkeys(
    ['auto', *(name for name, _ in OPS[case.split()[0]].forms)] if case.split()[0] in OPS else ['auto']
  )
]
OTHERS = [(case, backend) for case, backend in PAIRS if backend != 'reference']


def skip_without(backend: str) -> None:
  if backend == 'cpu' and not library.load():
    pytest.skip('the kernels for CPUs are not built')
  if backend == 'cudnn':
    pytest.skip('cuDNN has other dtypes and flags; see the tests of its ops')


__all__ = [
  'MAKERS',
  'OPS',
  'OTHERS',
  'PAIRS',
  'B',
  'Case',
  'local_attention',
  'make',
  'skip_without',
  'sparse_attention',
]
