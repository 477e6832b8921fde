"""Formal languages and state tracking: answers by plain Python, lengths as promised, groups that are groups."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from tasks.formal_languages import LANGUAGES
from tasks.state_tracking import GROUPS, table


def make(language, **options):
  return tasks.make('formal_languages', {'language': language} | options)


def examples(task, split='train', number=400):
  """(string, answer) of each example, as lists."""
  batch = task.arrays(split, np.arange(number), seed=1)
  for row in range(number):
    counted = batch.weights[row] > 0
    first = int(counted.argmax())
    assert (batch.inputs[row][counted] == task.spec.input.size - 1).all(), 'the query stands where answers count'
    assert counted[first : first + counted.sum()].all()
    assert batch.mask[row].sum() == first + counted.sum()
    assert batch.mask[row][: batch.mask[row].sum()].all()
    yield batch.inputs[row][:first].tolist(), batch.targets[row][counted].tolist()


def modular(string):
  text = ''.join('+-*'[symbol - 5] if symbol >= 5 else str(symbol) for symbol in string)
  return [eval(text) % 5]


def missing(string):
  half = len(string) // 2
  (gap,) = [i for i, symbol in enumerate(string) if symbol == 2]
  other = string[(gap + half) % len(string)]
  whole = [other if i == gap else symbol for i, symbol in enumerate(string)]
  assert whole[:half] == whole[half:]
  return [other]


ANSWERS = {
  'parity': lambda string: [string.count(1) % 2],
  'even_pairs': lambda string: [int(sum(a != b for a, b in itertools.pairwise(string)) % 2 == 0)],
  'cycle_navigation': lambda string: [sum(symbol - 1 for symbol in string) % 5],
  'modular_arithmetic': modular,
  'reverse': lambda string: string[::-1],
  'duplicate': lambda string: string + string,
  'missing_duplicate': missing,
}


@pytest.mark.parametrize('language', LANGUAGES)
@pytest.mark.parametrize('length', [7, 20])
def test_answers_are_those_of_plain_python(language, length):
  lengths = set()
  for string, answer in examples(make(language, length=length)):
    assert answer == ANSWERS[language](string)
    lengths.add(len(string))
  remainder = LANGUAGES[language].remainder
  assert lengths == {n for n in range(1, length + 1) if remainder is None or n % 2 == remainder}


@pytest.mark.parametrize('language', LANGUAGES)
def test_every_answer_comes_up_and_none_too_often(language):
  answers = [answer[0] for _, answer in examples(make(language, length=20), number=3000)]
  counts = np.bincount(answers, minlength=LANGUAGES[language].answers)
  assert len(counts) == LANGUAGES[language].answers
  # A product is 0 more often than not, and a string of one symbol has an even number of pairs.
  bound = 0.5 if language == 'modular_arithmetic' else 0.05 + 1 / len(counts)
  assert counts.max() / counts.sum() < bound
  assert counts.min() > 0


@pytest.mark.parametrize('language', LANGUAGES)
def test_the_longer_evaluation_begins_where_training_ends(language):
  task = make(language, length=10, longest=30)
  longer = task.evaluations()['longer']
  harder = tasks.make('formal_languages', {'language': language} | longer.options)
  found = {len(string) for string, _ in examples(harder, longer.split)}
  assert (min(found) - 10, 30 - max(found)) in ((1, 0), (2, 0), (1, 1))
  assert harder.spec.input == task.spec.input, 'the same model reads them'


def test_an_answer_is_solved_only_as_a_whole():
  task = make('reverse', length=6)
  batch = task.arrays('validation', np.arange(50))
  right = 9.0 * (batch.targets[..., None] == np.arange(task.spec.output.size))
  metrics = task.metrics(jnp.asarray(right), batch)
  assert metrics['solved'][0].tolist() == metrics['solved'][1].tolist() == [1.0] * 50
  first = batch.weights.argmax(axis=1)
  right[np.arange(50), first] = np.roll(right[np.arange(50), first], 1, axis=-1)
  metrics = task.metrics(jnp.asarray(right), batch)
  assert not metrics['solved'][0].any()
  assert metrics['accuracy'][0].sum() == batch.weights.sum() - 50


@pytest.mark.parametrize(('group', 'size'), [('Z60', 60), ('A5', 60), ('S5', 120)])
def test_the_groups_are_groups(group, size):
  products = table(group)
  everything = np.arange(size)
  assert products.shape == (size, size)
  np.testing.assert_array_equal(products[0], everything)
  np.testing.assert_array_equal(products[:, 0], everything)
  for axis in (0, 1):  # a Latin square: every element has an inverse
    np.testing.assert_array_equal(
      np.sort(products, axis=axis),
      np.broadcast_to(everything[:, None] if axis == 0 else everything[None, :], (size, size)),
    )
  a, b, c = np.random.default_rng(0).integers(0, size, (3, 2000))
  np.testing.assert_array_equal(products[products[a, b], c], products[a, products[b, c]])
  assert (products == products.T).all() == (group == 'Z60')


def commutators(products):
  """The subgroup that all commutators make."""
  inverse = np.argmax(products == 0, axis=1)
  a, b = np.meshgrid(np.arange(len(products)), np.arange(len(products)))
  found = set(np.unique(products[products[a, b], products[inverse[a], inverse[b]]]).tolist())
  while True:
    members = np.array(sorted(found))
    larger = set(np.unique(products[np.ix_(members, members)]).tolist())
    if larger == found:
      return found
    found = larger


def test_only_the_commutative_group_is_solvable():
  """A5 is its own commutator subgroup, and that of S5; so neither can be taken apart into commutative steps."""
  assert {group: len(commutators(table(group))) for group in GROUPS} == {'Z60': 1, 'A5': 60, 'S5': 60}


@pytest.mark.parametrize('group', GROUPS)
def test_targets_are_the_products_so_far(group):
  task = tasks.make('state_tracking', {'group': group, 'length': 12})
  batch = task.arrays('train', np.arange(30), seed=1)
  for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
    state = 0
    for element, target in zip(inputs, targets, strict=True):
      state = table(group)[state, element]
      assert state == target
  assert batch.weights.all()
  assert len(np.unique(batch.inputs)) > 40
