"""Turn functions from example numbers to arrays into Grain datasets of batches.

The batch is a pure function of its number. So the iterator's state is one number, and resuming is exact, even in the
middle of an epoch or of a sequence cut into segments. The data of a step do not depend on the number of processes.
"""

import abc
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Float32, Int64

from seqmodels.errors import InputError, check_positive, unknown
from seqmodels.spec import Spec, Vectors
from tasks import draws
from tasks.base import Batch, Evaluation, Shard, Task

ENDLESS = 0  # the count of a split whose examples never repeat
# Batches whose example numbers are made at once, and positions that are made at once (at least one batch). For a single
# small batch the calls of NumPy take almost as long; arrays beyond the size of the caches take longer.
ORDERED, TOGETHER = 16, 65_536
NUMBERS = 2**22  # likewise, of vectors: numbers that are made at once


@dataclass(frozen=True)
class IndexedTask(Task):
  """Serve a task whose examples are numbered: subclasses give their count and the arrays of any of them.

  train_examples: how many there are to train on; 0: all. Smaller sets are subsets of larger ones, and the other splits
  are the same for all, so that scores over `train_examples` are a curve of sample efficiency. Baselines that are fitted
  to training data see no other examples. Vocabularies and scales are those of all, for both.
  """

  splits: ClassVar[tuple[str, ...]] = ('train', 'validation', 'test')
  train_examples: int = 0

  def __post_init__(self) -> None:
    if self.train_examples < 0:
      raise InputError(f'task.train_examples={self.train_examples} must be 0 (all) or a number of training examples')

  @abc.abstractmethod
  def count(self, split: str) -> int:
    """Return how many examples the split has; ENDLESS for a training split that never repeats one.

    Raises InputError if there are fewer than `train_examples`.
    """

  def limited(self, split: str, every: int) -> int:
    """Return how many of `every` examples of a split count: of training `train_examples`, where they are not all."""
    if split != 'train' or not self.train_examples:
      return every
    if self.train_examples > every:
      raise InputError(f'task.train_examples={self.train_examples} must be at most {every}, as many as there are')
    return self.train_examples

  @abc.abstractmethod
  def arrays(self, split: str, indices: Int64[np.ndarray, ' b'], seed: int = 0) -> Batch:
    """Return whole examples by number, as NumPy arrays: a pure function, which needs no Grain."""

  def evaluations(self) -> dict[str, Evaluation]:
    """Return one evaluation for each split but training's."""
    return {split: Evaluation(split) for split in self.splits if split != 'train'}

  def dataset(
    self, split: str, batch_size: int, *, seed: int = 0, shard: Shard = Shard(), segment: int | None = None
  ) -> Any:
    check_request(self, split, batch_size, segment)
    gather = functools.partial(self.arrays, split, seed=seed)
    count = self.count(split)
    if split == 'train':
      batch_at, number = _endless(gather, count, batch_size, self.spec, seed, shard), sys.maxsize
    else:
      number = -(-count // (batch_size * shard.count))
      batch_at = _in_order(gather, count, batch_size, shard)
    if segment is None:
      return to_grain(batch_at, number)
    pieces = -(-self.spec.length // segment)
    return to_grain(in_segments(batch_at, segment, pieces), min(number * pieces, sys.maxsize))


def check_request(task: IndexedTask, split: str, batch_size: int, segment: int | None) -> None:
  """Raise InputError for a split that the task does not have, and for sizes that are not positive."""
  if split not in task.splits:
    raise unknown('split', split, task.splits)
  check_positive(batch_size=batch_size)
  if segment is not None:
    check_positive(segment=segment)
    if task.spec.kind != 'causal':
      section = 'train' if split == 'train' else 'eval'
      raise InputError(
        f'{section}.segment={segment} must be 0: the task is of kind {task.spec.kind}, not read in segments'
      )


def to_grain(batch_at: Callable[[int], Batch], number: int) -> Any:
  """Return the batches 0 … number − 1 as a Grain dataset that makes them in the caller's thread.

  Threads that read ahead cost more here than the arithmetic they would hide.
  """
  import grain

  dataset = grain.MapDataset.range(number).map(batch_at)
  return dataset.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))


def _positions(batch: int, batch_size: int, shard: Shard) -> Int64[np.ndarray, ' b']:
  """Return places in the global order: shard i of n takes the i-th of n parts of each global batch."""
  return (int(batch) * shard.count + shard.index) * batch_size + np.arange(batch_size, dtype=np.int64)


