"""Classification: made-up series by their formula, MNIST as it is stored, baselines by plain Python."""

import collections
import math
import statistics

import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks import bags
from tasks.datasets import cylinder_bell_funnel, mnist


def test_cylinders_bells_and_funnels_have_their_shapes():
  values, labels = cylinder_bell_funnel.cases(1, np.arange(3000))
  assert values.shape == (3000, 128)
  assert np.bincount(labels).tolist() == [1000] * 3
  # Outside the longest event, steps 16 to 128, there is noise alone.
  assert values[:, :15].mean() == pytest.approx(0, abs=0.02)
  assert values[:, :15].std() == pytest.approx(1, abs=0.02)
  early, late = values[:, 32:40].mean(axis=1), values[:, 40:48].mean(axis=1)
  # From step 33 on every event has begun, and none ends before step 48.
  assert early[labels == 0].mean() == pytest.approx(6, abs=0.15)
  assert early[labels == 0].std() == pytest.approx(math.sqrt(1 + 1 / 8), abs=0.1)
  assert (late - early)[labels == 1].mean() > 0.5
  assert (late - early)[labels == 2].mean() < -0.5
  # A bell ends as high as a funnel begins: over the whole event both have half of a cylinder's area.
  area = [values[labels == label].sum() for label in range(3)]
  assert area[1] / area[0] == pytest.approx(0.5, abs=0.02)
  assert area[2] / area[0] == pytest.approx(0.5, abs=0.02)


