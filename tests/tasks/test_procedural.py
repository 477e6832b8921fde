"""Copying, adding and recall: solvers written without the tasks' code find the targets in the inputs."""

import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.losses import correct, cross_entropy, summed

INDICES = np.arange(200)


def test_copying_is_solved_by_writing_down_what_was_read():
  symbols, items, lag = 8, 10, 7
  batch = tasks.make('copying', {'symbols': symbols, 'items': items, 'lag': lag}).arrays('train', INDICES, seed=1)
  for row, target in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
    heard, answer, started = [], [], False
    for token in row:
      if not started:
        answer.append(0)
        if 1 <= token <= symbols:
          heard.append(token)
      else:
        answer.append(heard.pop(0))
      started = started or token == symbols + 1
    assert answer == target
    assert not heard
    assert [i for i, token in enumerate(target) if token] == list(range(items + lag, 2 * items + lag))
  assert set(np.unique(batch.inputs)) == set(range(symbols + 2))
  assert (batch.weights == 1).all()
  answer_only = tasks.make('copying', {'items': 3, 'lag': 2, 'loss_on': 'answer'}).arrays('test', INDICES)
  np.testing.assert_array_equal(answer_only.weights, np.tile([0, 0, 0, 0, 0, 1, 1, 1], (len(INDICES), 1)))


def test_copying_without_memory_has_the_stated_loss():
  """Blanks for certain up to the delimiter, then all symbols alike: the best that forgetting allows."""
  task = tasks.make('copying', {'symbols': 4, 'items': 3, 'lag': 5})
  batch = task.arrays('test', INDICES)
  logits = np.full((*batch.inputs.shape, 6), -60.0, np.float32)
  logits[:, :8, 0] = 60.0
  logits[:, 8:, 1:5] = 60.0
  loss, weight = task.loss(logits, batch)
  assert loss.sum() / weight.sum() == pytest.approx(task.baselines()['no memory']['loss'], rel=1e-5)
  accuracy, answers = task.metrics(logits, batch)['accuracy']
  assert answers.sum() == 3 * len(INDICES)
  assert accuracy.sum() / answers.sum() == pytest.approx(0.25, abs=0.1)


def test_adding_is_solved_by_adding():
  task = tasks.make('adding', {'length': 9})
  batch = task.arrays('train', np.arange(20_000), seed=1)
  values, markers = batch.inputs[..., 0], batch.inputs[..., 1]
  assert set(np.unique(markers)) == {0.0, 1.0}
  assert (markers[:, :4].sum(axis=1) == 1).all()
  assert (markers[:, 4:].sum(axis=1) == 1).all()
  assert (markers.mean(axis=0) > 0.15).all(), 'every step is marked now and then'
  np.testing.assert_allclose((values * markers).sum(axis=1, keepdims=True), batch.targets, rtol=1e-6)
  metrics = task.metrics(np.ones_like(batch.targets), batch)
  for name, value in task.baselines()['mean'].items():
    total, weight = metrics[name]
    assert total.sum() / weight.sum() == pytest.approx(value, rel=0.05)


def solve_recall(row: list[int], pairs: int) -> dict[int, int]:
  """Position → answer, for every later position that shows a key of one of the pairs."""
  memory = dict(zip(row[0 : 2 * pairs : 2], row[1 : 2 * pairs : 2], strict=True))
  return {i: memory[token] for i, token in enumerate(row) if i >= 2 * pairs and token in memory}


@pytest.mark.parametrize(
  'options',
  [{}, {'queries': 2}, {'distance': 'uniform'}, {'gap': 11}, {'gap': 9, 'queries': 1}, {'pairs': 1, 'gap': 31}],
)
def test_recall_is_solved_by_a_dictionary(options):
  task = tasks.make('recall', {'vocabulary': 32, 'pairs': 4, 'length': 32} | options)
  batch = task.arrays('train', INDICES, seed=1)
  for row, targets, weights in zip(batch.inputs.tolist(), batch.targets, batch.weights, strict=True):
    answers = solve_recall(row, task.pairs)
    assert len(answers) == (task.queries or task.pairs)
    assert sorted(answers) == np.flatnonzero(weights).tolist()
    assert all(targets[position] == value for position, value in answers.items())
    keys, values = row[0 : 2 * task.pairs : 2], row[1 : 2 * task.pairs : 2]
    assert max(keys) < 16 <= min(values)
    assert len(set(keys)) == len(set(values)) == task.pairs
    if task.gap:
      assert all(row.index(row[position]) == position - task.gap for position in answers)


def test_recall_draws_the_number_of_pairs_of_each_example():
  options = {'vocabulary': 32, 'pairs': 4, 'length': 32, 'fewest_pairs': 2}
  task = tasks.make('recall', options)
  batch = task.arrays('train', np.arange(300))
  asked = batch.weights.sum(axis=1)
  assert {2.0, 3.0, 4.0} == set(asked)
  assert all(70 < (asked == number).sum() < 130 for number in (2, 3, 4))
  for row, targets, weights in zip(*batch[:3], strict=True):
    answers = solve_recall(row.tolist(), int(weights.sum()))
    assert answers == {int(i): int(targets[i]) for i in np.flatnonzero(weights)}
  one = task.arrays('train', np.array([17]))
  np.testing.assert_array_equal(one.inputs[0], batch.inputs[17])
  three = tasks.make('recall', options | {'fewest_pairs': 3, 'most_pairs': 3}).arrays('train', np.arange(300))
  assert (three.weights.sum(axis=1) == 3).all()
  same = asked == 3  # these examples are those that draw three of two to four
  np.testing.assert_array_equal(three.inputs[same], batch.inputs[same])


