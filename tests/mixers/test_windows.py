"""Sliding windows, strided patterns and Transformer-XL past what the contract's cases reach."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.context import Context
from seqmodels.errors import InputError
from tests.cases import B, Case, D, make
from tests.contract import close
from tests.independent.attention import strided, windowed
from tests.independent.attention_loop import attention

LENGTH = 21
x = jnp.asarray(np.random.default_rng(0).normal(size=(B, LENGTH, D)), jnp.float32)


def flags():
  """Three documents a row, one of them long, with padding inside and at the ends."""
  reset, mask = np.zeros((B, LENGTH), bool), np.ones((B, LENGTH), bool)
  reset[:, [0, 4]], reset[1, 18] = True, True
  mask[:, [2, 9, 10]], mask[0, 20], mask[1, 0] = False, False, False
  return reset, mask


def expected(case, sees):
  """The NumPy loop over each document without its padding."""
  params = jax.tree.map(lambda a: np.asarray(a, np.float64), case.params)
  reset, mask = flags()
  out = np.zeros(x.shape)
  for row in range(B):
    for first, last in itertools.pairwise([*np.flatnonzero(reset[row] & mask[row]), LENGTH]):
      document = np.arange(first, last)[mask[row, first:last]]
      out[row, document] = attention(params, np.asarray(x, np.float64)[row, document], 2, sees=sees)
    before = np.arange(np.flatnonzero(reset[row] & mask[row])[0])
    document = before[mask[row, before]]
    if len(document):
      out[row, document] = attention(params, np.asarray(x, np.float64)[row, document], 2, sees=sees)
  return out


@pytest.mark.parametrize(('name', 'option', 'max_length'), [('sliding_window', 'window', 4), ('sparse', 'stride', 6)])
def test_a_long_segment_after_a_state_past_its_length(name, option, max_length):
  case = Case(name, (('heads', 2), (option, 4 if name == 'sliding_window' else 3)))
  sees = windowed(4)
  if name == 'sparse':  # two columns are remembered: the last two, in the window or not
    sees = lambda i, j: strided(3)(i, j) and (i - j < 3 or j > 3 * ((i + 1) // 3 - 2) - 1)
  reset, mask = flags()
  target = expected(case, sees)
  for lengths in ((3, 15, 3), (1,) * LENGTH):
    y, state = case.run_segments(x, lengths, jnp.asarray(reset), jnp.asarray(mask), max_length=max_length)
    close(np.asarray(y)[mask], target[mask])
  assert state['k'].slots == (4 if name == 'sliding_window' else 3)


def test_decoding_costs_the_window():
  for length in (100, 100_000):
    mixer = nnx.eval_shape(lambda: make('sliding_window', 32, options={'window': 64}))
    assert mixer.state_spec(1, length)['k'].slots == 64
  assert mixer.mixing_flops(1, 100_000) == mixer.mixing_flops(1, 64)


@functools.cache
def memory():
  return Case('transformer_xl', (('heads', 2),))


def test_no_gradient_into_the_memory_but_from_it():
  case, half = memory(), 4
  _, state = case.run(x[:, :half], case.init_state(8))

  def loss(params, held):
    segment, token = x[:, half : 2 * half], x[:, half : half + 1]
    outputs = [case.apply(params, now, state | {'x': held}, Context())[0] for now in (segment, token)]
    return sum((y**2).sum() for y in outputs)

  of_weights, of_memory = jax.jit(jax.grad(loss, argnums=(0, 1)))(case.params, state['x'])
  without, _ = jax.jit(jax.grad(loss, argnums=(0, 1)))(case.params, jax.tree.map(jnp.zeros_like, state['x']))
  assert (np.asarray(of_memory.joined()) == 0).all()
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), of_weights, without)
  assert moved['key']['kernel'] > 0.1
  assert moved['value']['kernel'] > 0.1
  whole = case.variant(options=(*case.options, ('stop_gradient', False)))
  loss_of_held = lambda held: (whole.apply(case.params, x[:, :half], state | {'x': held}, Context())[0] ** 2).sum()
  flows = jax.jit(jax.grad(loss_of_held))
  assert np.abs(flows(state['x']).joined()).max() > 0.1


def test_a_longer_memory_than_the_segment_equals_one_long_call():
  case = memory()
  short, _ = case.run_segments(x, (7, 7, 7), max_length=7)
  long, _ = case.run_segments(x, (7, 7, 7), max_length=LENGTH)
  whole, _ = case.run(x)
  close(long, whole)
  close(short[:, :7], whole[:, :7])
  assert np.abs(short - whole)[:, 14:].max() > 0.01


@functools.cache
def keys_remembered():
  """The same encoding in `attention`, whose cache holds keys and values."""
  case = Case('attention', (('heads', 2), ('position', 'transformer_xl')))
  case.__dict__['params'] = memory().params
  return case


@pytest.mark.parametrize(
  ('lengths', 'max_length'),
  [((3, 15, 1, 1, 1), LENGTH), ((*(1,) * 9, 5, *(1,) * 7), 5)],
  ids=['whole', 'past the ring'],
)
def test_remembering_inputs_equals_remembering_keys(lengths, max_length):
  reset, mask = (jnp.asarray(flag) for flag in flags())
  first, _ = memory().run_segments(x, lengths, reset, mask, max_length=max_length)
  second, _ = keys_remembered().run_segments(x, lengths, reset, mask, max_length=max_length)
  close(np.asarray(first)[np.asarray(mask)], np.asarray(second)[np.asarray(mask)])


FILLED = {
  'transformer_xl': (('heads', 2),),
  'sparse': (('heads', 2), ('stride', 3), ('position', 'alibi')),
}


@pytest.mark.parametrize('name', FILLED)
def test_reading_what_is_filled_equals_reading_everything(name):
  """The contract compares token by token with one call; here is the other way of reading, rows of different lengths."""
  by_prefix = Case(name, FILLED[name])
  full = by_prefix.variant(options=(*FILLED[name], ('decode', 'full')))
  draws = np.random.default_rng(1)
  state = jax.tree.map(lambda a: draws.normal(size=a.shape).astype(a.dtype), by_prefix.init_state(600))
  state['end'] = jnp.array([130, 40])
  first, after = by_prefix.run(x[:, :1], state)
  second, same = full.run(x[:, :1], state)
  close(first, second)
  jax.tree.map(np.testing.assert_array_equal, after, same)


@pytest.mark.parametrize('name', FILLED)
def test_a_token_reads_what_is_filled(name):
  """The switch holds the scores of every power of two from 64 on; sparse has 3 slots, and that many columns."""
  mixer = Case(name, FILLED[name]).abstract
  graph, params = nnx.split(mixer)
  state = jax.eval_shape(lambda: mixer.init_state(1, 1000))
  program = jax.jit(lambda p, s, x: nnx.merge(graph, p)(x, s)).lower(params, state, x[:1, :1]).as_text()
  for count in (3 + 64, 3 + 128, 3 + 256) if name == 'sparse' else (64, 128, 256, 512):
    scores = f'1x1x2x{count}' if name == 'transformer_xl' else f'1x2x1x{count}'
    assert f'tensor<{scores}xf32>' in program


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: make('sliding_window', options={'window': 0}), r'mixer.window=0 .*greater'),
    (lambda: make('sparse', options={'stride': -1}), r'mixer.stride=-1 .*greater'),
    (lambda: make('sparse', options={'position': 'transformer_xl'}), r"position='transformer_xl' is not known.*alibi"),
    (lambda: make('transformer_xl', options={'decode': 'all'}), r"decode='all' is not known.*prefix"),
    (lambda: memory().run(x, memory().init_state(8)), r'21 tokens.*max_length=8'),
    (lambda: make('transformer_xl', options={'heads': 3}), r'heads=3 .*width=8'),
  ],
)
def test_refuses(call, message):
  with pytest.raises(InputError, match=message):
    call()
