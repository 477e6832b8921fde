"""Orbax, as checkpoints use it."""

import functools
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import orbax.checkpoint as ocp

from training import processes
from training.retention import Retention


def make_manager(directory: pathlib.Path, retention: Retention, *, read_only: bool) -> ocp.CheckpointManager:
  """Return what lists, writes and reads the checkpoints of a directory, after making that. Raises OSError."""
  _silence_late_callbacks()  # before there can be one: they run in threads of their own
  if not read_only:
    directory.mkdir(parents=True, exist_ok=True)  # Orbax makes none where the processes are named
  options = ocp.CheckpointManagerOptions(
    preservation_policy=retention,
    read_only=read_only,
    create=False,
    enable_async_checkpointing=False,
    multiprocessing_options=_all_processes(),
  )
  # Not compressed: weights lose 8 % of their bytes, for three quarters of the processor time of a save.
  arrays = ocp.PyTreeCheckpointHandler(use_compression=False, multiprocessing_options=_all_processes())
  handlers = {'arrays': arrays, 'meta': ocp.JsonCheckpointHandler()}
  return ocp.CheckpointManager(directory, options=options, item_handlers=handlers)


def _all_processes() -> ocp.options.MultiprocessingOptions:
  """Return options with which processes wait for each other by messages, and not by a collective of their devices.

  A thread that writes may then wait while the main thread takes steps.
  """
  return ocp.options.MultiprocessingOptions(active_processes=set(range(processes.count())))


def restoring(like: Mapping[str, Any]) -> Any:
  """Return Orbax's arguments that restore `like`: onto the shardings of its arrays, or as NumPy arrays."""
  return ocp.args.PyTreeRestore(like, restore_args=ocp.checkpoint_utils.construct_restore_args(like))


@functools.cache
def _silence_late_callbacks() -> None:
  """Hide the tracebacks of callbacks that a failed read or write leaves behind, and that find Orbax's loop closed."""
  before = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    if not (isinstance(unraisable.exc_value, RuntimeError) and 'Event loop is closed' in str(unraisable.exc_value)):
      before(unraisable)

  sys.unraisablehook = hook
