"""Measure trivial baselines on the same tasks, and how each experiment was tuned."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from comparison.experiments import token_index
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.grid import tuning_seeds
from comparison.experiments.reach import Reach
from comparison.experiments.recall_capacity import RecallCapacity, with_pairs
from comparison.experiments.token_index import TokenIndex
from comparison.experiments.truncation import RATE, Truncation
from tasks.language import Language

COUNTED = 10_000_000  # tokens at most, of the beginning of the training split, that n-grams are counted on
# No baseline depends on them.
OF_A_MODEL = (
  'architecture',
  'block',
  'depth',
  'size',
  'segment',
  'matched',
  'budget_of',
  'budget_depth',
  'farthest',
  'heads',
  'position',
  'widths',
)


class Baselines(Experiment):
  """One cell for each experiment that trains models, with the settings that its models share; trains nothing.

  Rows name the experiment that they stand beside in `of` and themselves in `baseline`, and carry its coordinate where
  they depend on it. A row `trials` holds the learning rates and seeds that every model of the experiment was given.
  """

  name = 'baselines'

  def cells(self, scale: Scale) -> list[Cell]:
    found: list[Cell] = []
    for experiment in (RecallCapacity(), Reach(), Truncation(), TokenIndex()):
      for cell in experiment.cells(scale):
        if cell.get('kind') == 'bytes':
          continue
        shared = {name: value for name, value in cell.items() if name not in OF_A_MODEL}
        shared = {'of': experiment.name, 'of_version': experiment.version, **shared}
        if shared not in found:
          found.append(shared)
    return found

  def run(self, cell: Cell) -> Iterable[Row]:
    for row in (*BASELINES[cell['of']](cell), trials(cell)):
      yield {'of': cell['of'], **row}


def trials(cell: Cell) -> Row:
  rates, tuning = cell.get('rates', [RATE]), len(tuning_seeds(cell))
  steps = cell['steps'] if 'steps' in cell else round(max(cell['budgets']) / (cell['batch'] * cell['length']))
  tokens = cell['tokens'] if 'tokens' in cell else cell['batch'] * cell['length']
  return {
    'metric': 'trials',
    'value': len(rates) * tuning + len(cell['seeds']) - tuning,
    'unit': 'runs a model',
    'rates': rates,
    'updates': steps,
    'tokens': tokens,
  }


def of_recall(cell: Cell) -> Iterable[Row]:
  task = RecallCapacity().task(cell)
  for pairs in cell['tested']:
    for name, values in with_pairs(task, pairs).baselines().items():
      yield {'metric': 'accuracy', 'value': values['accuracy'], 'unit': 'share', 'baseline': name, 'pairs': pairs}


def of_reach(cell: Cell) -> Iterable[Row]:
  """With a single pair, to answer the value that was shown is the whole task; without a memory it is any value."""
  guess = Reach().task(cell).baselines()['any value']['accuracy']
  yield {'metric': 'accuracy', 'value': guess, 'unit': 'share', 'baseline': 'any value'}


def of_token_index(cell: Cell) -> Iterable[Row]:
  """Return the losses of n-grams on the tokens that are scored, which do not depend on the context."""
  task = TokenIndex().task(cell)
  windows = min(COUNTED, len(task.tokens('train')) - 1) // task.length
  ngrams = dataclasses.replace(task, train_examples=windows).ngrams
  last = (slice(None), slice(-token_index.SCORED, None))
  batch = task.arrays('test', token_index.windows_of(task, 'test', cell['windows']).ravel())
  for name, losses in (
    ('unigram', ngrams.unigram(batch.targets[last])),
    ('bigram', ngrams.bigram(batch.inputs[last], batch.targets[last])),
  ):
    yield {'metric': 'loss', 'value': float(losses.mean()), 'unit': 'nats', 'baseline': name}


def of_truncation(cell: Cell) -> Iterable[Row]:
  """On the validation split, which is what the experiment reads."""
  del cell
  task = Language()
  tokens = task.arrays('validation', np.arange(task.count('validation')))
  counted = tokens.weights > 0
  for name, values in task.ngrams.metrics(tokens.inputs[counted], tokens.targets[counted]).items():
    yield {'metric': 'loss', 'value': values['loss'], 'unit': 'nats', 'baseline': name}


BASELINES: dict[str, Callable[[Cell], Iterable[Row]]] = {
  'recall_capacity': of_recall,
  'reach': of_reach,
  'token_index': of_token_index,
  'truncation': of_truncation,
}