def _endless(gather: Callable[..., Batch], count: int, batch_size: int, spec: Spec, seed: int, shard: Shard):
  """Return a function from batch number to batch: every example once an epoch, each epoch in another order."""
  positions, size = batch_size * spec.length, spec.input.size if isinstance(spec.input, Vectors) else 1
  fits = lambda n: n * positions <= TOGETHER and n * positions * size <= NUMBERS
  together = max(n for n in (1, 2, 4, 8, ORDERED) if n == 1 or fits(n))

  @functools.lru_cache(maxsize=1)
  def order(block: int) -> np.ndarray:
    batches = (_positions(ORDERED * block + i, batch_size, shard) for i in range(ORDERED))
    positions = np.concatenate(list(batches))
    return positions if count == ENDLESS else shuffled(positions, count, seed)

  @functools.lru_cache(maxsize=1)
  def some(number: int) -> Batch:
    block, part = divmod(number, ORDERED // together)
    return gather(order(block).reshape(-1, together * batch_size)[part])

  def batch_at(batch: int) -> Batch:
    number, place = divmod(int(batch), together)
    rows = slice(place * batch_size, (place + 1) * batch_size)
    return jax.tree.map(lambda array: array[rows], some(number))

  return batch_at


def shuffled(positions: Int64[np.ndarray, ' b'], count: int, seed: int) -> Int64[np.ndarray, ' b']:
  """Return the example numbers at places of the endless training order of `count` examples."""
  epochs, places = np.divmod(positions, count)
  indices = np.empty_like(places)
  for epoch in np.unique(epochs):
    here = epochs == epoch
    indices[here] = draws.permuted(places[here], count, draws.key('shuffle', seed, int(epoch)))
  return indices


def _in_order(gather: Callable[..., Batch], count: int, batch_size: int, shard: Shard):
  """Return a function from batch number to batch: every example once, filled up with rows of weight 0.

  All shards give the same number of batches.
  """

  def batch_at(batch: int) -> Batch:
    positions = _positions(batch, batch_size, shard)
    whole = gather(np.minimum(positions, count - 1))
    real = (positions < count).astype(np.float32)
    return whole._replace(weights=whole.weights * real.reshape(-1, *[1] * (whole.weights.ndim - 1)))

  return batch_at


def in_segments(batch_at: Callable[[int], Batch], segment: int, pieces: int) -> Callable[[int], Batch]:
  """Return a function from number to segment: `pieces` segments of each batch follow one another."""
  whole = functools.lru_cache(maxsize=1)(batch_at)

  def segment_at(number: int) -> Batch:
    batch, piece = divmod(int(number), pieces)
    return cut(whole(batch), piece, segment)

  return segment_at


def cut(batch: Batch, piece: int, segment: int) -> Batch:
  """Return segment `piece` of whole sequences.

  The last one is filled up with padding of weight 0. Targets read at the end (readout "last") count in the
  segment in which the sequence ends. `reset` is true where the sequences begin.
  """
  rows, length = batch.inputs.shape[:2]
  start, stop = piece * segment, min((piece + 1) * segment, length)
  if not 0 <= start < length:
    raise InputError(f'segment {piece} of {segment} steps lies beyond a sequence of {length}')
  filler = start + segment - stop

  def part(array: np.ndarray) -> np.ndarray:
    return np.pad(array[:, start:stop], [(0, 0), (0, filler)] + [(0, 0)] * (array.ndim - 2))

  reset = np.zeros((rows, segment), bool) if batch.reset is None else part(batch.reset)
  reset[:, 0] |= piece == 0
  mask = None
  if batch.mask is not None or length % segment:
    # Either every segment has a mask or none: a batch's structure must not change from step to step.
    mask = part(np.ones((rows, length), bool) if batch.mask is None else batch.mask)
  every = batch.weights.ndim == 2
  targets = part(batch.targets) if every else batch.targets
  weights = part(batch.weights) if every else batch.weights * _ends_between(batch, start, stop)
  return Batch(part(batch.inputs), targets, weights, reset, mask, extras=batch.extras)


def _ends_between(batch: Batch, start: int, stop: int) -> Float32[np.ndarray, ' b']:
  """Return 1 for sequences whose last position that is not padding lies in [start, stop), 0 for others."""
  rows, length = batch.inputs.shape[:2]
  last = np.full(rows, length - 1) if batch.mask is None else length - 1 - np.argmax(batch.mask[:, ::-1], axis=1)
  return ((start <= last) & (last < stop)).astype(np.float32)
