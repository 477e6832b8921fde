"""--mode=train: sequences data, step, metrics, checkpoints and evaluation; computes nothing itself."""

if __name__ == '__main__':  # `python train.py …` is `python main.py --mode=train …`
  import sys

  import main as program

  sys.exit(program.start('train'))

import math
import pathlib
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import jax

from seqmodels.models import sizing
from training import mesh as meshes
from training import workdir as workdirs
from training.checkpoint import Checkpoints
from training.evaluate import evaluate, possible_evaluations
from training.metrics import MetricsWriter, Progress, held, log
from training.run import CompiledStep, Run, build_run
from training.runtime import device_line
from training.step import Metrics, TrainState


class Diverged(Exception):
  """The loss or the gradient is not finite any more."""


class Stop:
  """While entered, SIGTERM and SIGINT do not end the process: `signal` says that one has come."""

  def __init__(self) -> None:
    self.signal: signal.Signals | None = None

  def __enter__(self) -> 'Stop':
    self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number: int, _: FrameType | None) -> None:
    self.signal = signal.Signals(number)


def main(config: Any, workdir: str, *, devices: int = 0) -> None:
  """Trains, or goes on training, and exits with 1 if the loss diverges."""
  try:
    train(config, workdir, devices=devices)
  except Diverged as error:
    sys.exit(f'error: {error}')


def train(config: Any, workdir: str | pathlib.Path, *, devices: int = 0) -> dict[str, float]:
  """Trains `config` in `workdir`, from its newest checkpoint if it has one; returns {"split/metric": value} at the end.

  On the same devices, a run that was killed and started again ends with the same parameters and metrics, bit for bit,
  as one that was not. Raises InputError before anything is written, Diverged when the loss is not finite, SystemExit
  after SIGTERM or SIGINT (the state is saved first).
  """
  config, workdir = workdirs.plain(config), pathlib.Path(workdir)
  with held() as told:  # bad input is one line, and what the run is comes first
    run = build_run(config, devices)
    batches, traced = run.batches(), run.trace_step()
    note = workdirs.check_same_config(workdir, config)
    workdirs.check_entries(workdir)
    folder, restored = workdir / 'checkpoints', None
    if folder.is_dir():
      checkpoints = Checkpoints(folder, run.settings.keep)
      restored = checkpoints.restore_latest_verified(run.abstract_state(), discard=True)
    workdirs.write_config(workdir, config)
    if not folder.is_dir():
      checkpoints = Checkpoints(folder, run.settings.keep)
  log.info(about(run))
  for record in told:
    log.handle(record)
  if note:
    log.info(note)
  writer = MetricsWriter(workdir, restored.step if restored else 0)
  if restored:
    batches.set_state(restored.extra['batches'])
    log.info('going on from step %d', restored.step)
  with ThreadPoolExecutor(1) as pool:
    compiling = pool.submit(lambda: traced.lower().compile())  # beside the initialisation, which is compiled too
    state = run.place(restored.tree) if restored else run.initial_state()
    compiled = compiling.result()
  loop = Loop(run, compiled, state, batches, checkpoints, writer, restored.step if restored else 0)
  try:
    with Stop() as stop:
      return loop.run(stop)
  finally:
    checkpoints.close()
    writer.close()


def about(run: Run) -> str:
  """The first line of a run."""
  figures = sizing.summary(run.model, run.settings.segment, run.settings.memory)
  return (
    f'{device_line()} | {figures["parameters"]:,} parameters, {figures["non_embedding"]:,} non-embedding'
    f' | {figures["flops_per_token"]:,.0f} training FLOPs per token | {figures["state_bytes"]:,} bytes of state'
    ' per sequence'
  )


