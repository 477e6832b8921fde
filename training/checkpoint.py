"""Checkpoints: Orbax behind one class, with a checksum of every array, since Orbax has none on data.

A checkpoint holds the arrays of a tree under flat names (`params/output/kernel`), and a small JSON object: the data
iterator's state, counters, the checksums. A process killed while one is written leaves the older ones whole.
"""

import functools
import json
import logging
import pathlib
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from seqmodels.errors import InputError

Arrays = dict[str, np.ndarray]
log = logging.getLogger('seqmodels')


class Damaged(Exception):
  """The checkpoint cannot be read, or not as it was written."""


class Restored(NamedTuple):
  step: int
  tree: Any  # NumPy arrays
  extra: dict[str, Any]


class Checkpoints:
  """The checkpoints in one directory; the newest `keep` stay.

  Saving copies the arrays to the host and returns; one thread writes. A save waits for the one before it.
  """

  def __init__(self, directory: str | pathlib.Path, keep: int = 1, *, read_only: bool = False) -> None:
    self.directory = pathlib.Path(directory).absolute()
    if read_only and not self.directory.is_dir():
      raise InputError(f'{self.directory} does not exist: nothing has been trained there')
    policy = ocp.checkpoint_managers.LatestN(keep)
    options = ocp.CheckpointManagerOptions(
      preservation_policy=policy, enable_async_checkpointing=False, read_only=read_only, create=not read_only
    )
    self._manager = ocp.CheckpointManager(self.directory, options=options)
    self._thread = ThreadPoolExecutor(1, thread_name_prefix='checkpoint')
    self._writing: Future[None] | None = None

  def steps(self) -> list[int]:
    """The finished checkpoints, oldest first."""
    return sorted(self._manager.all_steps())

  def save(self, step: int, tree: Any, extra: dict[str, Any]) -> None:
    """Starts to save `tree` (arrays, on any device) and `extra` (JSON). The arrays may be donated when it returns."""
    arrays = {name: _to_host(x) for name, x in flatten(tree).items()}
    self.wait()
    self._writing = self._thread.submit(self._write, step, arrays, extra)

  def wait(self) -> None:
    """Until nothing is being written; raises what the writing raised."""
    if self._writing is not None:
      self._writing.result()
      self._writing = None

  def close(self) -> None:
    self.wait()
    self._thread.shutdown()
    self._manager.close()

  def restore(self, step: int, like: Any) -> Restored:
    """The checkpoint of `step`: the part of it that `like` (arrays or their abstract shapes) names.

    InputError if there is none, or if it does not verify.
    """
    if step not in self.steps():
      raise InputError(f'--step={step} has no checkpoint; there are {_words(self.steps())} in {self.directory}')
    try:
      return self._read(step, like)
    except Damaged as damage:
      raise InputError(f'checkpoint {step} in {self.directory} is damaged: {damage}') from damage

  def latest(self, like: Any) -> Restored:
    """The newest checkpoint that verifies; InputError if there is none."""
    restored = self.restore_latest_verified(like)
    if restored is None:
      raise InputError(f'{self.directory} holds no checkpoint yet')
    return restored

  def verified(self, like: Any) -> Iterator[Restored]:
    """Every checkpoint that verifies, oldest first; passing over a damaged one is logged. InputError if none does."""
    found, reason = False, ''
    for step in self.steps():
      try:
        restored = self._read(step, like)
      except Damaged as damage:
        log.warning('checkpoint %d is damaged (%s): left out', step, damage)
        reason = str(damage)
        continue
      found = True
      yield restored
    if not found:
      raise InputError(f'no checkpoint in {self.directory} verifies: {_words(self.steps())} are damaged ({reason})')

  def restore_latest_verified(self, like: Any, *, discard: bool = False) -> Restored | None:
    """The newest checkpoint that verifies, or None if there is none at all; passing over a damaged one is logged.

    discard: damaged checkpoints newer than the one restored are deleted, so that their steps can be saved again.
    InputError if there are checkpoints and none verifies.
    """
    steps = self.steps()
    damaged: dict[int, str] = {}
    for step in reversed(steps):
      try:
        restored = self._read(step, like)
      except Damaged as damage:
        damaged[step] = str(damage)
        continue
      for bad, reason in damaged.items():
        log.warning('checkpoint %d is damaged (%s): going back to %d', bad, reason, step)
        if discard:
          self._manager.delete(bad)
      return restored
    if damaged:
      reason = damaged[steps[-1]]
      raise InputError(f'no checkpoint in {self.directory} verifies: {_words(steps)} are damaged ({reason})')
    return None

  def _write(self, step: int, arrays: Arrays, extra: dict[str, Any]) -> None:
    sums = {name: _checksum(x) for name, x in arrays.items()}
    meta: dict[str, Any] = {'extra': extra, 'sums': sums}
    meta['sum'] = zlib.crc32(json.dumps(meta, sort_keys=True).encode())
    stored = {name: x for name, x in arrays.items() if x.size}  # Orbax refuses arrays without elements
    items = ocp.args.Composite(arrays=ocp.args.StandardSave(stored), meta=ocp.args.JsonSave(meta))
    if not self._manager.save(step, args=items, force=True):
      raise RuntimeError(f'Orbax did not save step {step}: it has {self.steps()}')

  def _read(self, step: int, like: Any) -> Restored:
    items = ocp.args.Composite(arrays=ocp.args.StandardRestore(), meta=ocp.args.JsonRestore())
    try:
      stored = self._manager.restore(step, args=items)
    except (MemoryError, PermissionError):  # says nothing of the checkpoint
      raise
    except Exception as error:  # whatever a damaged file makes Orbax, TensorStore or JSON raise
      _silence_late_callbacks()
      raise Damaged(f'cannot be read: {type(error).__name__}') from error
    arrays, meta = stored.arrays, stored.meta
    if not isinstance(meta, dict) or not isinstance(arrays, dict) or not {'extra', 'sums', 'sum'} <= meta.keys():
      raise Damaged('its description is incomplete')
    told = meta.pop('sum')
    if zlib.crc32(json.dumps(meta, sort_keys=True).encode()) != told:
      raise Damaged('its description does not match its checksum')
    leaves = []
    for name, expected in flatten(like).items():
      if name not in meta['sums']:
        raise InputError(f'checkpoint {step} in {self.directory} has no array {name}: it is of another model')
      x = np.asarray(arrays[name]) if name in arrays else np.zeros(expected.shape, expected.dtype)
      if _checksum(x) != meta['sums'][name]:
        raise Damaged(f'{name} does not match its checksum')
      if x.shape != expected.shape or x.dtype != expected.dtype:
        wanted = f'{x.dtype}{list(x.shape)}, not {expected.dtype}{list(expected.shape)}'
        raise InputError(f'checkpoint {step} in {self.directory} has {name} as {wanted}: it is of another model')
      leaves.append(x)
    return Restored(step, jax.tree.unflatten(jax.tree.structure(like), leaves), meta['extra'])


@functools.cache
def _silence_late_callbacks() -> None:
  """A read that failed leaves callbacks behind, which find Orbax's event loop closed; each would print a traceback."""
  before = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    if not (isinstance(unraisable.exc_value, RuntimeError) and 'Event loop is closed' in str(unraisable.exc_value)):
      before(unraisable)

  sys.unraisablehook = hook


def flatten(tree: Any) -> dict[str, Any]:
  """`tree` as {path: leaf}, in the order of its leaves."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf for path, leaf in leaves}


def _to_host(x: Any) -> np.ndarray:
  """A copy: on CPU, NumPy would otherwise look at memory that the next step reuses."""
  if isinstance(x, jax.Array) and not x.is_fully_addressable and not x.is_fully_replicated:
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(x, tiled=True)
  return np.array(x, copy=True)


def _checksum(x: np.ndarray) -> int:
  """CRC-32 of the values, their type and shape."""
  header = f'{x.dtype}{x.shape}'.encode()
  return zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data, zlib.crc32(header))


def _words(steps: list[int]) -> str:
  return ', '.join(map(str, steps)) if steps else 'none'
