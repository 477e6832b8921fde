"""Checkpoints of a run of several processes: each writes and reads its own parts of the arrays, all of them together.

Nothing is gathered on one host. Orbax writes the parts, while training goes on; then every process writes down the
checksums of its own files, and a checkpoint counts as damaged while those of one are missing. Before a checkpoint is
read, every process checks a share. The folder must be one that all processes see. A run of one process reads such
checkpoints as well, and the other way round.
"""

import concurrent.futures
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from seqmodels.models.layout import join_names, split_names
from training import checksums, orbax_manager, processes
from training.checkpoint import Checkpoints, Restored, described
from training.checksums import Damaged
from training.files import WriteError
from training.trees import flatten
from training.waiting import within

WAIT_SECONDS = 1.0  # after which a process that waits for its writing asks the others for theirs


class SharedCheckpoints(Checkpoints):
  """Checkpoints that all processes of a run save and restore together, in the same order, from their main threads."""

  def __init__(self, directory: str | pathlib.Path, keep: int = 1, *, keep_every: int = 0) -> None:
    """One checkpoint more than `keep` stays: the one before is there until the newest has its checksums."""
    self._unconfirmed: int | None = None  # the step of a save of which the others have not said that it is written
    self._failed: int | None = None  # the step that could not be saved
    super().__init__(directory, keep + 1, keep_every=keep_every)
    self._split = jax.jit(lambda tree: split_names(flatten(tree)))  # one function, so that it is compiled once

  def steps(self) -> list[int]:
    return [step for step in super().steps() if step != self._failed]

  def save(self, step: int, tree: Any, extra: dict[str, Any], scores: Mapping[int, float] = {}) -> None:
    """Start to save `tree`, global arrays, and `extra`, the same in all processes. Raises WriteError.

    The arrays may be donated when it returns.
    """
    self.wait()
    self._retention.scores = scores
    arrays = jax.tree.map(_on_host, self._split(tree))
    self._writing, self._unconfirmed = self._thread.submit(self._write_parts, step, arrays, extra), step

  def _write_parts(self, step: int, arrays: Any, extra: dict[str, Any]) -> None:
    """Write the parts of this process, wait for the others, and write down the checksums of its files."""
    try:
      with within(f'saving checkpoint {step}'):
        self._commit(step, arrays, described(step, extra, dict.fromkeys(arrays)))
        checksums.write_share(self.directory / str(step), processes.index(), processes.count())
    except BaseException:
      self._failed = step
      raise

  def wait(self) -> None:
    """Wait, together, until all processes have written the last checkpoint; WriteError where one of them cannot."""
    if self._unconfirmed is None:
      return
    name = f'checkpoint {self._unconfirmed}'
    while None in (states := processes.gather(self._state(), name)):
      if any(states):
        break
    if any(states):
      self._failed = self._unconfirmed
      other = next(index for index, state in enumerate(states) if state)
      raise WriteError(states[processes.index()] or f'{name}: process {other} has ended: {states[other]}')
    self._writing = self._unconfirmed = None

  def _state(self) -> str | None:
    """Return what has gone wrong with the writing, '' where it is done, and None where it goes on for a while."""
    assert self._writing is not None
    if not concurrent.futures.wait([self._writing], WAIT_SECONDS).done:
      return None
    try:
      self._writing.result()
    except WriteError as error:
      return str(error)
    return ''

  def close(self) -> None:
    """Close what is open, unless a checkpoint is unfinished: nothing waits for processes that may have ended."""
    if self._unconfirmed is None:
      super().close()
    else:
      self._thread.shutdown(wait=False)

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
    arrays = self._manager.restore(step, args=ocp.args.Composite(arrays=orbax_manager.restoring(stored))).arrays

    def join(arrays: Any) -> Any:
      empty = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in parts.items() if not leaf.size}
      return jax.tree.unflatten(jax.tree.structure(like), list(join_names(arrays | empty, expected).values()))

    return Restored(step, jax.jit(join, out_shardings=shardings)(arrays), meta['extra'])


def _on_host(x: jax.Array) -> jax.Array:
  """Return an array in the memory of the hosts, so that its copy takes none of the devices while it is written."""
  device: Any = next(iter(x.sharding.addressable_devices))
  kinds = {memory.kind for memory in device.addressable_memories()}
  if 'pinned_host' not in kinds:
    return x
  return jax.device_put(x, x.sharding.with_memory_kind('pinned_host'))
