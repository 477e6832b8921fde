"""Checkpoints: Orbax behind one class, with a checksum of every array, since Orbax has none on data.

A checkpoint holds the arrays of a tree under flat names (`params/output/kernel`), and a small JSON object: its format
and step, the data iterator's state, counters, the checksums. Stacked layers are stored one by one, under the names of
their layers (`seqmodels.models.layout`). A process killed while one is written leaves the older ones whole.
"""

import logging
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from seqmodels.errors import InputError
from seqmodels.models.layout import join_names, split_names
from training import checksums, orbax_manager
from training.checksums import Damaged
from training.files import WriteError, reason, write_problem
from training.retention import Retention
from training.trees import flatten, shape_only, to_host

# 1: gates and heads fused into one axis of a kernel. 2: axes of their own, and stacked layers stored one by one.
FORMAT = 2
REMOVAL_SECONDS = 0.5  # that a reader gives the run to remove a checkpoint whose files are missing
LISTINGS = 50  # that a reader tries: Orbax fails where a checkpoint is removed while it lists them

Arrays = dict[str, np.ndarray]
log = logging.getLogger('seqmodels')


class Gone(Exception):
  """The checkpoint was removed while it was looked at: a run keeps its newest ones only."""


class Restored(NamedTuple):
  step: int
  tree: Any  # NumPy arrays
  extra: dict[str, Any]