def test_series_are_scaled_by_the_training_split_and_every_split_has_every_class():
  task = tasks.make('classification', {})
  train = task.arrays('train', np.arange(task.count('train')))
  assert train.inputs.mean() == pytest.approx(0, abs=1e-5)
  assert train.inputs.std() == pytest.approx(1, abs=1e-5)
  for split, count in cylinder_bell_funnel.COUNTS.items():
    assert task.count(split) == count
    assert np.bincount(task.arrays(split, np.arange(count)).targets).tolist() == [count // 3] * 3
  units = task.units()
  values = train.inputs * units['deviation'] + units['mean']
  assert sorted(values[:, 0, 0]) == pytest.approx(sorted(task.data.splits['train'].values[:, 0, 0]), abs=1e-4)


def test_classes_are_mixed_in_every_subset():
  task = tasks.make('classification', {'train_examples': 30})
  labels = task.arrays('train', np.arange(30)).targets
  assert len(set(labels.tolist())) == 3
  assert (labels[1:] < labels[:-1]).any()


@pytest.mark.parametrize('patch', [3, 100])
def test_patches_hold_steps_in_their_order(patch):
  plain, patched = (tasks.make('classification', {'patch': n}) for n in (1, patch))
  assert patched.spec.length == math.ceil(128 / patch)
  one, other = (task.arrays('test', np.arange(5)) for task in (plain, patched))
  joined = other.inputs.reshape(5, -1)
  np.testing.assert_array_equal(joined[:, :128], one.inputs[:, :, 0])
  assert not joined[:, 128:].any()


def test_the_kind_of_reading_is_an_option():
  assert tasks.make('classification', {}).spec.readout == 'last'
  spec = tasks.make('classification', {'kind': 'encode'}).spec
  assert (spec.kind, spec.readout) == ('encode', 'mean')


def test_the_order_of_two_marks_is_the_class():
  task = tasks.make('temporal_order', {'marks': 3, 'symbols': 4, 'length': 20})
  batch = task.arrays('train', np.arange(500), seed=1)
  for row, label in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
    marks = [(i, token - 4) for i, token in enumerate(row) if token >= 4]
    assert [kind for _, kind in marks] == [int(digit) for digit in f'{label:03b}']
    assert [place * 3 // 20 for place, _ in marks] == [0, 1, 2] or [0 <= marks[0][0] < 6, 6 <= marks[1][0] < 13]
  assert set(batch.targets.tolist()) == set(range(8))


def test_a_bag_of_tokens_cannot_tell_an_order():
  """Of XX, XY, YX and YY it confuses the two in the middle, and no other pair."""
  baselines = tasks.make('temporal_order', {'evaluation_examples': 4000}).baselines()
  assert baselines['bag of tokens']['accuracy'] == pytest.approx(0.75, abs=0.03)
  assert baselines['majority class']['accuracy'] == pytest.approx(0.25, abs=0.03)
  assert baselines['majority class']['loss'] == pytest.approx(math.log(4), abs=0.01)


def multinomial_by_hand(examples, classes, size, tokens):
  """Naive Bayes over tokens, by plain Python."""
  scores = []
  for c in range(classes):
    own = [example for example, label in examples if label == c]
    number = collections.Counter(token for example in own for token in example)
    total = sum(number.values()) + size
    prior = math.log((len(own) + 1) / (len(examples) + classes))
    scores.append(prior + sum(math.log((number[token] + 1) / total) for token in tokens))
  norm = math.log(sum(math.exp(score) for score in scores))
  return [score - norm for score in scores]


def test_the_bag_of_tokens_is_naive_bayes():
  random = np.random.default_rng(0)
  tokens, labels = random.integers(0, 5, (40, 7)), random.integers(0, 3, 40)
  mask = np.arange(7)[None, :] < random.integers(1, 8, 40)[:, None]
  rows = [row[inside].tolist() for row, inside in zip(tokens, mask, strict=True)]
  counted = bags.counts(tokens, mask, 5)
  found = bags.multinomial(counted[:30], labels[:30], 3, counted[30:])
  examples = list(zip(rows[:30], labels[:30].tolist(), strict=True))
  for row, values in zip(rows[30:], found, strict=True):
    assert values.tolist() == pytest.approx(multinomial_by_hand(examples, 3, 5, row))


def test_the_bag_of_values_is_gaussian_naive_bayes_whatever_the_order():
  random = np.random.default_rng(1)
  values, labels = random.normal(size=(50, 9, 2)), random.integers(0, 2, 50)
  values[labels == 1] *= 2
  mask = np.arange(9)[None, :] < random.integers(3, 10, 50)[:, None]
  features = bags.statistics(values, mask)
  for row, inside, own in zip(values, mask, features, strict=True):
    seen = row[inside]
    by_hand = [*seen.mean(axis=0), *seen.std(axis=0), *seen.min(axis=0), *seen.max(axis=0)]
    assert own.tolist() == pytest.approx(by_hand)
  found = bags.gaussian(features[:40], labels[:40], 2, features[40:])
  for row, scores in zip(features[40:], found, strict=True):
    by_hand = []
    for c in range(2):
      own = features[:40][labels[:40] == c]
      density = [
        statistics.NormalDist(float(x.mean()), float(x.std())).pdf(float(value))
        for x, value in zip(own.T, row, strict=True)
      ]
      by_hand.append(math.log((len(own) + 1) / 42) + sum(map(math.log, density)))
    difference = by_hand[1] - by_hand[0]
    assert scores[1] - scores[0] == pytest.approx(difference)
    assert math.exp(scores[0]) + math.exp(scores[1]) == pytest.approx(1)
  shuffled = bags.statistics(values[:, ::-1], mask[:, ::-1])
  np.testing.assert_allclose(shuffled, features)


def test_a_class_that_training_lacks_is_no_error():
  features, labels = np.array([[0.0], [1.0], [2.0]]), np.array([0, 0, 2])
  assert np.isfinite(bags.gaussian(features, labels, 3, features)).all()
  assert np.isfinite(bags.multinomial(features, labels, 3, features)).all()


def test_an_idx_file_is_read_by_its_header():
  content = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(6)])
  assert mnist.read_idx(content, 'x').tolist() == [[0, 1, 2], [3, 4, 5]]
  for bad, message in ((content[:-1], 'has 5 values instead'), (b'\0\0\x0d\1', 'no IDX file'), (b'', 'no IDX file')):
    with pytest.raises(InputError, match=message):
      mnist.read_idx(bad, 'x')