@pytest.mark.parametrize('number', [{}, {'fewest_pairs': 1}, {'fewest_pairs': 2, 'most_pairs': 3}, {'fewest_pairs': 3}])
def test_the_baseline_of_recall_is_that_of_the_number_of_pairs_that_are_shown(number):
  """A player who answers the first value shown, which is as good as any."""
  task = tasks.make('recall', {'vocabulary': 32, 'pairs': 4, 'length': 32, 'distance': 'uniform'} | number)
  batch = task.arrays('test', np.arange(4000))
  right = batch.weights * (batch.targets == batch.inputs[:, 1:2])
  baselines = task.baselines()
  assert right.sum() / batch.weights.sum() == pytest.approx(baselines['any value shown']['accuracy'], abs=0.01)
  shown = batch.weights.sum(axis=1)
  assert baselines['any value shown']['loss'] == pytest.approx(shown @ np.log(shown) / shown.sum(), rel=0.02)
  assert baselines['any value']['accuracy'] == 1 / 16


def test_recall_places_queries_by_the_law_of_distances():
  """A single query stands at slot j with probability j^(a−1) / Σ (Zoology); or anywhere alike."""
  slots = np.arange(1, 11, dtype=float)
  for distance, law in (('power', slots ** (0.01 - 1)), ('uniform', np.ones(10))):
    task = tasks.make('recall', {'vocabulary': 32, 'pairs': 1, 'length': 22, 'distance': distance})
    places = np.argmax(task.arrays('train', np.arange(20_000)).weights, axis=1)
    assert (places % 2 == 0).all()
    np.testing.assert_allclose(np.bincount((places - 2) // 2, minlength=10) / 20_000, law / law.sum(), atol=0.015)


def test_every_pair_is_asked_for_alike_when_some_are_not():
  task = tasks.make('recall', {'vocabulary': 32, 'pairs': 4, 'queries': 1, 'length': 16})
  batch = task.arrays('train', np.arange(8000))
  position = np.argmax(batch.weights, axis=1)
  asked = np.argmax(batch.inputs[:, 0:8:2] == batch.inputs[np.arange(8000), position][:, None], axis=1)
  np.testing.assert_allclose(np.bincount(asked) / 8000, 0.25, atol=0.03)


def test_harder_evaluations_of_recall_are_left_out_where_they_do_not_fit():
  assert set(tasks.make('recall', {'length': 64}).evaluations()) == {'validation', 'test', 'longer', 'more_pairs'}
  assert set(tasks.make('recall', {'length': 16}).evaluations()) == {'validation', 'test', 'longer'}


def test_training_and_test_examples_differ():
  for name in ('adding', 'copying', 'recall'):
    task = tasks.make(name, {})
    assert not np.array_equal(task.arrays('train', INDICES).inputs, task.arrays('test', INDICES).inputs)


def test_reversal_is_solved_by_writing_backwards():
  task = tasks.make('reversal', {'symbols': 5, 'length': 6})
  batch = task.arrays('train', INDICES, seed=1)
  lengths = set()
  for i in range(len(INDICES)):
    read = batch.source[i][batch.source_mask[i]].tolist()
    assert batch.targets[i][batch.weights[i] > 0].tolist() == [*read[::-1], 0]
    assert batch.inputs[i][batch.weights[i] > 0].tolist() == [0, *read[::-1]]
    assert min(read) > 0
    lengths.add(len(read))
  assert lengths == set(range(1, 7))
  assert task.decode(task.encode('abcde')[::-1]) == 'edcba'
  with pytest.raises(InputError, match="characters outside the vocabulary: 'f'; allowed: abcde"):
    task.encode('f')


def test_cross_entropy_matches_a_float64_loop_and_survives_large_logits():
  random = np.random.default_rng(0)
  logits, targets = random.normal(size=(2, 3, 5)) * 10, random.integers(0, 5, (2, 3))
  expected = [
    [-np.log(np.exp(row[target]) / np.exp(row).sum()) for row, target in zip(rows, chosen, strict=True)]
    for rows, chosen in zip(logits, targets, strict=True)
  ]
  np.testing.assert_allclose(cross_entropy(logits.astype(np.float32), targets), expected, rtol=1e-5, atol=1e-5)
  extreme = np.array([[1e30, 0.0], [-1e30, 0.0]], np.float32)
  np.testing.assert_allclose(cross_entropy(extreme, np.array([0, 1])), [0.0, 0.0])
  assert correct(extreme, np.array([0, 0])).tolist() == [1.0, 0.0]
  total, weight = summed(jnp.array([[1.0, jnp.inf], [3.0, 4.0]]), jnp.array([[2.0, 0.0], [1.0, 0.5]]))
  assert total.tolist() == [2.0, 5.0]
  assert weight.tolist() == [2.0, 1.5]