class Checkpoints:
  """The checkpoints in one directory; the newest `keep`, those of every `keep_every` steps and the best one stay.

  Saving copies the arrays to the host and returns; one thread writes. A save waits for the one before it.
  """

  def __init__(
    self, directory: str | pathlib.Path, keep: int = 1, *, keep_every: int = 0, read_only: bool = False
  ) -> None:
    self.directory, self._read_only = pathlib.Path(directory).absolute(), read_only
    if read_only and not self.directory.is_dir():
      raise InputError(f'{self.directory} does not exist: nothing has been trained there')
    if not read_only and self.directory.is_dir():
      for path in self.directory.iterdir():
        if path.is_symlink():
          raise InputError(f'{path} is a symbolic link; remove it: the folders of a run are its own')
    self._retention = Retention(keep, keep_every)
    self._manager = self._listed(
      lambda: orbax_manager.make_manager(self.directory, self._retention, read_only=read_only)
    )
    if read_only and not self.steps():
      self._reload()
    self._thread = ThreadPoolExecutor(1, thread_name_prefix='checkpoint')
    self._writing: Future[None] | None = None

  def steps(self) -> list[int]:
    """Return the steps of the finished checkpoints, oldest first."""
    return sorted(self._manager.all_steps())

  def _listed(self, list_them: Callable[[], Any]) -> Any:
    """Return what `list_them` does; a reader asks again where the run removed a checkpoint meanwhile."""
    tries = LISTINGS if self._read_only else 1
    while True:
      tries -= 1
      try:
        return list_them()
      except OSError as error:
        if tries and self.directory.is_dir():
          continue
        if self._read_only:
          raise InputError(f'{self.directory} cannot be read: {reason(error)}') from error
        raise WriteError(f'{self.directory} cannot be written: {reason(error)}') from error

  def _reload(self) -> list[int]:
    """List the checkpoints anew, for a reader that found one gone: a listing may miss the old and the new one."""
    for _ in range(LISTINGS):
      self._listed(self._manager.reload)
      if steps := self.steps():
        return steps
    return []

  def save(self, step: int, tree: Any, extra: dict[str, Any], scores: Mapping[int, float] = {}) -> None:
    """Start to save `tree` (arrays, on any device) and `extra` (JSON). The arrays may be donated when it returns.

    scores: of steps evaluated so far; the checkpoint of the lowest one stays.
    """
    host = jax.tree.map(to_host, tree)
    self.wait()
    self._retention.scores = scores
    self._writing = self._thread.submit(self._write, step, host, extra)

  def check(self) -> None:
    """Raise what the writing has raised so far, without waiting for it."""
    if self._writing is not None and self._writing.done() and self._writing.exception() is not None:
      Checkpoints.wait(self)

  def wait(self) -> None:
    """Wait until nothing is being written; raise what the writing raised: WriteError where the disk is full."""
    if self._writing is not None:
      writing, self._writing = self._writing, None
      writing.result()

  def close(self) -> None:
    try:
      self.wait()
    finally:
      self._thread.shutdown()
      self._manager.close()

  def restore(self, step: int, like: Any) -> Restored:
    """Return the part of the checkpoint of `step` that `like` (arrays or their abstract shapes) names.

    InputError if there is none, or if it does not verify.
    """
    if step not in self.steps():
      raise InputError(f'--step={step} has no checkpoint; there are {_words(self.steps())} in {self.directory}')
    try:
      return self._read(step, like)
    except Damaged as damage:
      raise InputError(f'checkpoint {step} in {self.directory} is damaged: {damage}') from damage
    except Gone:
      raise InputError(f'checkpoint {step} in {self.directory} was just removed by the run that keeps it') from None

  def latest(self, like: Any) -> Restored:
    """Return the newest checkpoint that verifies; InputError if there is none."""
    restored = self.restore_latest_verified(like)
    if restored is None:
      raise InputError(f'{self.directory} holds no checkpoint yet')
    return restored

  def verified(self, like: Any) -> Iterator[Restored]:
    """Yield every checkpoint that verifies, oldest first; those left out are logged. InputError if none does."""
    found, problem, gone = False, '', False
    for step in self.steps():
      try:
        restored = self._read(step, like)
      except Damaged as damage:
        log.warning('checkpoint %d is damaged (%s): left out', step, damage)
        problem = str(damage)
      except Gone:
        log.warning('checkpoint %d has been removed meanwhile by the run that keeps it: left out', step)
        gone = True
      else:
        found = True
        yield restored
    if not found and gone and self._reload() and (newest := self.restore_latest_verified(like)) is not None:
      yield newest
    elif not found:
      why = problem or 'removed meanwhile'
      raise InputError(f'no checkpoint in {self.directory} verifies: {_words(self.steps())} are damaged ({why})')

  def restore_latest_verified(self, like: Any, *, discard: bool = False) -> Restored | None:
    """Return the newest checkpoint that verifies, or None if there is none; passing over a damaged one is logged.

    discard: damaged checkpoints newer than the one restored are deleted, so that their steps can be saved again.
    InputError if there are checkpoints and none verifies.
    """
    damaged: dict[int, str] = {}
    steps = self.steps()
    while steps:
      step = steps.pop()
      try:
        restored = self._read(step, like)
      except Damaged as damage:
        damaged[step] = str(damage)
        continue
      except Gone:  # a newer one is there
        steps = [step for step in self._reload() if step not in damaged]
        continue
      self._pass_over(damaged, step, discard=discard)
      return restored
    self._refuse(damaged)
    return None

  def _refuse(self, damaged: Mapping[int, str]) -> None:
    """Raise InputError where there are checkpoints and every one is damaged."""
    if damaged:
      problem = damaged[max(damaged)]
      raise InputError(f'no checkpoint in {self.directory} verifies: {_words(sorted(damaged))} are damaged ({problem})')

  def _pass_over(self, damaged: Mapping[int, str], step: int, *, discard: bool) -> None:
    """Log the damaged checkpoints that are newer than the one of `step`; with discard, delete them."""
    for bad, problem in damaged.items():
      log.warning('checkpoint %d is damaged (%s): going back to %d', bad, problem, step)
      if discard:
        self._manager.delete(bad)

  def _write(self, step: int, host: Any, extra: dict[str, Any]) -> None:
    arrays = {name: np.asarray(x) for name, x in split_names(flatten(host)).items()}
    self._commit(step, arrays, described(step, extra, {name: checksums.of_array(x) for name, x in arrays.items()}))

  def _commit(self, step: int, arrays: Mapping[str, Any], meta: dict[str, Any]) -> None:
    """Write arrays and description. Raises WriteError."""
    stored = {name: x for name, x in arrays.items() if x.size}  # Orbax refuses arrays without elements
    items = ocp.args.Composite(arrays=ocp.args.PyTreeSave(stored), meta=ocp.args.JsonSave(meta))
    try:
      saved = self._manager.save(step, args=items, force=True)
    except Exception as error:  # a full disk is a ValueError of TensorStore's, or an OSError of Orbax's
      if (problem := write_problem(error)) is None:
        raise
      raise WriteError(f'checkpoint {step} cannot be written to {self.directory}: {problem}') from error
    if not saved:
      raise RuntimeError(f'Orbax did not save step {step}: it has {self.steps()}')
    if stored and not (self.directory / str(step) / 'arrays' / 'manifest.ocdbt').is_file():
      raise WriteError(f'checkpoint {step} in {self.directory} has no manifest: it cannot be read back')

  def _read(self, step: int, like: Any) -> Restored:
    """Return a checkpoint. Raises Damaged, Gone, or InputError for one of another model or format."""
    try:
      return self._read_whole(step, like)
    except Damaged:
      if self._is_removed(step):
        raise Gone from None
      raise

  def _is_removed(self, step: int) -> bool:
    """Return whether a checkpoint is gone, or goes now: its files begin to be missing before its folder does."""
    path, end = self.directory / str(step), time.monotonic() + (REMOVAL_SECONDS if self._read_only else 0.0)
    while path.exists() and time.monotonic() < end:
      time.sleep(0.02)
    return not path.exists()

  def _read_whole(self, step: int, like: Any) -> Restored:
    meta = self._read_meta(step)
    if self._is_shared(meta):
      checksums.check_share(self.directory / str(step))
    expected, arrays = flatten(jax.tree.map(shape_only, like)), self._read_arrays(step)
    checked = {name: self._checked(step, name, x, arrays, meta['sums']) for name, x in split_names(expected).items()}
    leaves = list(join_names(checked, expected).values())
    return Restored(step, jax.tree.unflatten(jax.tree.structure(like), leaves), meta['extra'])

  def _read_meta(self, step: int) -> dict[str, Any]:
    """Return the description of a checkpoint. Raises Damaged, or InputError for another format."""
    meta = self._read_item(step, meta=ocp.args.JsonRestore()).meta
    if not isinstance(meta, dict) or not {'extra', 'sums', 'sum'} <= meta.keys():
      raise Damaged('its description is incomplete')
    expected_sum = meta.pop('sum')
    if checksums.of_json(meta) != expected_sum:
      raise Damaged('its description does not match its checksum')
    if (found := meta.get('format', 1)) != FORMAT:
      raise InputError(
        f'checkpoint {step} in {self.directory} has format {found} and cannot be read: this version reads format '
        f'{FORMAT}; use the version that wrote it, or train again in another workdir'
      )
    if meta['step'] != step:
      raise Damaged(f'it is a copy of checkpoint {meta["step"]}')
    return meta

  def _is_shared(self, meta: Mapping[str, Any]) -> bool:
    """Return whether several processes have written the checkpoint: then its files have the checksums."""
    return None in meta['sums'].values()

  def _read_arrays(self, step: int) -> Arrays:
    """Return the arrays as they lie there, whatever devices they come from. Raises Damaged."""
    try:
      shapes = self._manager.item_metadata(step)['arrays']
      like = {name: np.broadcast_to(np.zeros((), x.dtype), x.shape) for name, x in shapes.items()}
    except Exception as error:  # whatever a damaged file makes Orbax raise
      raise Damaged(f'cannot be read: {type(error).__name__}') from error
    return self._read_item(step, arrays=orbax_manager.restoring(like)).arrays

  def _read_item(self, step: int, **items: Any) -> Any:
    try:
      return self._manager.restore(step, args=ocp.args.Composite(**items))
    except (MemoryError, PermissionError):  # says nothing of the checkpoint
      raise
    except Exception as error:  # whatever a damaged file makes Orbax, TensorStore or JSON raise
      raise Damaged(f'cannot be read: {type(error).__name__}') from error

  def _checked(self, step: int, name: str, expected: Any, arrays: Arrays, sums: dict[str, int]) -> np.ndarray:
    """Return one array if it is whole and what was expected."""
    self._check_name(step, name, sums)
    x = np.asarray(arrays[name]) if name in arrays else np.zeros(expected.shape, expected.dtype)
    if sums[name] is not None and checksums.of_array(x) != sums[name]:
      raise Damaged(f'{name} does not match its checksum')
    self._check_shape(step, name, expected, x)
    return x

  def _check_name(self, step: int, name: str, sums: Mapping[str, Any]) -> None:
    """Raise InputError unless the checkpoint has an array of that name."""
    if name not in sums:
      raise InputError(f'checkpoint {step} in {self.directory} has no array {name}: it is of another model')

  def _check_shape(self, step: int, name: str, expected: Any, x: Any) -> None:
    """Raise InputError unless the checkpoint's array `x` has the shape and type that are expected."""
    if x.shape != expected.shape or x.dtype != expected.dtype:
      shapes = f'{x.dtype}{list(x.shape)}, not {expected.dtype}{list(expected.shape)}'
      raise InputError(f'checkpoint {step} in {self.directory} has {name} as {shapes}: it is of another model')


def described(step: int, extra: dict[str, Any], sums: dict[str, Any]) -> dict[str, Any]:
  """Return the description of a checkpoint. sums: by array; None where its files have the checksums."""
  meta: dict[str, Any] = {'format': FORMAT, 'step': step, 'extra': extra, 'sums': sums}
  return meta | {'sum': checksums.of_json(meta)}


def _words(steps: list[int]) -> str:
  """Return steps as text."""
  return ', '.join(map(str, steps)) if steps else 'none'
