"""The files of a run while it trains: checkpoints and metrics, opened where the newest checkpoint stands."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from training import processes
from training.checkpoint import Checkpoints, Restored
from training.metrics import Metrics, MetricsWriter
from training.run import Run
from training.shared_checkpoints import SharedCheckpoints
from training.waiting import within

OPENING, CLOSING = 'opening the files of metrics', 'closing checkpoints and metrics'  # for the line of a time-out


class Files(NamedTuple):
  """The files of a run in its folder, and the checkpoint that it goes on from."""

  checkpoints: Checkpoints
  writer: Metrics
  restored: Restored | None


def restore(folder: pathlib.Path, run: Run) -> Restored | None:
  """Return the newest checkpoint of a run's folder that verifies, if there is one; write nothing.

  Raises InputError if it is of another model, or if none verifies.
  """
  if not (folder / 'checkpoints').is_dir():
    return None
  checkpoints = _checkpoints(folder, run)
  try:
    return checkpoints.restore_latest_verified(run.abstract_state(), discard=True)
  finally:
    checkpoints.close()


@contextlib.contextmanager
def open_files(
  folder: pathlib.Path, run: Run, restored: Restored | None, config: Mapping[str, Any] = {}
) -> Iterator[Files]:
  """Open what a run writes in its folder, and close it; what was not saved at `restored` is dropped.

  config: for writers that show it. Raises WriteError.
  """
  checkpoints = _checkpoints(folder, run)
  step, rows = (restored.step, restored.extra['rows']) if restored else (0, 0)
  with within(OPENING):
    writer = MetricsWriter(folder, step, rows, run.settings.writers, config) if processes.is_first() else Metrics()
  writer.rows = processes.gather(writer.rows, OPENING)[0]
  try:
    yield Files(checkpoints, writer, restored)
  except BaseException:
    for part in (checkpoints, writer):
      with contextlib.suppress(Exception), within(CLOSING):  # the first error says what is wrong
        part.close()
    raise
  with within(CLOSING):
    checkpoints.close()
    writer.close()


def _checkpoints(folder: pathlib.Path, run: Run) -> Checkpoints:
  kind = Checkpoints if processes.count() == 1 else SharedCheckpoints
  return kind(folder / 'checkpoints', run.settings.keep, keep_every=run.settings.keep_every)
