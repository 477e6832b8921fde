"""Where metrics are written: JSON Lines, TensorBoard, Weights & Biases, behind one interface.

A writer gets metrics, which depend on the run alone, and timings, which depend on the machine and the moment.
"""

import abc
import hashlib
import importlib
import importlib.util
import json
import logging
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from seqmodels.errors import InputError, one_line
from training import files

log = logging.getLogger('seqmodels')
FLUSH_SECONDS = 30.0  # between two flushes of TensorBoard's file
METRICS, TIMINGS = 'metrics.jsonl', 'timings.jsonl'
PROJECT = 'seqmodels'  # of Weights & Biases, unless WANDB_PROJECT names another

Values = Mapping[str, float]
Config = Mapping[str, Any]


class Writer(abc.ABC):
  """Write named values of a step and split. What cannot be written is a WriteError."""

  @abc.abstractmethod
  def metrics(self, step: int, split: str, values: Values) -> None:
    """Write values that an interrupted run repeats exactly."""

  @abc.abstractmethod
  def timings(self, step: int, split: str, values: Values) -> None:
    """Write values that depend on time."""

  @abc.abstractmethod
  def sync(self) -> None:
    """Wait until everything is on disk: a checkpoint must never be newer than its metrics."""

  @abc.abstractmethod
  def close(self) -> None:
    """Close the files."""


def as_row(step: int, split: str, values: Values) -> dict[str, Any]:
  """Return a row of JSON Lines. A value that is not finite becomes None: JSON has no word for it."""
  row: dict[str, Any] = {'step': step, 'split': split}
  return row | {name: float(value) if math.isfinite(value) else None for name, value in values.items()}


class JsonLines(Writer):
  """Append rows to metrics.jsonl and, apart from them, to timings.jsonl."""

  def __init__(self, workdir: pathlib.Path) -> None:
    self._paths = {METRICS: workdir / METRICS, TIMINGS: workdir / TIMINGS}
    self._files = {name: files.open_to_append(path) for name, path in self._paths.items()}

  def metrics(self, step: int, split: str, values: Values) -> None:
    self._append(METRICS, as_row(step, split, values))

  def timings(self, step: int, split: str, values: Values) -> None:
    self._append(TIMINGS, as_row(step, split, values))

  def _append(self, name: str, row: Mapping[str, Any]) -> None:
    with files.writing(self._paths[name]):
      self._files[name].write(json.dumps(row) + '\n')
      self._files[name].flush()

  def sync(self) -> None:
    with files.writing(self._paths[METRICS]):
      os.fsync(self._files[METRICS].fileno())

  def close(self) -> None:
    for name, file in self._files.items():
      with files.writing(self._paths[name]):
        file.close()


class TensorBoard(Writer):
  """An event file, written in the caller's thread so that a failure is known there.

  TensorBoard hides the values of older files of the folder from `purge_step` on.
  """

  def __init__(self, folder: pathlib.Path, purge_step: int) -> None:
    self._folder = folder
    with files.writing(folder):
      folder.mkdir(parents=True, exist_ok=True)
      # Without a suffix of its own, a run started again within a second would overwrite the file before.
      self._events = EventsWriter(str(folder / 'events'), f'.{time.time_ns()}')
      start = SessionLog(status=SessionLog.START)
      self._events.write_event(Event(step=purge_step, wall_time=time.time(), session_log=start))
    self._flushed = time.monotonic()

  def metrics(self, step: int, split: str, values: Values) -> None:
    for name, value in values.items():
      with files.writing(self._folder):
        summary = scalar(f'{split}/{name}', float(value))
        self._events.write_event(Event(step=step, wall_time=time.time(), summary=summary))
    if time.monotonic() - self._flushed > FLUSH_SECONDS:
      self.sync()

  timings = metrics

  def sync(self) -> None:
    with files.writing(self._folder):
      self._events.flush()
    self._flushed = time.monotonic()

  def close(self) -> None:
    with files.writing(self._folder):
      self._events.close()


class WeightsAndBiases(Writer):
  """A run of Weights & Biases; one that goes on keeps its id, a file of the workdir.

  A run does not end because its values cannot be sent: the first failure is logged, and nothing more is sent.
  """

  def __init__(self, workdir: pathlib.Path, config: Config) -> None:
    path = workdir / 'wandb.id'
    try:
      identity = path.read_text(encoding='utf-8').strip()
    except OSError:
      identity = hashlib.sha256(f'{workdir.absolute()} {time.time_ns()}'.encode()).hexdigest()[:16]
      files.write_text(path, identity + '\n')
    project = os.environ.get('WANDB_PROJECT', PROJECT)
    try:
      wandb = importlib.import_module('wandb')
      self._run = wandb.init(
        project=project, name=workdir.name, id=identity, resume='allow', dir=str(workdir), config=dict(config)
      )
      # A run that goes on from a checkpoint repeats steps, which W&B's own counter refuses.
      self._run.define_metric('*', step_metric='step')
    except Exception as error:  # the package has a dozen of its own
      raise InputError(
        f'train.writers=wandb: {one_line(error)}; log in first, set WANDB_MODE=offline, or leave wandb out'
      ) from error
    self._failed = False

  def metrics(self, step: int, split: str, values: Values) -> None:
    self._call(lambda: self._run.log({'step': step, **{f'{split}/{name}': value for name, value in values.items()}}))

  timings = metrics

  def sync(self) -> None:
    """Do nothing: the package sends from a process of its own."""

  def close(self) -> None:
    self._call(self._run.finish)

  def _call(self, call: Callable[[], Any]) -> None:
    if self._failed:
      return
    try:
      call()
    except Exception as error:
      self._failed = True
      log.warning('Weights & Biases gets nothing more of this run: %s', one_line(error))


def check_installed(names: Sequence[str]) -> None:
  """Raise InputError for a writer whose package is missing."""
  if 'wandb' not in names:
    return
  spec = importlib.util.find_spec('wandb')
  if spec is None or spec.origin is None:  # a folder of that name in the current one is no package
    raise InputError('train.writers=wandb needs the package wandb, which is not installed; run `pip install wandb`')


def open_writers(names: Sequence[str], workdir: pathlib.Path, last_step: int, config: Config) -> list[Writer]:
  """Return the writers of a run that goes on from `last_step`. Raises WriteError, and InputError where W&B refuses."""
  makes: dict[str, Callable[[], Writer]] = {
    'jsonl': lambda: JsonLines(workdir),
    'tensorboard': lambda: TensorBoard(workdir / 'tensorboard', last_step),
    'wandb': lambda: WeightsAndBiases(workdir, config),
  }
  return [makes[name]() for name in names]
