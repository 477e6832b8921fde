"""Every task keeps the contract of tasks/base.py: shapes, seeds, resuming, shards, batch sizes, segments."""

import dataclasses
import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from seqmodels.spec import Tokens
from tasks.base import Batch, Shard
from tasks.language import Language
from tasks.pipeline import cut, shuffled

SMALL = {
  'adding': {'length': 9, 'train_examples': 50, 'evaluation_examples': 23},
  'classification': {'patch': 8},
  'copying': {'symbols': 3, 'items': 3, 'lag': 5, 'train_examples': 50, 'evaluation_examples': 23},
  'delay': {'symbols': 4, 'lag': 3, 'length': 9, 'train_examples': 50, 'evaluation_examples': 23},
  'forecasting': {'lookback': 24, 'horizon': 6},
  'formal_languages': {'length': 9, 'longest': 20, 'train_examples': 50, 'evaluation_examples': 23},
  'induction_heads': {'symbols': 4, 'length': 9, 'train_examples': 50, 'evaluation_examples': 23},
  'language': {'length': 32},
  'language packed': {'length': 32, 'documents': 'packed', 'separator': 'blank_line'},
  'listops': {'shortest': 5, 'length': 20, 'train_examples': 50, 'evaluation_examples': 23},
  'recall': {'vocabulary': 32, 'pairs': 3, 'length': 20, 'train_examples': 50, 'evaluation_examples': 23},
  'reversal': {'symbols': 4, 'length': 5, 'train_examples': 50, 'evaluation_examples': 23},
  'selective_copying': {'symbols': 4, 'items': 3, 'length': 9, 'train_examples': 50, 'evaluation_examples': 23},
  'speech_frames': {'mels': 16},
  'speech_recognition': {'mels': 16},
  'speech_synthesis': {'seconds': 0.01, 'block': 20},
  'state_tracking': {'group': 'A5', 'length': 9, 'train_examples': 50, 'evaluation_examples': 23},
  'temporal_order': {'length': 9, 'train_examples': 50, 'evaluation_examples': 23},
  'text_classification': {'length': 32, 'train_examples': 50},
  'translation': {'vocabulary': 400, 'length': 64, 'buckets': 1, 'train_examples': 50},
  'video': {'frames': 6, 'history': 3, 'size': 16, 'train_examples': 50, 'evaluation_examples': 23},
  'video_question': {'frames': 9, 'size': 16, 'train_examples': 50, 'evaluation_examples': 23},
}


@pytest.fixture(params=sorted({*tasks.TASKS, *SMALL}))
def task(request):
  return tasks.make(request.param.split()[0], SMALL.get(request.param, {}))


@pytest.fixture
def in_segments(task):
  """A task that is read in segments; the others refuse."""
  if task.spec.kind != 'causal':
    with pytest.raises(InputError, match=r'train\.segment=4 must be 0'):
      task.dataset('train', 4, segment=4)
    pytest.skip('not read in segments')
  return task


def take(dataset, number):
  return list(itertools.islice(iter(dataset), number))


def assert_equal(left: Batch, right: Batch):
  assert jax.tree.structure(left) == jax.tree.structure(right)
  for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
    np.testing.assert_array_equal(a, b)


def fingerprints(batch: Batch) -> list[bytes]:
  """One per counted row, so that rows can be compared as multisets."""
  counted = batch.weights.reshape(len(batch.weights), -1).any(axis=1)
  return [batch.inputs[i].tobytes() + batch.targets[i].tobytes() for i in np.flatnonzero(counted)]


def check_side(array, side, shape):
  if isinstance(side, Tokens):
    assert (array.shape, array.dtype) == (shape, np.int32)
    assert array.min() >= 0
    assert array.max() < side.size
  else:
    assert (array.shape, array.dtype) == ((*shape, side.size), np.float32)
    assert np.isfinite(array).all()


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
def test_arrays_are_what_the_spec_says(task, split):
  batch = next(iter(task.dataset(split, 4)))
  spec = task.spec
  shape = (4, spec.length) if spec.readout == 'every' else (4,)
  check_side(batch.inputs, spec.input, (4, spec.length))
  check_side(batch.targets, spec.output, shape)
  if spec.kind == 'seq2seq':
    check_side(batch.source, spec.source, (4, spec.source_length))
    assert (batch.source_mask.shape, batch.source_mask.dtype) == ((4, spec.source_length), bool)
    assert (batch.inputs[:, 0] == spec.start).all()
  assert (batch.weights.shape, batch.weights.dtype) == (shape, np.float32)
  assert batch.weights.sum() > 0


