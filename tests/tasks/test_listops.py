"""ListOps: a stack machine finds the labels in the tokens, and lengths have the chances of the published rule."""

import statistics

import numpy as np
import pytest

import tasks
from seqmodels.errors import InputError
from tasks.listops import SYMBOLS

OPERATIONS = {
  '[MIN': min,
  '[MAX': max,
  '[MED': lambda values: int(statistics.median(values)),
  '[SM': lambda values: sum(values) % 10,
}


def expressions(task, split='train', number=300, seed=1):
  batch = task.arrays(split, np.arange(number), seed=seed)
  for tokens, mask, label in zip(batch.inputs, batch.mask, batch.targets.tolist(), strict=True):
    assert mask[: mask.sum()].all()
    assert not tokens[mask.sum() :].any()
    yield [SYMBOLS[token] for token in tokens[: mask.sum()]], label


def evaluate(symbols):
  """Return value, greatest nesting and the numbers of arguments, by a stack."""
  stack, deepest, arguments = [[]], 0, []
  for i, symbol in enumerate(symbols):
    if symbol in OPERATIONS:
      stack.append([symbol])
    elif symbol == ']':
      operator, *values = stack.pop()
      arguments.append(len(values))
      stack[-1].append(OPERATIONS[operator](values))
    else:
      stack[-1].append(int(symbol))
    deepest = max(deepest, len(stack))
    assert len(stack) > 1 or i == len(symbols) - 1, 'one expression'
  ((value,),) = stack
  return value, deepest, arguments


@pytest.mark.parametrize(
  'options',
  [
    {'shortest': 4, 'length': 60},
    {'shortest': 20, 'length': 30, 'nesting': 3, 'arguments': 4},
    {'shortest': 4, 'length': 12, 'nesting': 2},
    {'shortest': 101, 'length': 300},
  ],
)
def test_labels_are_what_a_stack_machine_computes(options):
  task = tasks.make('listops', options)
  lengths, labels, nested, numbers = set(), set(), 0, set()
  for symbols, label in expressions(task):
    value, deepest, arguments = evaluate(symbols)
    assert value == label
    lengths.add(len(symbols))
    labels.add(label)
    nested = max(nested, deepest)
    numbers |= set(arguments)
  assert task.shortest <= min(lengths) < max(lengths) <= task.length
  assert labels == set(range(10))
  assert nested <= task.nesting
  assert {2} <= numbers <= set(range(2, task.arguments + 1))


def chances(nesting, arguments, longest, depth=1):
  """The exact probability of each length up to `longest`, by the published rule, for an expression at a depth."""
  digit = np.zeros(longest + 1)
  digit[1] = 1
  if depth == nesting:
    return digit
  inside = chances(nesting, arguments, longest, depth + 1)
  operation, several = np.zeros(longest + 1), inside
  for _ in range(2, arguments + 1):
    several = np.convolve(several, inside)[: longest + 1]
    operation[2:] += several[:-2] / (arguments - 1)
  return operation if depth == 1 else 0.75 * digit + 0.25 * operation


@pytest.mark.parametrize(('nesting', 'arguments', 'longest'), [(10, 10, 120), (3, 4, 20)])
def test_lengths_have_the_chances_of_the_published_rule(nesting, arguments, longest):
  exact = chances(nesting, arguments, longest)
  exact = np.cumsum(exact) / exact.sum()
  task = tasks.make('listops', {'shortest': 4, 'length': longest, 'nesting': nesting, 'arguments': arguments})
  found = task.arrays('train', np.arange(20_000), seed=1).mask.sum(axis=1)
  empirical = (found[:, None] <= np.arange(longest + 1)[None, :]).mean(axis=0)
  assert np.abs(empirical - exact).max() < 0.0136  # Kolmogorov's bound, passed by chance once in 1,000


def test_an_example_is_the_same_in_any_batch():
  task = tasks.make('listops', {'shortest': 50, 'length': 120})
  whole = task.arrays('test', np.arange(40))
  for number in (0, 7, 39):
    alone = task.arrays('test', np.array([number]))
    np.testing.assert_array_equal(alone.inputs[0], whole.inputs[number])
    assert alone.targets[0] == whole.targets[number]


def test_lengths_that_cannot_be_met_are_one_line():
  with pytest.raises(InputError, match=r'task\.shortest=50 must be from 4 to 12, the most symbols by task\.length=200'):
    tasks.make('listops', {'shortest': 50, 'nesting': 2})
  task = tasks.make('listops', {'shortest': 200, 'length': 200, 'nesting': 6, 'arguments': 3})
  with pytest.raises(InputError, match='are met by too few expressions') as caught:
    task.arrays('train', np.arange(2))
  assert '\n' not in str(caught.value)