class Loop:
  """The loop over steps. Metrics of step N − 1 are fetched after step N has been dispatched."""

  def __init__(
    self,
    run: Run,
    compiled: CompiledStep,
    state: TrainState,
    batches: Any,
    checkpoints: Checkpoints,
    writer: MetricsWriter,
    step: int,
  ) -> None:
    self.setup, self.settings, self.compiled = run, run.settings, compiled
    self.state, self.batches, self.step = state, batches, step
    self.checkpoints, self.writer, self.saved = checkpoints, writer, step
    self.stop = Stop()
    self.wait = meshes.must_wait(run.mesh)
    self.pending: tuple[int, Metrics] | None = None
    self.progress: Progress | None = None

  def run(self, stop: Stop) -> dict[str, float]:
    self.stop, steps = stop, self.settings.steps
    self.evaluate()  # what the process before this one may have left undone at this step
    while self.step < steps:
      self.advance()
      if self.step == steps or _due(self.settings.checkpoint_every, self.step):
        self.save()
      self.leave_if_told()
      self.evaluate()
    if self.progress is not None:
      self.progress.close()
    return self.results()

  def advance(self) -> None:
    """One step. The batch goes in as NumPy arrays: the call places them sooner than `device_put` would."""
    batch = next(self.batches)
    if self.progress is None:
      self.progress = Progress(self.step, self.settings.steps, self.settings.batch_size * batch.inputs.shape[1])
    self.state, metrics = self.compiled(self.state, batch)
    self.finish()
    self.step += 1
    self.pending = self.step, metrics
    if self.wait:
      jax.block_until_ready(metrics)

  def leave_if_told(self) -> None:
    """After a signal: saves the state, if it is not saved yet, and exits."""
    if self.stop.signal is None:
      return
    if self.saved != self.step:
      self.save()
    self.checkpoints.wait()
    log.info('%s: saved step %d; the same command goes on from there', self.stop.signal.name, self.step)
    sys.exit(128 + self.stop.signal)

  def finish(self) -> None:
    """Fetches and writes the metrics that are pending."""
    if self.pending is None:
      return
    (step, metrics), self.pending = self.pending, None
    finite = bool(metrics['finite'])
    if finite and step != 1 and step != self.settings.steps and not _due(self.settings.log_every, step):
      return
    fetched = jax.device_get(metrics)
    values = {name: float(fetched[name]) for name in ('loss', 'gradient_norm', 'learning_rate')}
    self.writer.write(step, 'train', values)
    if not finite:
      raise Diverged(f'the loss or its gradient is not finite at step {step} (loss {values["loss"]})')
    rate = None if self.progress is None else self.progress.update(step, values['loss'])
    if rate is not None:
      self.writer.board(step, 'train', {'tokens_per_second': rate})

  def save(self) -> None:
    """Before the next batch is drawn, so that the iterator stands where the state does."""
    self.finish()
    self.writer.sync()
    examples = self.step * self.settings.batch_size
    self.checkpoints.save(self.step, self.state, {'batches': self.batches.get_state(), 'examples': examples})
    self.saved = self.step

  def evaluate(self) -> None:
    """What is due at this step and not yet written: `validation` on the way, every evaluation at the end."""
    last = self.step == self.settings.steps
    if not last and not (self.step and _due(self.settings.eval_every, self.step)):
      return
    self.finish()
    for name, evaluation in possible_evaluations(self.setup.model, self.setup.task).items():
      if (name != 'validation' and not last) or self.writer.row(self.step, name):
        continue
      run = self.setup
      values = evaluate(
        run.model, self.state.params, run.task, evaluation, run.evaluation, run.mesh, after_batch=self.leave_if_told
      )
      self.writer.write(self.step, name, values)
      log.info('step %d  %s  %s', self.step, name, '  '.join(f'{k} {v:.4f}' for k, v in values.items()))
    if self.progress is not None:
      self.progress.pause()

  def results(self) -> dict[str, float]:
    """The last step's rows as {"split/metric": value}."""
    rows = [row for row in self.writer.rows if row['step'] == self.step]
    return {
      f'{row["split"]}/{name}': math.nan if value is None else value
      for row in rows
      for name, value in row.items()
      if name not in ('step', 'split')
    }


def _due(every: int, step: int) -> bool:
  return every > 0 and step % every == 0
