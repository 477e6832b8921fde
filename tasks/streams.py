"""Read the ids of a text in windows, or in streams side by side that go on from segment to segment."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from seqmodels.errors import InputError
from tasks import draws
from tasks.base import Batch

Numbers = Int64[np.ndarray, ' b']


class TextStream(NamedTuple):
  """Serve the ids of a split, each with the token before it as its input.

  before: the token before the first one.
  end: the token that ends each document; where it is the input a document begins, and `reset` is true. -1: none.
  """

  ids: np.ndarray
  before: int
  end: int = -1

  def windows(self, starts: Numbers, length: int) -> Batch:
    """Return windows that begin at `starts`, whose first token is only read."""
    window = self.ids[starts[:, None] + np.arange(length + 1)[None, :]].astype(np.int32)
    return self._bordered(Batch(window[:, :-1], window[:, 1:], np.ones(window[:, 1:].shape, np.float32)))

  def covering(self, indices: Numbers, length: int) -> Batch:
    """Return windows by number that have every token as a target once; the last one is filled up."""
    positions = indices[:, None] * length + np.arange(length)[None, :]
    return self._bordered(self._predicting(positions, positions < len(self.ids)))

  def circling(self, rows: Numbers, streams: int, segment: int, seed: int) -> Callable[[int], Batch]:
    """Return a function from batch number to segments of `streams` equal parts of the text, read side by side.

    The text is a circle. Each epoch starts at another random token, so that no token is always left out or always
    first. The beginning of the text is a new sequence.
    """
    tokens = len(self.ids)
    pieces = tokens // streams // segment
    if not pieces:
      raise InputError(
        f'train.segment={segment} is too long: {streams} streams over {tokens} tokens have {tokens // streams} each'
      )

    def batch_at(number: int) -> Batch:
      epoch, piece = divmod(int(number), pieces)
      origin = draws.key('streams', seed, epoch) % tokens
      starts = origin + rows * (tokens // streams) + piece * segment
      positions = (starts[:, None] + np.arange(1, segment + 1)[None, :]) % tokens
      reset = positions == 1
      reset[:, 0] |= piece == 0
      return self._bordered(self._predicting(positions, positions > 0), reset)

    return batch_at

  def once(self, rows: Numbers, stream: int, segment: int, piece: int) -> Batch:
    """Return segment `piece` of each row's contiguous part of the text, so that every token is predicted once."""
    steps = int(piece) * segment + np.arange(segment)
    positions = rows[:, None] * stream + steps[None, :]
    counted = (positions < len(self.ids)) & (steps < stream)[None, :]
    reset = np.zeros(positions.shape, bool)
    reset[:, 0] = piece == 0
    return self._bordered(self._predicting(positions, counted), reset)

  def _predicting(self, positions: np.ndarray, counted: np.ndarray) -> Batch:
    """Return each position's token as the target, and the token before it as the input."""
    positions = np.minimum(positions, len(self.ids) - 1)
    inputs = self.ids[np.maximum(positions - 1, 0)].astype(np.int32)
    inputs[positions == 0] = self.before
    return Batch(inputs, self.ids[positions].astype(np.int32), counted.astype(np.float32))

  def _bordered(self, batch: Batch, reset: np.ndarray | None = None) -> Batch:
    """Return the batch with its resets, and with those of the documents."""
    if self.end >= 0:
      begins = batch.inputs == self.end
      reset = begins if reset is None else reset | begins
    return batch._replace(reset=reset)


def newest_document(batch: Batch, length: int) -> tuple[np.ndarray, np.ndarray | None]:
  """Return the last document of the first `length` inputs of each row, padded behind, and a mask, False for padding.

  The mask is None where the batch has no resets.
  """
  inputs = batch.inputs[:, :length]
  if batch.reset is None:
    return inputs, None
  begins = batch.reset[:, :length]
  start = np.where(begins.any(axis=1), length - 1 - np.argmax(begins[:, ::-1], axis=1), 0)
  place = start[:, None] + np.arange(length)[None, :]
  return np.take_along_axis(inputs, np.minimum(place, length - 1), axis=1), place < length
