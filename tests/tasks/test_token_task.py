"""TokenTask: what every task of tokens has in common, against loops over single tokens."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from tasks.base import Batch
from tasks.token_task import TokenTask
from tasks.tokenizers import Bytes, Characters

SMALL = {
  'formal_languages': {'language': 'reverse', 'length': 6, 'longest': 9},
  'state_tracking': {'group': 'A5', 'length': 6},
  'copying': {'symbols': 3, 'items': 3, 'lag': 5, 'loss_on': 'answer'},
  'language': {'length': 16},
  'recall': {'vocabulary': 32, 'pairs': 3, 'length': 20},
  'reversal': {'symbols': 4, 'length': 5},
  'delay': {'symbols': 3, 'lag': 2, 'length': 8},
  'induction_heads': {'symbols': 4, 'length': 12},
  'selective_copying': {'symbols': 3, 'items': 3, 'length': 12},
  'translation': {'vocabulary': 400},
}
NAMES = sorted(name for name, task in tasks.TASKS.items() if issubclass(task, TokenTask))


def test_every_task_of_tokens_is_one():
  assert sorted(SMALL) == NAMES


@pytest.mark.parametrize('name', NAMES)
def test_loss_and_accuracy_are_means_over_the_tokens_that_count(name):
  task = tasks.make(name, SMALL[name])
  batch = task.arrays('validation', np.arange(5))
  logits = 5 * jax.random.normal(jax.random.key(0), (*batch.targets.shape, task.spec.output.size))
  losses, right, answers = [], [], task.scored(batch)
  for place in zip(*np.nonzero(batch.weights), strict=True):
    row = np.asarray(logits[place], np.float64)
    losses.append(math.log(np.exp(row).sum()) - row[batch.targets[place]])
    if answers[place]:
      right.append(row.argmax() == batch.targets[place])
  metrics = {
    key: (float(total.sum()), float(weight.sum())) for key, (total, weight) in task.metrics(logits, batch).items()
  }
  assert metrics['loss'] == pytest.approx((sum(losses), len(losses)), rel=1e-5)
  assert metrics['accuracy'] == pytest.approx((sum(right), len(right)))
  by_position = task.loss_by_position(logits, batch)
  np.testing.assert_allclose(by_position.sum(axis=1), task.loss(logits, batch)[0], rtol=1e-6)


@pytest.mark.parametrize('name', NAMES)
def test_tokens_that_do_not_count_change_nothing(name):
  task = tasks.make(name, SMALL[name])
  batch = task.arrays('validation', np.arange(5))
  batch.weights[0] = 0.0
  logits = jax.random.normal(jax.random.key(0), (*batch.targets.shape, task.spec.output.size))
  damaged = jnp.where(batch.weights[..., None] > 0, logits, jnp.nan)
  expected, found = task.metrics(logits, batch), task.metrics(damaged, batch)
  for key, pair in expected.items():
    np.testing.assert_array_equal(np.stack(found[key]), np.stack(pair))
  np.testing.assert_array_equal(task.loss_by_position(damaged, batch), task.loss_by_position(logits, batch))


def test_a_task_without_a_tokenizer_has_no_text():
  task: TokenTask = tasks.make('copying', {})  # type: ignore[assignment]
  with pytest.raises(TypeError, match='Copying does not read text'):
    task.encode('a')
  with pytest.raises(TypeError, match='Copying does not write text'):
    task.decode(np.zeros(1, int))


def test_tokenizers_undo_themselves():
  text = 'Ünïcode “quotes”\r\n\ttabs\x00 \U0001f600'
  for tokenizer in (Bytes(), Characters(tuple(sorted(set(text))))):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ids.max() < tokenizer.size
  assert Characters(('', 'a')).decode(np.array([0, 1, 0])) == 'a'


def test_weights_are_counted_as_such():
  """Fractions too: the loss is the weighted sum, beside the sum of the weights."""
  task: TokenTask = tasks.make('copying', {})  # type: ignore[assignment]
  batch = Batch(np.zeros((1, 2), np.int32), np.array([[1, 0]], np.int32), np.array([[0.25, 2.0]], np.float32))
  total, weight = task.loss(jnp.zeros((1, 2, 10)), batch)
  assert total.tolist() == pytest.approx([2.25 * math.log(10)])
  assert weight.tolist() == [2.25]