@pytest.mark.parametrize('segment', [None, 4])
def test_training_data_depend_on_the_seed_alone(request, task, segment):
  task = task if segment is None else request.getfixturevalue('in_segments')
  one, again, other = (take(task.dataset('train', 4, seed=seed, segment=segment), 5) for seed in (1, 1, 2))
  for a, b in zip(one, again, strict=True):
    assert_equal(a, b)
  assert any(not np.array_equal(a.inputs, b.inputs) for a, b in zip(one, other, strict=True))


def test_evaluation_data_do_not_depend_on_the_seed(task):
  for a, b in zip(take(task.dataset('test', 4, seed=1), 3), take(task.dataset('test', 4, seed=2), 3), strict=True):
    assert_equal(a, b)


@pytest.mark.parametrize('segment', [None, 4])
@pytest.mark.parametrize('after', [0, 1, 7])
def test_an_iterator_resumes_exactly(request, task, segment, after):
  """Seven segments end in the middle of a sequence."""
  task = task if segment is None else request.getfixturevalue('in_segments')
  iterator = iter(task.dataset('train', 4, seed=3, segment=segment))
  for _ in range(after):
    next(iterator)
  state = iterator.get_state()
  expected = [next(iterator) for _ in range(9)]
  resumed = iter(task.dataset('train', 4, seed=3, segment=segment))
  resumed.set_state(state)
  for batch in expected:
    assert_equal(next(resumed), batch)


def test_an_epoch_has_every_training_example_once(task):
  if not 0 < task.count('train') <= 50:
    pytest.skip('drawn from too many examples for a small test')
  batches = take(task.dataset('train', 10, seed=1), 10)
  epochs = [sorted(itertools.chain.from_iterable(map(fingerprints, part))) for part in (batches[:5], batches[5:])]
  assert epochs[0] == epochs[1] == sorted(fingerprints(task.arrays('train', np.arange(50), seed=1)))
  assert not np.array_equal(batches[0].inputs, batches[5].inputs)


def train_rows(task, seed=1):
  """Every training example of a task that has finitely many."""
  return fingerprints(task.arrays('train', np.arange(task.count('train')), seed))


def test_smaller_training_sets_are_subsets_of_larger_ones(task):
  small, large = (dataclasses.replace(task, train_examples=number) for number in (8, 20))
  rows, more = train_rows(small), train_rows(large)
  assert set(rows) < set(more)
  assert small.count('train') < large.count('train')
  if not isinstance(task, Language):  # whose windows overlap
    assert (small.count('train'), large.count('train')) == (8, 20)
  epoch = take(small.dataset('train', small.count('train'), seed=1), 2)
  assert [sorted(fingerprints(batch)) for batch in epoch] == [sorted(rows)] * 2
  assert_equal(next(iter(small.dataset('test', 4))), next(iter(task.dataset('test', 4))))
  assert small.spec == task.spec


def test_batches_made_together_are_those_made_alone(task):
  for number, batch in enumerate(take(task.dataset('train', 3, seed=1, shard=Shard(1, 2)), 20)):
    positions, count = (2 * number + 1) * 3 + np.arange(3), task.count('train')
    assert_equal(batch, task.arrays('train', shuffled(positions, count, 1) if count else positions, 1))


def test_shards_partition_the_validation_split(task):
  whole = [row for batch in task.dataset('validation', 8) for row in fingerprints(batch)]
  shards = [list(task.dataset('validation', 8, shard=Shard(i, 3))) for i in range(3)]
  assert len({len(batches) for batches in shards}) == 1, 'collectives need as many steps in each process'
  parts = [row for batches in shards for batch in batches for row in fingerprints(batch)]
  assert sorted(parts) == sorted(whole)


def test_shards_together_train_on_what_one_process_would(task):
  whole = take(task.dataset('train', 6, seed=1), 3)
  shards = [take(task.dataset('train', 2, seed=1, shard=Shard(i, 3)), 3) for i in range(3)]
  for step, batch in enumerate(whole):
    parts = [row for shard in shards for row in fingerprints(shard[step])]
    assert parts == fingerprints(batch), 'in the same order: a row has the same noise wherever it is computed'


def pretend_model(task):
  """A fixed function of the inputs with the outputs that the spec asks for."""
  spec = task.spec
  size = spec.input.size
  table = jax.random.normal(jax.random.key(0), (size, spec.output.size))

  def apply(batch):
    x = batch.inputs if not isinstance(spec.input, Tokens) else jax.nn.one_hot(batch.inputs, size)
    return (x if spec.readout == 'every' else x.mean(axis=1)) @ table

  return apply


