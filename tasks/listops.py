"""Evaluate nested operations on digits, read as a sequence (Nangia & Bowman 2018; Tay et al. 2021).

  [MAX 2 9 [MIN 4 7 ] 0 ]      class 9 of the ten digits

Operators are MIN, MAX, MED (the median, rounded down) and SM (the sum modulo 10), with 2 to `arguments` arguments. Each
argument is an operation with probability 1/4 as long as it is nested less than `nesting` deep, else a digit. Trees
outside the lengths are drawn again, as Long Range Arena's generator does: its setting is `shortest=501,length=1999`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt64

from seqmodels.errors import InputError
from seqmodels.spec import Spec, Tokens
from tasks import draws
from tasks.base import Batch
from tasks.label_task import LabelTask
from tasks.procedural import Procedural

SYMBOLS = (*'0123456789', '[MIN', '[MAX', '[MED', '[SM', ']')
DIGITS, OPERATORS, END = 10, 4, 14
MIN, MAX, MED, SUM = range(OPERATORS)
OPERATION_SHARE = 0.25  # of arguments
ATTEMPTS = 4  # trees that are drawn at once for an example
MOST_ROUNDS = 2000  # of attempts, before the lengths are given up


class Level(NamedTuple):
  """Hold the nodes of one depth of many trees, the children of a node side by side.

  tree: the number of a node's tree. parent: its parent's place in the level above. token: a digit or an operator.
  arguments: the number of its children; 0 of a digit.
  """

  tree: Int[np.ndarray, ' n']
  parent: Int[np.ndarray, ' n']
  token: Int[np.ndarray, ' n']
  arguments: Int[np.ndarray, ' n']


@dataclass(frozen=True)
class ListOps(LabelTask, Procedural):
  """Evaluate expressions of `shortest` to `length` symbols, nested up to `nesting` deep."""

  shortest: int = 20
  length: int = 200
  nesting: int = 10
  arguments: int = 10

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.nesting < 2:
      raise InputError(f'task.nesting={self.nesting} must be at least 2: an operation and its digits')
    if self.arguments < 2:
      raise InputError(f'task.arguments={self.arguments} must be at least 2')
    longest = 1
    for _ in range(self.nesting - 1):
      longest = min(2 + self.arguments * longest, self.length)
    if not 4 <= self.shortest <= longest:
      raise InputError(
        f'task.shortest={self.shortest} must be from 4 to {longest}, the most symbols by task.length={self.length}, '
        f'task.nesting={self.nesting} and task.arguments={self.arguments}'
      )

  @property
  def spec(self) -> Spec:
    return self.spec_of(Tokens(len(SYMBOLS)), DIGITS, self.length)

  def token_names(self, ids: np.ndarray) -> list[str]:
    """Return the symbols."""
    return [SYMBOLS[token] for token in ids]

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    levels = self._trees(self.key(split, seed), indices)
    sizes = _sizes(levels)
    inputs = np.zeros((len(indices), self.length), np.int32)
    for level, size, start in zip(levels, sizes, _starts(levels, sizes), strict=True):
      inputs[level.tree, start] = level.token
      operations = level.arguments > 0
      inputs[level.tree[operations], (start + size - 1)[operations]] = END
    lengths, labels = np.empty(len(indices), np.int64), np.empty(len(indices), np.int32)
    lengths[levels[0].tree], labels[levels[0].tree] = sizes[0], _values(levels)
    mask = np.arange(self.length)[None, :] < lengths[:, None]
    return Batch(inputs, labels, np.ones(len(indices), np.float32), mask=mask)

  def _trees(self, key: int, indices: Int[np.ndarray, ' b']) -> list[Level]:
    """Return the first tree of the right length of each example; tree i is that of indices[i]."""
    found: list[list[Level]] = []
    rows: list[np.ndarray] = []
    pending = np.arange(len(indices))
    for number in range(MOST_ROUNDS):
      keys = draws.words(draws.key(key, number), indices[pending], ATTEMPTS)
      levels, sizes = self._forest(keys.ravel())
      right = ((self.shortest <= sizes) & (sizes <= self.length)).reshape(keys.shape)
      done = right.any(axis=1)
      chosen = np.flatnonzero(done) * ATTEMPTS + right.argmax(axis=1)[done]
      found.append(_selected(levels, chosen, keys.size))
      rows.append(pending[done])
      pending = pending[~done]
      if not len(pending):
        return _joined(found, rows)
    raise InputError(
      f'task.shortest={self.shortest} and task.length={self.length} are met by too few expressions with '
      f'task.nesting={self.nesting} and task.arguments={self.arguments}'
    )

  def _forest(self, keys: UInt64[np.ndarray, ' n']) -> tuple[list[Level], Int[np.ndarray, ' n']]:
    """Return a tree for each key, by levels, and their sizes in symbols; one that is too large grows no more."""
    tree = np.arange(len(keys))
    parent, sizes = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    levels: list[Level] = []
    while len(keys):
      words = draws.words(keys, np.zeros(len(keys), np.int64), 3)
      deep = len(levels) + 1 >= self.nesting
      # The root is an operation: a digit alone would be too short.
      is_operation = (draws.uniforms(words[:, :1])[:, 0] < OPERATION_SHARE) & (not deep) | (not levels)
      operator = DIGITS + draws.integers(words[:, 1:2], OPERATORS)[:, 0]
      token = np.where(is_operation, operator, draws.integers(words[:, 1:2], DIGITS)[:, 0])
      number = np.where(is_operation, 2 + draws.integers(words[:, 2:], self.arguments - 1)[:, 0], 0)
      sizes += np.bincount(tree, weights=1.0 + is_operation, minlength=len(sizes)).astype(np.int64)
      number[sizes[tree] > self.length] = 0
      levels.append(Level(tree, parent, token, number))
      parent = np.repeat(np.arange(len(keys)), number)
      sibling = np.arange(len(parent)) - (np.cumsum(number) - number)[parent]
      keys, tree = draws.words(keys[parent], sibling + 1, 1)[:, 0], tree[parent]
    return levels, sizes


def _selected(levels: list[Level], trees: Int[np.ndarray, ' k'], number: int) -> list[Level]:
  """Return the levels of the chosen trees alone, which get the numbers 0, 1, … in this order (ascending)."""
  renamed = np.full(number, -1)
  renamed[trees] = np.arange(len(trees))
  result, place = [], np.zeros(number, np.int64)
  for level in levels:
    kept = renamed[level.tree] >= 0
    parent = place[level.parent[kept]]
    result.append(Level(renamed[level.tree[kept]], parent, level.token[kept], level.arguments[kept]))
    place = np.cumsum(kept) - 1
  return [level for level in result if len(level.tree)]


def _joined(found: list[list[Level]], rows: list[np.ndarray]) -> list[Level]:
  """Return the trees of several forests as one, tree i of forest f being that of row rows[f][i]."""
  found, rows = (list(part) for part in zip(*[p for p in zip(found, rows, strict=True) if len(p[1])], strict=True))
  levels, offset = [], np.zeros(len(found), np.int64)
  for depth in range(max(map(len, found))):
    every = zip(found, rows, offset, strict=True)
    parts = [(forest[depth], row, shift) for forest, row, shift in every if depth < len(forest)]
    levels.append(
      Level(
        np.concatenate([row[level.tree] for level, row, _ in parts]),
        np.concatenate([level.parent + shift for level, _, shift in parts]),
        np.concatenate([level.token for level, _, _ in parts]),
        np.concatenate([level.arguments for level, _, _ in parts]),
      )
    )
    sizes = np.array([len(forest[depth].tree) if depth < len(forest) else 0 for forest in found])
    offset = np.cumsum(sizes) - sizes
  return levels


def _sizes(levels: list[Level]) -> list[Int[np.ndarray, ' n']]:
  """Return the number of symbols of the expression at each node."""
  sizes = [np.where(level.arguments > 0, 2, 1) for level in levels]
  for depth in range(len(levels) - 1, 0, -1):
    inside = np.bincount(levels[depth].parent, weights=sizes[depth], minlength=len(sizes[depth - 1]))
    sizes[depth - 1] = sizes[depth - 1] + inside.astype(np.int64)
  return sizes


def _starts(levels: list[Level], sizes: list[Int[np.ndarray, ' n']]) -> list[Int[np.ndarray, ' n']]:
  """Return the position at which the expression of each node begins."""
  starts = [np.zeros(len(sizes[0]), np.int64)]
  for above, level, size in zip(levels, levels[1:], sizes[1:], strict=False):
    before = np.cumsum(size) - size
    first = np.cumsum(above.arguments) - above.arguments  # the place of a node's first child
    starts.append(starts[-1][level.parent] + 1 + before - before[first[level.parent]])
  return starts


def _values(levels: list[Level]) -> Int[np.ndarray, ' b']:
  """Return the value of each tree."""
  values = levels[-1].token
  for level, below in zip(levels[-2::-1], levels[:0:-1], strict=True):
    operations = np.flatnonzero(level.arguments)
    number = level.arguments[operations]
    first = np.cumsum(number) - number
    ordered = values[np.lexsort((values, below.parent))]
    results = {
      MIN: ordered[first],
      MAX: ordered[first + number - 1],
      MED: (ordered[first + (number - 1) // 2] + ordered[first + number // 2]) // 2,
      SUM: np.add.reduceat(ordered, first) % DIGITS,
    }
    operators = level.token[operations] - DIGITS
    values = level.token.copy()
    values[operations] = np.select([operators == op for op in results], list(results.values()))
  return values
