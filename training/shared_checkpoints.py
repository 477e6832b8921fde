"""Checkpoints of a run of several processes: each writes and reads its own parts of the arrays, all of them together.

Nothing is gathered on one host. Orbax writes the parts; then every process takes the checksums of its share of the
files, and the first writes them down, without which a checkpoint counts as damaged. Before a checkpoint is read, every
process checks its share. The folder must be one that all processes see. A run of one process reads such checkpoints as
well, and the other way round.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from seqmodels.models.layout import join_names, split_names
from training import checksums, processes
from training.checkpoint import Checkpoints, Restored, described, restoring
from training.checksums import Damaged
from training.files import WriteError
from training.trees import flatten
from training.waiting import within


class SharedCheckpoints(Checkpoints):
  """Checkpoints that all processes of a run save and restore together, in the same order, from their main threads."""

  def __init__(self, directory: str | pathlib.Path, keep: int = 1, *, keep_every: int = 0) -> None:
    """One checkpoint more than `keep` stays: the one before is there until the newest has its checksums."""
    super().__init__(directory, keep + 1, keep_every=keep_every)
    self._split = jax.jit(lambda tree: split_names(flatten(tree)))  # one function, so that it is compiled once

  def save(self, step: int, tree: Any, extra: dict[str, Any], scores: Mapping[int, float] = {}) -> None:
    """Save `tree`, global arrays, and `extra`, the same in all processes; return when it is done. Raises WriteError."""
    self._retention.scores = scores
    arrays = self._split(tree)
    self._commit(step, arrays, described(step, extra, dict.fromkeys(arrays)))
    folder = self.directory / str(step)
    share = checksums.of_share(folder, processes.index(), processes.count())
    parts = processes.gather(share, f'the checksums of checkpoint {step}')
    problem = None
    if processes.is_first():
      try:
        checksums.write(folder, {name: entry for part in parts for name, entry in part.items()})
      except WriteError as error:
        problem = error
    processes.together(f'checkpoint {step}', problem)

  def restore_latest_verified(self, like: Any, *, discard: bool = False) -> Restored | None:
    """See `Checkpoints`. The leaves of `like` have shardings; the tree that is returned is of global arrays."""
    damaged: dict[int, str] = {}
    for step in reversed(processes.gather(self.steps(), 'the list of checkpoints')[0]):
      reading = f'reading checkpoint {step}'
      with within(reading):
        problem, whole = self._examine(step, like)
        if problem := next(filter(None, processes.gather(problem, reading)), ''):
          damaged[step] = problem
          continue
        restored = self._restore(step, like, whole)
      self._pass_over(damaged, step, discard=discard)
      return restored
    self._refuse(damaged)
    return None

  def _examine(self, step: int, like: Any) -> tuple[str, Restored | None]:
    """Return what is wrong with this process's share of a checkpoint, empty for nothing.

    A checkpoint that one process has written is read whole, since every array has its own checksum; it comes along.
    """
    try:
      if not self._is_shared(self._read_meta(step)):
        return '', self._read(step, like)
      checksums.check_share(self.directory / str(step), processes.index(), processes.count())
    except Damaged as damage:
      return str(damage), None
    return '', None

  def _restore(self, step: int, like: Any, whole: Restored | None) -> Restored:
    """Return a checkpoint that was examined. whole: what was read of it for that."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, like)
    if whole is not None:
      place = lambda x, sharding: jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])
      return whole._replace(tree=jax.tree.map(place, whole.tree, shardings))
    expected, meta = flatten(like), self._read_meta(step)
    parts = split_names(expected)
    shapes = self._manager.item_metadata(step)['arrays']
    for name, leaf in parts.items():
      self._check_name(step, name, meta['sums'])
      self._check_shape(step, name, leaf, shapes.get(name, leaf))  # arrays without elements are not stored
    stored = {name: leaf for name, leaf in parts.items() if leaf.size}
    arrays = self._manager.restore(step, args=ocp.args.Composite(arrays=restoring(stored))).arrays

    def join(arrays: Any) -> Any:
      empty = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in parts.items() if not leaf.size}
      return jax.tree.unflatten(jax.tree.structure(like), list(join_names(arrays | empty, expected).values()))

    return Restored(step, jax.jit(join, out_shardings=shardings)(arrays), meta['extra'])
