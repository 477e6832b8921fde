"""What attention's state promises beyond the contract: the ring, the window, reading a prefix, and clear errors."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.context import Context
from seqmodels.errors import InputError
from seqmodels.kernels.cpu import library
from tests.cases import make
from tests.contract import close

B, T, D, SLOTS = 2, 14, 8, 5
x = jnp.asarray(np.random.default_rng(0).normal(size=(B, T, D)), jnp.float32)


@functools.cache
def mixer(causal=True, kernels='auto', **options):
  return make('attention', D, causal=causal, kernels=kernels, options={'heads': 2, **options})


@functools.cache
def apply(**options):
  graph, params = nnx.split(mixer(**options))
  return functools.partial(jax.jit(lambda p, x, s, r, m: nnx.merge(graph, p)(x, s, Context(r, m))), params)


def weights():
  """The kernels of queries, keys and values side by side, and that of the output, as matrices."""
  layers = mixer()
  joined = [np.asarray(layer.kernel[...]).reshape(D, -1) for layer in (layers.query, layers.key, layers.value)]
  return np.concatenate(joined, axis=1), np.asarray(layers.output.kernel[...]).reshape(-1, D)


def windowed(inputs, window, weights):
  """A NumPy loop: every query sees the last `window` positions."""
  qkv, output = (np.asarray(w, np.float64) for w in weights)
  q, k, v = np.split(np.asarray(inputs, np.float64) @ qkv, 3, axis=-1)
  out = np.zeros(inputs.shape)
  for b, t, h in np.ndindex(*inputs.shape[:2], 2):
    head, seen = slice(h * D // 2, (h + 1) * D // 2), slice(max(0, t - window + 1), t + 1)
    scores = k[b, seen, head] @ q[b, t, head] / np.sqrt(D // 2)
    weights = np.exp(scores - scores.max())
    out[b, t, head] = weights / weights.sum() @ v[b, seen, head]
  return out @ output


@pytest.mark.parametrize('lengths', [(1,) * T, (5, 5, 1, 1, 1, 1), (1, 5, 1, 5, 1, 1)])
def test_past_the_ring_it_is_a_window(lengths):
  expected = windowed(x, SLOTS, weights())
  state, start = mixer().init_state(B, SLOTS), 0
  for length in lengths:
    y, state = apply()(x[:, start : start + length], state, None, None)
    close(y, expected[:, start : start + length])
    start += length
  assert (np.asarray(state['end']) == T).all()


def test_past_the_ring_with_documents_and_padding():
  # Three documents with padding inside; the middle one is longer than the ring.
  reset = np.zeros((B, T), bool)
  mask = np.ones((B, T), bool)
  reset[:, 2], reset[0, 11], mask[:, [4, 9]], mask[1, 12] = True, True, False, False
  expected = np.zeros((B, T, D))
  for row in range(B):
    starts = [0, *np.flatnonzero(reset[row]), T]
    for first, last in itertools.pairwise(starts):
      document = np.arange(first, last)[mask[row, first:last]]
      expected[row, document] = windowed(x[row : row + 1, document], SLOTS, weights())[0]
  for lengths in ((1,) * T, (5, 1, 5, 1, 1, 1)):
    state, start = mixer().init_state(B, SLOTS), 0
    for length in lengths:
      here = slice(start, start + length)
      y, state = apply()(x[:, here], state, jnp.asarray(reset[:, here]), jnp.asarray(mask[:, here]))
      close(np.asarray(y)[mask[:, here]], expected[:, here][mask[:, here]])
      start += length


def test_only_the_last_document_is_written():
  """Two documents of a segment share slots; writing both would leave the order of the writes to the device."""
  reset = jnp.zeros((B, 5), bool).at[:, 3].set(True)
  _, state = apply()(x[:, :5], mixer().init_state(B, SLOTS), reset, None)
  _, alone = apply()(x[:, 3:5], mixer().init_state(B, SLOTS), None, None)
  close(state, alone)
  assert (np.asarray(state['k'].joined())[:, :, 2:] == 0).all()


def test_reading_a_prefix_equals_reading_everything():
  slots, length = 260, 150
  long = jnp.asarray(np.random.default_rng(1).normal(size=(B, length, D)), jnp.float32)
  mask = jnp.ones((B, length), bool).at[1, 40:].set(False)  # rows of different lengths
  whole, state = apply(decode='full')(long, mixer().init_state(B, slots), None, mask)
  for token in (*range(3), 3):
    now = x[:, token : token + 1]
    by_prefix, _ = apply(decode='prefix')(now, state, None, None)
    whole, state = apply(decode='full')(now, state, None, None)
    close(by_prefix, whole)


def test_a_prefix_is_all_that_a_token_reads():
  """The switch holds one matmul a power of two, the cheapest over 64 slots."""
  in_xla = mixer(kernels='xla')
  state = jax.eval_shape(lambda: in_xla.init_state(1, 1000))
  program = jax.jit(lambda s, x: in_xla(x, s)).lower(state, x[:1, :1]).as_text()
  for prefix in (64, 128, 256, 512, 1000):
    assert f'tensor<1x2x1x{prefix}xf32>' in program


needs_library = pytest.mark.skipif(not library.load(), reason='the C++ kernels are not built')


@needs_library
@pytest.mark.parametrize(('slots', 'heads', 'kv_heads', 'width'), [(6, 2, 2, 8), (150, 4, 2, 80), (70, 3, 1, 96)])
def test_decoding_in_cpp_equals_reading_everything(slots, heads, kv_heads, width):
  """In a ring of several blocks that is full and begins anew, with rows, documents and padding of their own."""
  random = np.random.default_rng(4)
  options = {'heads': heads, 'kv_heads': kv_heads}
  whole = make('attention', width, kernels='reference', options=options | {'decode': 'full'})
  one = make('attention', width, kernels='cpu', options=options)
  text = jnp.asarray(random.normal(size=(B, slots + 20, width)), jnp.float32)
  reset, mask = (jnp.asarray(random.random(text.shape[:2]) < share) for share in (0.01, 0.8))
  mask = mask.at[:, :2].set(False)  # there is nothing to see at first

  @functools.partial(jax.jit, static_argnums=0)
  def decode(call, text, reset, mask):
    def step(state, now):
      y, state = call(now[0][:, None], state, Context(now[1][:, None], now[2][:, None]))
      return state, y[:, 0]

    return jax.lax.scan(step, whole.init_state(B, slots), jax.tree.map(lambda a: a.swapaxes(0, 1), (text, reset, mask)))

  close(decode(one, text, reset, mask), decode(whole, text, reset, mask))


@needs_library
def test_gradients_of_decoding_in_cpp():
  _, state = apply(decode='full')(x[:, :3], mixer().init_state(B, SLOTS), None, None)

  def loss(form, x, state):
    y, after = form(x[:, 3:4], state)
    return sum((a**2).sum() for a in jax.tree.leaves((y, after)) if a.dtype == jnp.float32)

  numbers = {'k': state['k'], 'v': state['v']}
  gradient = lambda form: jax.grad(lambda x, a: loss(form, x, a | {'end': state['end']}), argnums=(0, 1))(x, numbers)
  close(gradient(mixer(kernels='cpu')), gradient(mixer(kernels='reference', decode='full')))


def test_rotary_sees_distances_only():
  rotary = apply(position='rotary')
  reset = jnp.zeros((B, T), bool).at[:, 4].set(True)
  close(rotary(x, None, reset, None)[0][:, 4:], rotary(x[:, 4:], None, None, None)[0])
  assert np.abs(rotary(x, None, None, None)[0] - apply()(x, None, None, None)[0]).max() > 0.01


def test_grouped_keys_make_a_smaller_state():
  full, grouped = (make('attention', D, options={'heads': 4, 'kv_heads': g}).state_spec(1, 10)['k'] for g in (0, 1))
  assert full.blocks[0].shape == (1, 4, 10, D // 4)
  assert grouped.blocks[0].shape == (1, 1, 10, D // 4)


def test_flops_of_mixing():
  assert mixer().mixing_flops(1, 10) == mixer(causal=False).mixing_flops(10) == mixer().mixing_flops(19) == 4 * D * 10


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'heads': 3}, r'heads=3 .*width=8'),
    ({'heads': 4, 'kv_heads': 3}, r'kv_heads=3 .*heads=4'),
    ({'heads': 8, 'position': 'rotary'}, r'even head_dim'),
    ({'decode': 'prefx'}, r'prefix'),
  ],
)
def test_refuses_bad_options(options, message):
  with pytest.raises(InputError, match=message):
    make('attention', D, options=options)


def test_refuses_a_segment_longer_than_the_ring():
  with pytest.raises(InputError, match=r'14 tokens.*max_length=5'):
    mixer()(x, mixer().init_state(B, SLOTS))


def test_refuses_a_state_of_another_batch():
  with pytest.raises(InputError, match=r'batch of 3.*batch of 2'):
    mixer()(x, mixer().init_state(3, T))


def test_refuses_a_state_when_bidirectional():
  both = mixer(causal=False)
  with pytest.raises(InputError, match='no state'):
    both(x, both.init_state(B, T))
