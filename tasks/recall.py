"""Recall values by their keys: multi-query associative recall (Arora et al. 2023, "Zoology").

With pairs (C 4) and (A 2), and fillers in lower case:

  input    C 4 A 2 a C c 1 A b
  target   . . . . . 4 . . 2 .        (only the queries' positions count)

A key stands in one pair only and is asked for at most once. Everything else after the pairs is a filler: any token that
is not a key of this example.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.spec import Spec, Tokens
from tasks import draws
from tasks.base import Batch, Evaluation
from tasks.procedural import Procedural
from tasks.token_task import TokenTask

POWER = 0.01  # exponent of the power law of distances (Zoology's `power_a`)
DISTANCES = ('power', 'uniform')


@dataclass(frozen=True)
class Recall(TokenTask, Procedural):
  """Show `pairs` keys with values, then ask for `queries` of them (0: all), in `length` tokens.

  The lower half of the vocabulary are keys, the upper half values. `distance` says how far behind the pairs the queries
  stand: `power` (near ones are likelier, as in Zoology) or `uniform`. `gap` greater than 0 fixes it instead: every
  query stands `gap` tokens after its key. With `fewest_pairs` greater than 0 the number of pairs is drawn anew for each
  example, evenly from `fewest_pairs` to `most_pairs` (0: `pairs`), so that easy and hard ones are learnt together;
  fillers stand in the places of the others and of their queries.
  """

  train_examples: int = 100_000
  vocabulary: int = 512
  pairs: int = 4
  queries: int = 0
  length: int = 64
  distance: str = 'power'
  gap: int = 0
  fewest_pairs: int = 0
  most_pairs: int = 0

  def __post_init__(self) -> None:
    super().__post_init__()
    check_positive(**{'task.vocabulary': self.vocabulary, 'task.pairs': self.pairs, 'task.length': self.length})
    if self.distance not in DISTANCES:
      raise unknown('task.distance', self.distance, DISTANCES)
    if not 0 <= self.queries <= self.pairs:
      raise InputError(f'task.queries={self.queries} must be from 0 (all pairs) to task.pairs={self.pairs}')
    if self._keys <= self.pairs:
      raise InputError(
        f'task.vocabulary={self.vocabulary} must be greater than {2 * self.pairs + 1} for {self.pairs} pairs'
      )
    if not 0 <= self.fewest_pairs <= self.pairs:
      raise InputError(
        f'task.fewest_pairs={self.fewest_pairs} must be from 0 (always task.pairs) to task.pairs={self.pairs}'
      )
    if self.most_pairs and not 1 <= self.fewest_pairs <= self.most_pairs <= self.pairs:
      raise InputError(
        f'task.most_pairs={self.most_pairs} must be 0 (task.pairs) or from task.fewest_pairs={self.fewest_pairs}, '
        f'itself greater than 0, to task.pairs={self.pairs}'
      )
    if self.fewest_pairs and self.queries:
      raise InputError(f'task.queries={self.queries} must be 0 (all pairs) with task.fewest_pairs={self.fewest_pairs}')
    if self.gap < 0:
      raise InputError(f'task.gap={self.gap} must be 0 (as task.distance says) or a number of tokens')
    if self.gap:
      self._check_gap()
    elif self._slots < self._asked:
      raise InputError(f'task.length={self.length} must be at least {2 * (self.pairs + self._asked)} for these pairs')

  def _check_gap(self) -> None:
    first, last = 2 * self.pairs, self.length - 2 * self.pairs + 1
    if not first <= self.gap <= last:
      raise InputError(
        f'task.gap={self.gap} must be from {first} (behind the pairs) to {last} (within task.length={self.length})'
      )

  @property
  def _keys(self) -> int:
    return self.vocabulary // 2

  @property
  def _asked(self) -> int:
    return self.queries or self.pairs

  @property
  def _slots(self) -> int:
    """Return the number of places for queries: every second position behind the pairs, as in Zoology."""
    return (self.length - 2 * self.pairs) // 2

  @property
  def spec(self) -> Spec:
    return Spec('causal', Tokens(self.vocabulary), Tokens(self.vocabulary), length=self.length)

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    rows, pairs, asked = len(indices), self.pairs, self._asked
    key = self.key(split, seed)

    def words(name: str, columns: int) -> np.ndarray:
      return draws.words(draws.key(key, name), indices, columns)

    # Drawn together, since what a draw costs is the loop over the pairs.
    below = {'keys': self._keys, 'values': self.vocabulary - self._keys, 'chosen': pairs}
    streams = np.repeat(np.array([draws.key(key, name) for name in below], np.uint64), rows)
    drawn = draws.distinct(draws.words(streams, np.tile(indices, 3), pairs), np.repeat([*below.values()], rows))
    keys, values, chosen = drawn.reshape(3, rows, pairs)
    values, chosen = self._keys + values, chosen[:, :asked]
    places = self._places(chosen, words('places', max(self._slots, 1)))
    fillers = draws.integers(words('fillers', self.length), self.vocabulary - pairs)

    inputs = draws.skipping(fillers, np.sort(keys, axis=1), self.vocabulary)
    shown, queried = np.ones(keys.shape, bool), np.ones(chosen.shape, bool)
    if self.fewest_pairs:
      most = self.most_pairs or pairs
      number = self.fewest_pairs + draws.integers(words('pairs', 1), most - self.fewest_pairs + 1)
      shown, queried = np.arange(pairs)[None, :] < number, chosen < number
    inputs[:, 0 : 2 * pairs : 2] = np.where(shown, keys, inputs[:, 0 : 2 * pairs : 2])
    inputs[:, 1 : 2 * pairs : 2] = np.where(shown, values, inputs[:, 1 : 2 * pairs : 2])
    at = np.arange(rows)[:, None]
    inputs[at, places] = np.where(queried, keys[at, chosen], inputs[at, places])
    targets = np.zeros((rows, self.length), np.int32)
    targets[at, places] = np.where(queried, values[at, chosen], 0)
    weights = np.zeros((rows, self.length), np.float32)
    weights[at, places] = queried
    return Batch(inputs.astype(np.int32), targets, weights)

  def _places(self, chosen: Int64[np.ndarray, 'b q'], words: np.ndarray) -> Int64[np.ndarray, 'b q']:
    if self.gap:
      return 2 * chosen + self.gap
    steps = np.arange(1, self._slots + 1, dtype=np.float64)
    law = steps ** (POWER - 1) if self.distance == 'power' else np.ones_like(steps)
    return 2 * self.pairs + 2 * draws.weighted(words, law, self._asked)

  def evaluations(self) -> dict[str, Evaluation]:
    """Return validation, test, and sequences of twice the length and with twice the pairs where they fit."""
    harder = {'longer': {'length': 2 * self.length}, 'more_pairs': {'pairs': 2 * self.pairs}}
    result = super().evaluations()
    for name, options in harder.items():
      try:
        dataclasses.replace(self, **options)  # type: ignore[arg-type]
      except InputError:
        continue
      result[name] = Evaluation('test', options)
    return result

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the scores of a random choice among the values that were shown, and among all values."""
    least, most = (self.fewest_pairs, self.most_pairs or self.pairs) if self.fewest_pairs else (self.pairs, self.pairs)
    shown = np.arange(least, most + 1)  # each as likely; an example with more pairs has more queries
    weight = shown / shown.sum() if self.fewest_pairs else np.ones(1)
    values = self.vocabulary - self._keys
    return {
      'any value shown': {'loss': float(weight @ np.log(shown)), 'accuracy': float(weight @ (1 / shown))},
      'any value': {'loss': float(np.log(values)), 'accuracy': 1 / values},
    }
