"""The training loop, of train.py and of experiments: steps, metrics, evaluation, checkpoints, signals."""

import contextlib
import math
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, NamedTuple

import jax

from tasks.base import Evaluation
from training import mesh as meshes
from training.checkpoint import Checkpoints, Restored
from training.evaluate import NotFinite, evaluate
from training.files import WriteError
from training.metrics import Metrics, MetricsWriter, Progress, log
from training.run import CompiledStep, Run
from training.step import Metrics as StepMetrics
from training.step import TrainState

SAME_SIGNAL = 0.2  # seconds: a terminal and a job queue may both pass one Ctrl-C on


class Failed(Exception):
  """Training cannot go on; the message is one line. What was saved last is whole."""


class Diverged(Failed):
  """The loss, its gradient or the parameters are not finite any more."""


class Stop:
  """While entered, SIGTERM and SIGINT do not end the process: `signal` says that one has come.

  A second one ends it at once.
  """

  def __init__(self) -> None:
    self.signal: signal.Signals | None = None
    self._time = 0.0

  def __enter__(self) -> 'Stop':
    self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if self.signal is None:
      self.signal, self._time = signal.Signals(number), now
    elif now - self._time > SAME_SIGNAL:
      os.write(2, b'\nsecond signal: stopped at once, without saving\n')
      os._exit(128 + number)


class Files(NamedTuple):
  """The files of a run in its folder, and the checkpoint that it goes on from."""

  checkpoints: Checkpoints
  writer: MetricsWriter
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
def open_files(folder: pathlib.Path, run: Run, restored: Restored | None) -> Iterator[Files]:
  """Open what a run writes in its folder, and close it; what was not saved at `restored` is dropped.

  Raises WriteError.
  """
  checkpoints = _checkpoints(folder, run)
  step, rows = (restored.step, restored.extra['rows']) if restored else (0, 0)
  writer = MetricsWriter(folder, step, rows)
  try:
    yield Files(checkpoints, writer, restored)
  except BaseException:
    for part in (checkpoints, writer):
      with contextlib.suppress(Exception):  # the first error says what is wrong
        part.close()
    raise
  checkpoints.close()
  writer.close()


def _checkpoints(folder: pathlib.Path, run: Run) -> Checkpoints:
  return Checkpoints(folder / 'checkpoints', run.settings.keep)


