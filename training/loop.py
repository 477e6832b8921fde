"""The training loop, of train.py and of experiments: steps, metrics, evaluation, checkpoints, signals."""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from tasks.base import Evaluation
from training import cache, goodput, norms, processes, runtime
from training import mesh as meshes
from training.evaluate import NotFinite, evaluate
from training.files import WriteError
from training.free_running import free_running
from training.goodput import Ledger
from training.metrics import Metrics, log
from training.nonfinite import Counts, description
from training.profiling import Profile
from training.programs import Programs
from training.run import Run
from training.run_files import Files
from training.speed import Display
from training.step import Metrics as StepMetrics
from training.step import TrainState
from training.stop import Stop
from training.waiting import within

LATE = 64  # a wish that is no signal
APART = ('finite', 'squares', 'norms')  # metrics of the step that are no values of a row


class Failed(Exception):
  """Training cannot go on; the message is one line. What was saved last is whole."""


class Diverged(Failed):
  """The loss, its gradient or the parameters are not finite any more."""


class Loop:
  """The loop over the steps of one run. Metrics of step N − 1 are fetched after step N has been dispatched.

  Args:
    run: what is trained.
    programs: its compiled step.
    state: where it begins; `batches` stand there too.
    files: where metrics and checkpoints go; None: metrics are kept in memory, and nothing is saved.
    evaluations: by name; `validation` runs every `eval_every` steps, all of them at the end, then with free-running
      metrics.
    stop: says that a signal has come.
    ledger: of the time that the run takes.
    profile: of some steps.
    show: whether progress is logged.
  """

  def __init__(
    self,
    run: Run,
    programs: Programs,
    state: TrainState,
    batches: Any,
    files: Files | None = None,
    *,
    evaluations: Mapping[str, Evaluation] = {},
    stop: Stop | None = None,
    ledger: Ledger | None = None,
    profile: Profile | None = None,
    show: bool = False,
  ) -> None:
    self.run, self.settings, self.programs = run, run.settings, programs
    self.state, self.batches = state, batches
    self.checkpoints = files.checkpoints if files else None
    self.metrics = files.writer if files else Metrics()
    restored = files.restored if files else None
    self.step = self.saved = restored.step if restored else 0
    self.skipped = Counts(*(restored.extra.get('skipped', ()) if restored else ()))
    self.evaluations, self.stop, self.show = evaluations, stop or Stop(), show
    self.ledger, self.profile = ledger or Ledger(), profile
    self.wait = meshes.must_wait(run.mesh)
    self.vote = processes.Vote()
    self.pending: tuple[int, StepMetrics] | None = None
    self.display: Display | None = None
    self._saved_at = time.monotonic()

  def fit(self) -> dict[str, float]:
    """Train to the end and return the last step's metrics as {"split/metric": value}.

    Raises Diverged, Failed where a file cannot be written, and SystemExit after a signal, when the state is saved.
    """
    try:
      self._fit()
    except NotFinite as error:
      raise Diverged(f'the parameters are not finite at step {self.step}: {error}; {self._kept()}') from error
    except WriteError as error:
      raise Failed(f'{error}; {self._kept(alone=True)}') from error
    finally:
      if self.profile is not None:
        self.profile.close()
      if self.display is not None:
        self.display.close()
    return self.results()

  def _fit(self) -> None:
    steps = self.settings.steps
    self.ledger.switch(goodput.STEP)
    self.evaluate()  # what the process before this one may have left undone at this step
    while self.step < steps:
      self.advance()
      if self.checkpoints is not None:
        self.checkpoints.check()
      wish = self.vote(self._wish())
      if self._save_is_due() or wish == LATE:
        self.save()
      self.leave_if_stopped(wish)
      self.evaluate()
    self.finish()
    if self.checkpoints is not None:
      with self.ledger.during(goodput.SAVE):
        self.checkpoints.wait()

  def advance(self) -> None:
    """Take one step. The batch goes in as NumPy arrays: the call places them sooner than `device_put` would."""
    batch, waited = self._next_batch()
    if processes.count() > 1:
      batch = meshes.put_batch(batch, self.run.mesh)
    tokens = self.settings.batch_size * batch.inputs.shape[1]
    if self.display is None and self.show:
      self.display = Display(self.run, self.step, tokens)
    if not self.programs.has(batch):
      self._compile(batch)
    if self.profile is not None:
      self.profile.before(self.step + 1)
    self.state, metrics = self.programs(self.state, batch)
    if self.show:
      cache.counts.say()
    self.finish()
    self.step += 1
    self.ledger.step = self.step
    self.pending = self.step, metrics
    if self.wait:
      jax.block_until_ready(metrics)
    if self.profile is not None:
      self.profile.after(self.step, metrics)
    if self.display is not None:
      self.display.step(self.step, waited, tokens)

  def _compile(self, batch: Any) -> None:
    """Compile the step for a batch of a new shape. A signal waits: the batch is drawn, so that nothing can be saved."""
    with self.ledger.during(goodput.COMPILE):
      self.programs.compile(self.state, batch)
    if self.display is not None:
      self.display.pause()

  def _next_batch(self) -> tuple[Any, float]:
    """Return the next batch, and the seconds in which the device waited for it: none, where it is still at work."""
    self.ledger.switch(goodput.DATA)
    with within('reading a batch'):
      batch = next(self.batches)
    if self.pending is not None and not self.pending[1]['finite'].is_ready():
      self.ledger.kind = goodput.STEP  # of the time since the last switch
      return batch, 0.0
    return batch, self.ledger.switch(goodput.STEP)

  def _wish(self) -> int:
    """Return the signal that has come, LATE where it is time to save, or 0."""
    minutes = self.settings.checkpoint_minutes
    is_late = self.checkpoints is not None and minutes > 0 and time.monotonic() - self._saved_at >= 60 * minutes
    return LATE if is_late else int(self.stop.signal or 0)

  def leave_if_stopped(self, wish: int) -> None:
    """After a signal: save the state, if it is not saved yet, and exit."""
    if wish in (0, LATE):
      return
    if self.checkpoints is not None:
      if self.saved != self.step:
        self.save()
      with self.ledger.during(goodput.SAVE):
        self.checkpoints.wait()
    log.info('%s: saved step %d; go on with: %s', signal.Signals(wish).name, self.step, runtime.command())
    sys.exit(128 + wish)

  def finish(self) -> None:
    """Fetch and write the metrics that are pending."""
    if self.pending is None:
      return
    (step, metrics), self.pending = self.pending, None
    finite = bool(metrics['finite'])
    if 'norms' in metrics and finite and _due(self.settings.norms_every, step):
      for name, values in jax.device_get(metrics['norms']).items():
        self.metrics.write(step, f'{name}_norms', norms.named(values))
    self.skipped = self.skipped.after(finite)
    if finite and step != 1 and step != self.settings.steps and not _due(self.settings.log_every, step):
      return
    fetched = jax.device_get({name: value for name, value in metrics.items() if name not in APART})
    first = ('loss', 'gradient_norm', 'learning_rate')
    values = {name: float(fetched[name]) for name in (*first, *(name for name in fetched if name not in first))}
    if self.settings.skip_nonfinite:
      values['skipped'] = float(self.skipped.total)
    self.metrics.write(step, 'train', values)
    if not finite:
      self._not_finite(step, values['loss'], np.asarray(metrics['squares']))
    elif self.display is not None and (speeds := self.display.logged(step, values['loss'])):
      self.metrics.write_timings(step, 'train', speeds)

  def _not_finite(self, step: int, loss: float, squares: np.ndarray) -> None:
    """Raise Diverged for a step whose loss or gradient is not finite, or log that its update was left out."""
    is_intact = self.settings.skip_nonfinite > 0
    text = description(step, loss, self.settings.batch_size, self.state.params, squares, is_intact=is_intact)
    total, in_row = self.skipped
    if in_row >= self.settings.skip_nonfinite:
      raise Diverged(f'{text}; {f"{in_row} steps in a row; " if in_row > 1 else ""}{self._kept()}')
    log.warning('%s; its update is left out: %d in a row, %d in all', text, in_row, total)

  def _kept(self, *, alone: bool = False) -> str:
    """Return, for the line of an error, which checkpoint is left. alone: the other processes do not come here."""
    if self.checkpoints is not None and not (alone and processes.count() > 1):
      with contextlib.suppress(WriteError):
        self.checkpoints.wait()
    newest = max(self.checkpoints.steps(), default=None) if self.checkpoints else None
    return 'there is no checkpoint yet' if newest is None else f'checkpoint {newest} is the newest and is kept'

  def _save_is_due(self) -> bool:
    return self.step == self.settings.steps or _due(self.settings.checkpoint_every, self.step)

  def save(self) -> None:
    """Save before the next batch is drawn, so that the iterator stands where the state does."""
    self.finish()
    if self.checkpoints is None:
      return
    with self.ledger.during(goodput.SAVE), within(f'saving checkpoint {self.step}'):
      self.metrics.sync()
      extra = {
        'batches': self.batches.get_state(),
        'examples': self.step * self.settings.batch_size,
        'rows': len(self.metrics.rows),
        'skipped': list(self.skipped),
      }
      self.checkpoints.save(self.step, self.state, extra, self._scores() if self.settings.keep_best else {})
    self.ledger.flush()
    self.saved, self._saved_at = self.step, time.monotonic()
    if self.display is not None:
      self.display.speed.pause()

  def _scores(self) -> dict[int, float]:
    """Return the loss of validation at every step that has one."""
    rows = [row for row in self.metrics.rows if row['split'] == 'validation']
    return {row['step']: row['loss'] for row in rows if row.get('loss') is not None}

  def evaluate(self) -> None:
    """Run what is due at this step and not yet written: `validation` on the way, every evaluation at the end."""
    last = self.step == self.settings.steps
    if not last and not (self.step and _due(self.settings.eval_every, self.step)):
      return
    self.finish()
    signatures: dict[str, str] = {}
    with self.ledger.during(goodput.EVALUATION):
      for name, evaluation in self.evaluations.items():
        if (name != 'validation' and not last) or self.metrics.row(self.step, name):
          continue
        run = self.run
        what = run.model, self.state.params, run.task, evaluation, run.evaluation, run.mesh
        # Processes agree after a step only: they do not poll equally often while they compile.
        poll = None if processes.count() > 1 else lambda: self.leave_if_stopped(int(self.stop.signal or 0))
        values = evaluate(*what, after_batch=poll)
        written = free_running(*what, after_batch=poll) if last else {}
        values |= written
        self.metrics.write(self.step, name, values)
        log.info('step %d  %s  %s', self.step, name, '  '.join(f'{k} {v:.4f}' for k, v in values.items()))
        if written:
          signatures |= run.task.signatures()
    for name, signature in signatures.items():
      log.info('%s: %s', name, signature)
    if self.display is not None:
      self.display.pause()

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
