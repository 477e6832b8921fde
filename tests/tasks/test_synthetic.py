"""Selective copying, delay and induction heads: solvers in plain Python find the targets in the inputs."""

import collections
import math

import numpy as np
import pytest

import tasks

INDICES = np.arange(300)


def score(task, outputs, batch):
  """The means of an evaluation, with what is derived from them."""
  sums = {name: np.asarray(pair).sum(axis=1) for name, pair in task.metrics(outputs, batch).items()}
  values = {name: float(total / weight) for name, (total, weight) in sums.items()}
  return values | task.derived(values)


def one_hot(targets, size):
  return (60.0 * (targets[..., None] == np.arange(size))).astype(np.float32)


def test_selective_copying_is_solved_by_leaving_out_blanks():
  task = tasks.make('selective_copying', {'symbols': 5, 'items': 4, 'length': 11})
  batch = task.arrays('train', INDICES, seed=1)
  places = collections.Counter()
  for row, targets, weights in zip(batch.inputs.tolist(), batch.targets.tolist(), batch.weights.tolist(), strict=True):
    assert row[11:] == [6] * 4, 'the queries'
    assert 6 not in row[:11]
    assert [token for token in row[:11] if token != 0] == targets[11:]
    assert weights == [0.0] * 11 + [1.0] * 4
    places.update(i for i, token in enumerate(row[:11]) if token)
  assert set(batch.targets[:, 11:].ravel()) == {1, 2, 3, 4, 5}
  # Every place is as likely: 300 · 4 / 11 = 109 of each, with a deviation of 8.
  assert len(places) == 11
  assert max(abs(n - 109) for n in places.values()) < 40
  assert score(task, one_hot(batch.targets, 7), batch)['accuracy'] == 1


def test_selective_copying_keeps_the_items_at_longer_lengths():
  task = tasks.make('selective_copying', {'symbols': 5, 'items': 4, 'length': 11})
  longer = task.evaluations()['longer']
  harder = tasks.make('selective_copying', {'symbols': 5, 'items': 4} | longer.options)
  assert (harder.spec.length, harder.spec.input) == (48, task.spec.input)
  full = tasks.make('selective_copying', {'items': 3, 'length': 3}).arrays('train', INDICES, seed=1)
  np.testing.assert_array_equal(full.inputs[:, :3], full.targets[:, 3:])


@pytest.mark.parametrize('lag', [1, 3, 8])
def test_delay_is_solved_by_a_queue(lag):
  task = tasks.make('delay', {'symbols': 4, 'lag': lag, 'length': 9})
  batch = task.arrays('train', INDICES, seed=1)
  for row, targets, weights in zip(batch.inputs.tolist(), batch.targets.tolist(), batch.weights.tolist(), strict=True):
    queue = collections.deque()
    for token, target, weight in zip(row, targets, weights, strict=True):
      assert weight == float(len(queue) == lag)
      if len(queue) == lag:
        assert target == queue.popleft()
      queue.append(token)
  assert set(batch.inputs.ravel()) == {0, 1, 2, 3}


def test_delay_gives_the_bits_that_a_state_holds():
  task = tasks.make('delay', {'symbols': 4, 'lag': 3, 'length': 30})
  batch = task.arrays('test', INDICES)
  assert score(task, one_hot(batch.targets, 4), batch)['state_bits'] == pytest.approx(3 * 2)
  halves = batch.targets[..., None] // 2 == np.arange(4) // 2  # one of the two bits of each symbol is known
  assert score(task, 60.0 * halves.astype(np.float32), batch)['state_bits'] == pytest.approx(3 * 1, rel=1e-5)
  assert score(task, np.zeros((300, 30, 4), np.float32), batch)['state_bits'] == pytest.approx(0, abs=1e-5)
  wrong = score(task, one_hot((batch.targets + 1) % 4, 4), batch)
  assert wrong['loss'] > math.log(4)
  assert wrong['state_bits'] == 0
  assert task.baselines()['no memory'] == {'loss': math.log(4), 'accuracy': 0.25, 'state_bits': 0.0}


@pytest.mark.parametrize('length', [3, 4, 12])
def test_induction_heads_are_solved_by_looking_back(length):
  task = tasks.make('induction_heads', {'symbols': 5, 'length': length})
  batch = task.arrays('train', INDICES, seed=1)
  places = set()
  for row, targets, weights in zip(batch.inputs.tolist(), batch.targets.tolist(), batch.weights.tolist(), strict=True):
    *before, last = row
    assert last == 5
    assert before.count(5) == 1
    places.add(before.index(5))
    assert targets[-1] == row[before.index(5) + 1] < 5
    assert weights == [0.0] * (length - 1) + [1.0]
  assert places == set(range(length - 2))
  assert set(batch.targets[:, -1]) == {0, 1, 2, 3, 4}


def test_induction_heads_are_evaluated_at_longer_lengths():
  task = tasks.make('induction_heads', {'symbols': 5, 'length': 8})
  longer = {name: e for name, e in task.evaluations().items() if name not in ('validation', 'test')}
  assert {name: e.options['length'] for name, e in longer.items()} == {
    'longer_2x': 16,
    'longer_4x': 32,
    'longer_16x': 128,
  }
  for evaluation in longer.values():
    harder = tasks.make('induction_heads', {'symbols': 5} | evaluation.options)
    assert harder.spec.input == task.spec.input
    assert (harder.arrays('test', INDICES).inputs == 5).sum() == 2 * len(INDICES)


@pytest.mark.parametrize(
  ('name', 'options'),
  [
    ('selective_copying', {'symbols': 4, 'items': 3, 'length': 9}),
    ('delay', {'symbols': 4, 'lag': 2, 'length': 9}),
    ('induction_heads', {'symbols': 4, 'length': 9}),
  ],
)
def test_the_baselines_are_those_of_a_uniform_answer(name, options):
  task = tasks.make(name, options)
  batch = task.arrays('test', np.arange(1000))
  answers = range(1, 5) if name == 'selective_copying' else range(4)
  outputs = np.full((*batch.inputs.shape, task.spec.output.size), -60.0, np.float32)
  outputs[..., list(answers)] = 0
  (baseline,) = task.baselines().values()
  found = score(task, outputs, batch)
  assert found['loss'] == pytest.approx(baseline['loss'], rel=1e-5)
  assert found['accuracy'] == pytest.approx(baseline['accuracy'], abs=0.05)
