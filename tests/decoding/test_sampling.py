"""Sampling: the compiled loop is a full forward pass token by token, in chunks or at once, alone or in a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.config import ModelConfig
from seqmodels.decoding import sampling as generating
from seqmodels.decoding.sampling import Sampling, generate, grow, sample
from seqmodels.errors import InputError
from seqmodels.models import build
from seqmodels.spec import Spec, Tokens

SPEC = Spec('causal', Tokens(7), Tokens(7), 16)
CONFIGS = {
  'attention': ModelConfig(width=16, depth=1, feedforward=1.0, position='rotary'),
  'lstm': ModelConfig(pattern=('lstm',), width=12, depth=1, block='plain', feedforward=0.0),
}


@pytest.fixture(scope='module', params=CONFIGS)
def trained(request):
  model = build(CONFIGS[request.param], SPEC)
  params = model.init(jax.random.key(3))
  return model, jax.tree.map(lambda p: 2 * p, params)  # larger weights: next tokens that depend on the past


def run(model, params, prompt, length, **options):
  return np.concatenate([np.asarray(c) for c in generate(model, params, prompt, length, **options)], axis=1)


def test_greedy_is_the_argmax_of_full_forward_passes(trained):
  model, params = trained
  prompt = jnp.array([[1, 2, 3, 4], [4, 0, 6, 6]])
  made = run(model, params, prompt, 8, key=jax.random.key(0), sampling=Sampling(temperature=0), chunk=3)
  full, _ = model.apply(params, jnp.concatenate([prompt, made], axis=1))
  np.testing.assert_array_equal(made, np.argmax(full[:, 3:-1], axis=-1))


def test_chunks_and_prompts_of_different_lengths_change_nothing(trained):
  model, params = trained
  sampling, key = Sampling(temperature=0.9, top_k=5), jax.random.key(5)
  at_once = run(model, params, jnp.array([[1, 2, 3]]), 8, key=key, sampling=sampling)
  chunked = run(model, params, jnp.array([[1, 2, 3]]), 8, key=key, sampling=sampling, chunk=3)
  np.testing.assert_array_equal(at_once, chunked)
  prompts = jnp.array([[1, 2, 3, 4], [5, 6, 0, 0]])
  mask = jnp.array([[True] * 4, [True, True, False, False]])
  greedy = Sampling(temperature=0)
  both = run(model, params, prompts, 6, key=key, sampling=greedy, mask=mask)
  np.testing.assert_array_equal(both[1:], run(model, params, prompts[1:, :2], 6, key=key, sampling=greedy))


GROWING = ('attention', 'sliding_window', 'transformer_xl', 'sparse', 'lstm')


def test_a_state_that_grows_with_the_text_changes_nothing(monkeypatch):
  """All kinds of states in one model; the ring of each attention is full just before it grows."""
  mixer = {'window': 6, 'stride': 2}
  config = ModelConfig(pattern=GROWING, width=16, depth=5, feedforward=1.0, position='rotary', mixer=mixer)
  model = build(config, SPEC)
  params = jax.tree.map(lambda p: 2 * p, model.init(jax.random.key(3)))
  options = {'key': jax.random.key(1), 'chunk': 5}
  rooms, prompt = [], jnp.array([[1, 2, 3], [6, 5, 4]])
  monkeypatch.setattr(
    generating, 'grow', lambda *a, max_length: rooms.append(max_length) or grow(*a, max_length=max_length)
  )
  whole = run(model, params, prompt, 10, **options)
  monkeypatch.setattr(generating, 'SMALLEST_ROOM', 4)
  grown = run(model, params, prompt, 10, **options)
  assert rooms == [13]
  np.testing.assert_array_equal(grown, whole)


def test_a_row_that_has_stopped_repeats_its_stop(trained):
  model, params = trained
  prompt, key = jnp.array([[1, 2], [3, 4]]), jax.random.key(11)
  free = run(model, params, prompt, 12, key=key)
  stop = int(free[0, 2])
  made = run(model, params, prompt, 12, key=key, sampling=Sampling(stop=stop), chunk=4)
  end = int(np.argmax(free[0] == stop))
  assert (made[0, end:] == stop).all()
  np.testing.assert_array_equal(made[0, :end], free[0, :end])


def test_generation_ends_when_every_row_has_stopped(trained):
  model, params = trained
  prompt, options = jnp.array([[1, 2], [1, 2]]), {'key': jax.random.key(0), 'chunk': 3}
  free = run(model, params, prompt, 12, sampling=Sampling(temperature=0), **options)
  stop = int(free[0, 1])
  chunks = list(generate(model, params, prompt, 12, sampling=Sampling(temperature=0, stop=stop), **options))
  assert len(chunks) == 1
  assert (np.asarray(chunks[0])[:, 1:] == stop).all()


def test_draws_follow_the_truncated_distribution():
  logits = jnp.log(jnp.array([0.5, 0.25, 0.15, 0.07, 0.03]))
  rows = jnp.tile(logits, (20_000, 1))

  def shares(sampling):
    return np.bincount(np.asarray(sample(rows, jax.random.key(0), sampling)), minlength=5) / 20_000

  np.testing.assert_allclose(shares(Sampling()), np.exp(logits), atol=0.015)
  np.testing.assert_allclose(shares(Sampling(top_k=2)), [2 / 3, 1 / 3, 0, 0, 0], atol=0.015)
  np.testing.assert_allclose(shares(Sampling(top_p=0.8)), [5 / 9, 2.5 / 9, 1.5 / 9, 0, 0], atol=0.015)
  squared = np.exp(2 * np.asarray(logits))
  np.testing.assert_allclose(shares(Sampling(temperature=0.5)), squared / squared.sum(), atol=0.015)


@pytest.mark.parametrize(
  ('sampling', 'drawn'),
  [
    (Sampling(top_k=2), [0, 1]),  # of equal logits the lower ids
    (Sampling(top_k=3), [0, 1, 2]),
    (Sampling(top_p=0.45), [0, 1]),
    (Sampling(top_k=3, top_p=0.5), [0, 1]),
    (Sampling(temperature=1e-6), [0, 1, 2, 3]),  # equal logits stay equally likely
    (Sampling(temperature=1e6, top_k=5), [0, 1, 2, 3, 4]),
  ],
)
def test_equal_logits_are_kept_by_number_and_drawn_alike(sampling, drawn):
  rows = jnp.tile(jnp.array([3.0, 3.0, 3.0, 3.0, 1.0]), (4000, 1))
  counts = np.bincount(np.asarray(sample(rows, jax.random.key(0), sampling)), minlength=5)
  assert np.flatnonzero(counts).tolist() == drawn
  np.testing.assert_allclose(counts[drawn] / 4000, 1 / len(drawn), atol=0.03)


def test_bad_sampling_is_refused(trained):
  model, params = trained
  for bad in ({'temperature': -1.0}, {'top_k': -1}, {'top_p': 0.0}):
    with pytest.raises(InputError, match=next(iter(bad))):
      Sampling(**bad)
  with pytest.raises(InputError, match='length=0'):
    run(model, params, jnp.array([[1]]), 0, key=jax.random.key(0))