def test_totals_are_the_same_at_any_batch_size(task):
  apply = pretend_model(task)
  metrics = jax.jit(lambda batch: task.metrics(apply(batch), batch))
  results = []
  for batch_size in (1, 7, 64):
    totals: dict[str, np.ndarray] = {}
    for batch in task.dataset('validation', batch_size):
      for name, (value, weight) in metrics(batch).items():
        assert value.shape == weight.shape == (batch_size,)
        totals[name] = totals.get(name, np.zeros(2)) + np.array([value, weight], np.float64).sum(axis=1)
    results.append(totals)
  assert set(results[0]) >= {'loss'}
  for name, (value, weight) in results[0].items():
    for other in results[1:]:
      assert other[name][1] == weight > 0
      assert other[name][0] == pytest.approx(value, rel=1e-6)


def test_loss_is_finite_whatever_a_model_says_of_rows_that_do_not_count(task):
  apply = pretend_model(task)
  batch = next(iter(task.dataset('validation', 3)))
  batch.weights[0] = 0.0
  value, weight = jax.jit(lambda batch: task.loss(apply(batch).at[0].set(jnp.nan), batch))(batch)
  assert value[0] == weight[0] == 0.0
  assert np.isfinite(value).all()


@pytest.mark.parametrize('segment', [1, 4, 100])
def test_segments_in_a_row_are_the_whole_sequence(in_segments, segment):
  task = in_segments
  indices = np.array([3, 1, 4])
  whole = task.arrays('validation', indices)
  length = whole.inputs.shape[1]
  pieces = [cut(whole, piece, segment) for piece in range(-(-length // segment))]
  assert all(piece.inputs.shape[1] == segment for piece in pieces)
  reset = np.concatenate([piece.reset for piece in pieces], axis=1)
  assert reset[:, 0].all()
  expected = np.zeros(whole.inputs.shape[:2], bool) if whole.reset is None else whole.reset
  np.testing.assert_array_equal(reset[:, 1:length], expected[:, 1:])
  assert not reset[:, length:].any()
  real = np.concatenate([np.ones_like(piece.reset) if piece.mask is None else piece.mask for piece in pieces], axis=1)
  np.testing.assert_array_equal(real[:, :length], np.ones_like(real[:, :length]) if whole.mask is None else whole.mask)
  assert not real[:, length:].any()
  np.testing.assert_array_equal(np.concatenate([p.inputs for p in pieces], axis=1)[:, :length], whole.inputs)
  if task.spec.readout == 'every':
    weights = np.concatenate([p.weights for p in pieces], axis=1)
    np.testing.assert_array_equal(weights[:, :length], whole.weights)
    assert not weights[:, length:].any()
    np.testing.assert_array_equal(np.concatenate([p.targets for p in pieces], axis=1)[:, :length], whole.targets)
  else:
    last = [length - 1] * 3 if whole.mask is None else [int(np.flatnonzero(row)[-1]) for row in whole.mask]
    for row, end in enumerate(last):
      expected = [whole.weights[row] if number == end // segment else 0 for number in range(len(pieces))]
      assert [piece.weights[row] for piece in pieces] == expected


@pytest.mark.parametrize('name', ['classification', 'listops', 'temporal_order'])
def test_tasks_of_classes_are_read_both_ways_too(name):
  task = tasks.make(name, SMALL[name] | {'kind': 'encode'})
  assert (task.spec.kind, task.spec.readout) == ('encode', 'mean')
  forwards = tasks.make(name, SMALL[name])
  assert_equal(next(iter(task.dataset('test', 4))), next(iter(forwards.dataset('test', 4))))


def test_evaluations_run_and_validation_is_among_them(task):
  evaluations = task.evaluations()
  assert 'validation' in evaluations
  for evaluation in evaluations.values():
    changed = dataclasses.replace(task, **evaluation.options)
    assert next(iter(changed.dataset(evaluation.split, 2))).weights.sum() > 0


def test_tasks_can_be_static_arguments(task):
  assert hash(task) == hash(dataclasses.replace(task))
  assert task == dataclasses.replace(task)


def test_bad_requests_are_one_line(task):
  for arguments in ({'split': 'dev', 'batch_size': 4}, {'split': 'train', 'batch_size': 0}):
    with pytest.raises(InputError, match=r'split|batch_size') as caught:
      task.dataset(**arguments)
    assert '\n' not in str(caught.value)
  with pytest.raises(InputError, match='segment'):
    task.dataset('train', 4, segment=-1)


def test_examples_are_made_without_grain_and_tfds():
  """On a machine that has neither, `arrays` still works for every task that needs no files."""
  program = (
    'import sys; sys.modules.update(dict.fromkeys(("grain", "tensorflow_datasets", "pooch")))\n'
    'import numpy as np, tasks\n'
    'for name in tasks.TASKS: print(tasks.make(name, {}).arrays("train", np.arange(2)).inputs.shape[0])'
  )
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
  assert done.stdout.split() == ['2'] * len(tasks.TASKS)