class Loop:
  """The loop over the steps of one run. Metrics of step N − 1 are fetched after step N has been dispatched.

  Args:
    run: what is trained.
    compiled: its compiled step.
    state: where it begins; `batches` stand there too.
    files: where metrics and checkpoints go; None: metrics are kept in memory, and nothing is saved.
    evaluations: by name; `validation` runs every `eval_every` steps, all of them at the end.
    stop: says that a signal has come.
    show: whether progress is logged.
  """

  def __init__(
    self,
    run: Run,
    compiled: CompiledStep,
    state: TrainState,
    batches: Any,
    files: Files | None = None,
    *,
    evaluations: Mapping[str, Evaluation] = {},
    stop: Stop | None = None,
    show: bool = False,
  ) -> None:
    self.run, self.settings, self.compiled = run, run.settings, compiled
    self.state, self.batches = state, batches
    self.checkpoints = files.checkpoints if files else None
    self.metrics = files.writer if files else Metrics()
    self.step = self.saved = files.restored.step if files and files.restored else 0
    self.evaluations, self.stop, self.show = evaluations, stop or Stop(), show
    self.wait = meshes.must_wait(run.mesh)
    self.pending: tuple[int, StepMetrics] | None = None
    self.progress: Progress | None = None

  def fit(self) -> dict[str, float]:
    """Train to the end and return the last step's metrics as {"split/metric": value}.

    Raises Diverged, Failed where a file cannot be written, and SystemExit after a signal, when the state is saved.
    """
    try:
      self._fit()
    except NotFinite as error:
      raise Diverged(f'the parameters are not finite at step {self.step}: {error}') from error
    except WriteError as error:
      newest = max(self.checkpoints.steps(), default=None) if self.checkpoints else None
      kept = 'there is no checkpoint yet' if newest is None else f'checkpoint {newest} is the newest'
      raise Failed(f'{error}; {kept}') from error
    finally:
      if self.progress is not None:
        self.progress.close()
    return self.results()

  def _fit(self) -> None:
    steps = self.settings.steps
    self.evaluate()  # what the process before this one may have left undone at this step
    while self.step < steps:
      self.advance()
      if self.step == steps or _due(self.settings.checkpoint_every, self.step):
        self.save()
      self.leave_if_stopped()
      self.evaluate()
    self.finish()
    if self.checkpoints is not None:
      self.checkpoints.wait()

  def advance(self) -> None:
    """Take one step. The batch goes in as NumPy arrays: the call places them sooner than `device_put` would."""
    batch = next(self.batches)
    if self.progress is None and self.show:
      self.progress = Progress(self.step, self.settings.steps, self.settings.batch_size * batch.inputs.shape[1])
    self.state, metrics = self.compiled(self.state, batch)
    self.finish()
    self.step += 1
    self.pending = self.step, metrics
    if self.wait:
      jax.block_until_ready(metrics)
    if self.progress is not None:
      self.progress.tick(self.step)

  def leave_if_stopped(self) -> None:
    """After a signal: save the state, if it is not saved yet, and exit."""
    if self.stop.signal is None:
      return
    if self.checkpoints is not None:
      if self.saved != self.step:
        self.save()
      self.checkpoints.wait()
    name, code = self.stop.signal.name, 128 + self.stop.signal
    log.info('%s: saved step %d; the same command goes on from there', name, self.step)
    sys.exit(code)

  def finish(self) -> None:
    """Fetch and write the metrics that are pending."""
    if self.pending is None:
      return
    (step, metrics), self.pending = self.pending, None
    finite = bool(metrics['finite'])
    if finite and step != 1 and step != self.settings.steps and not _due(self.settings.log_every, step):
      return
    fetched = jax.device_get(metrics)
    first = ('loss', 'gradient_norm', 'learning_rate')
    names = (*first, *(name for name in fetched if name not in (*first, 'finite')))
    values = {name: float(fetched[name]) for name in names}
    self.metrics.write(step, 'train', values)
    if not finite:
      raise Diverged(f'the loss or its gradient is not finite at step {step} (loss {values["loss"]})')
    rate = None if self.progress is None else self.progress.update(step, values['loss'])
    if rate is not None:
      self.metrics.board(step, 'train', {'tokens_per_second': rate})

  def save(self) -> None:
    """Save before the next batch is drawn, so that the iterator stands where the state does."""
    self.finish()
    if self.checkpoints is None:
      return
    self.metrics.sync()
    examples, rows = self.step * self.settings.batch_size, len(self.metrics.rows)
    extra = {'batches': self.batches.get_state(), 'examples': examples, 'rows': rows}
    self.checkpoints.save(self.step, self.state, extra)
    self.saved = self.step

  def evaluate(self) -> None:
    """Run what is due at this step and not yet written: `validation` on the way, every evaluation at the end."""
    last = self.step == self.settings.steps
    if not last and not (self.step and _due(self.settings.eval_every, self.step)):
      return
    self.finish()
    for name, evaluation in self.evaluations.items():
      if (name != 'validation' and not last) or self.metrics.row(self.step, name):
        continue
      run = self.run
      values = evaluate(
        run.model, self.state.params, run.task, evaluation, run.evaluation, run.mesh, after_batch=self.leave_if_stopped
      )
      self.metrics.write(self.step, name, values)
      log.info('step %d  %s  %s', self.step, name, '  '.join(f'{k} {v:.4f}' for k, v in values.items()))
    if self.progress is not None:
      self.progress.pause()

  def results(self) -> dict[str, float]:
    """Return the last step's rows as {"split/metric": value}."""
    rows = [row for row in self.metrics.rows if row['step'] == self.step]
    return {
      f'{row["split"]}/{name}': math.nan if value is None else value
      for row in rows
      for name, value in row.items()
      if name not in ('step', 'split')
    }


def _due(every: int, step: int) -> bool:
  return every > 0 and step % every == 0
