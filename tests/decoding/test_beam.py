"""Beam search against the enumeration of every continuation."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.config import ModelConfig
from seqmodels.decoding.beam import beam_search
from seqmodels.errors import InputError
from seqmodels.models import Decoder, Model, build
from seqmodels.spec import Spec, Tokens

N, LENGTH = 4, 3


@pytest.fixture(scope='module')
def model_params():
  model = build(
    ModelConfig(pattern=('gru',), width=12, depth=1, layers='scan'), Spec('causal', Tokens(N), Tokens(N), 8)
  )
  return model, jax.tree.map(lambda p: 2 * p, model.init(jax.random.key(1)))


@pytest.fixture(scope='module')
def scored(model_params):
  """Every continuation of each prompt with its log probability token by token."""
  model, params = model_params
  apply = jax.jit(model.apply)
  found = []
  for prompt in ((1, 2), (3, 0)):
    every = np.array(list(itertools.product(range(N), repeat=LENGTH)), np.int32)
    x = jnp.concatenate([jnp.tile(jnp.array([prompt], jnp.int32), (len(every), 1)), every], axis=1)
    logs = jax.nn.log_softmax(apply(params, x)[0])[:, 1:-1]
    found.append((every, np.asarray(jnp.take_along_axis(logs, every[:, :, None], axis=2))[:, :, 0]))
  return found


PROMPTS = jnp.array([[1, 2], [3, 0]], jnp.int32)


def test_enough_beams_find_the_likeliest_continuations(model_params, scored):
  tokens, scores = beam_search(*model_params, PROMPTS, LENGTH, beams=N**2)
  for row, (every, logs) in enumerate(scored):
    best = np.argsort(-logs.sum(1))[:5]
    np.testing.assert_array_equal(tokens[row, :5], every[best])
    np.testing.assert_allclose(scores[row, :5], logs.sum(1)[best], atol=1e-5)


def test_ended_beams_keep_their_score_and_the_penalty_counts_their_tokens(model_params, scored):
  stop, penalty = 2, 0.7
  tokens, scores = beam_search(*model_params, PROMPTS, LENGTH, beams=N**2, stop=stop, length_penalty=penalty)
  for row, (every, logs) in enumerate(scored):
    ended = {}
    for sequence, steps in zip(every, logs, strict=True):
      count = int(np.argmax(sequence == stop)) + 1 if stop in sequence else LENGTH
      key = (*sequence[:count], *[stop] * (LENGTH - count))
      ended[key] = steps[:count].sum() / ((5 + count) / 6) ** penalty
    for rank in range(4):
      assert ended[tuple(np.asarray(tokens[row, rank]).tolist())] == pytest.approx(float(scores[row, rank]), abs=1e-5)
    assert float(scores[row, 0]) == pytest.approx(max(ended.values()), abs=1e-5)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ChainDecoder(Decoder):
  """Decode a Markov chain, whose parameter is the matrix of transition probabilities."""

  def init_state(self, batch, max_length, source_length=0):
    return {'nothing': jnp.zeros((batch, 1))}

  def read(self, inputs, state, context):
    return jnp.log(self.params['transitions'])[inputs], state

  def step(self, token, state):
    return jnp.log(self.params['transitions'])[token], state

  def take(self, state, rows):
    return jax.tree.map(lambda leaf: leaf[rows], state)


class Chain(Model):
  """A Markov chain in a model's place."""

  def __init__(self):
    self.config, self.spec = ModelConfig(), Spec('causal', Tokens(3), Tokens(3), 8)

  def decoder(self, params, tokens=0):
    return ChainDecoder(params, None, self)


def test_a_penalty_lets_longer_continuations_win_over_one_that_has_ended():
  """Ending at once is the likeliest; three tokens that do not end have the better score at a penalty of 2."""
  chain, transitions = Chain(), jnp.array([[0.05, 0.45, 0.5], [0.05, 0.9, 0.05], [1 / 3, 1 / 3, 1 / 3]])

  def search(penalty):
    params, prompt = {'transitions': transitions}, jnp.array([[0]])
    return beam_search(chain, params, prompt, 3, beams=1, stop=2, length_penalty=penalty)

  tokens, scores = search(0.0)
  assert tokens.tolist() == [[[2, 2, 2]]]
  assert float(scores[0, 0]) == pytest.approx(np.log(0.5))
  tokens, scores = search(2.0)
  assert tokens.tolist() == [[[1, 1, 1]]]
  assert float(scores[0, 0]) == pytest.approx(np.log(0.45 * 0.9**2) / (8 / 6) ** 2)
  for penalty in (-1.0, float('nan'), float('inf')):
    with pytest.raises(InputError, match='length_penalty'):
      search(penalty)
