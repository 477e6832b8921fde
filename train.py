"""--mode=train: sequences data, step, metrics, checkpoints and evaluation; computes nothing itself."""

if __name__ == '__main__':  # `python train.py …` is `python main.py --mode=train …`
  import sys

  import main as program

  sys.exit(program.start('train'))

import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

from seqmodels.models import sizing
from training import files, loop
from training import workdir as workdirs
from training.evaluate import possible_evaluations
from training.metrics import held, log
from training.run import Run, build_run
from training.runtime import device_line


def main(config: Any, workdir: str, *, allow_schedule_change: bool = False) -> None:
  """Train, or go on training; exit with 1 and one line if the loss diverges, the disk is full or memory runs out."""
  try:
    train(config, workdir, allow_schedule_change=allow_schedule_change)
  except loop.Failed as error:
    sys.exit(f'error: {error}')
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    first = str(error).splitlines()[0]
    sys.exit(f'error: out of memory: {first}; a smaller train.batch_size, or train.accumulate, needs less')


def train(config: Any, workdir: str | pathlib.Path, *, allow_schedule_change: bool = False) -> dict[str, float]:
  """Train `config` in `workdir`, from its newest checkpoint if it has one; return {"split/metric": value} at the end.

  On the same devices, a run that was killed and started again ends with the same parameters and metrics, bit for bit,
  as one that was not. allow_schedule_change: more steps than before may move the learning rate.

  Raises InputError before anything is written, Failed when the loss is not finite or a file cannot be written,
  SystemExit after SIGTERM or SIGINT (the state is saved first).
  """
  config, folder = workdirs.plain(config), files.resolve('workdir', workdir)
  with held() as records:  # bad input is one line, and what the run is comes first
    run = build_run(config)
    traced = run.trace_step()
  with files.Lock(folder):
    with held() as later:
      note = workdirs.check_config(folder, config, run.task, allow_schedule_change=allow_schedule_change)
      restored = loop.restore(folder, run)
    workdirs.write_config(folder, config)
    workdirs.write_provenance(folder, run.model, run.task, restored.step if restored else 0)
    log.info(about(run))
    if run.mesh.size > 1:
      log.info(run.about_mesh())
    for record in (*records, *later):
      log.handle(record)
    if note:
      log.info(note)
    with loop.open_files(folder, run, restored) as opened:
      return fit(run, traced, opened)


def fit(run: Run, traced: Any, opened: loop.Files) -> dict[str, float]:
  """Compile the step, place the state, and train to the end."""
  batches, restored = run.batches(), opened.restored
  if restored:
    batches.set_state(restored.extra['batches'])
    log.info('going on from step %d', restored.step)
  with ThreadPoolExecutor(1) as pool:
    compiling = pool.submit(lambda: traced.lower().compile())  # beside the initialisation, which is compiled too
    state = run.place(restored.tree) if restored else run.initial_state()
    compiled = compiling.result()
  evaluations = possible_evaluations(run.model, run.task)
  with loop.Stop() as stop:
    return loop.Loop(run, compiled, state, batches, opened, evaluations=evaluations, stop=stop, show=True).fit()


def about(run: Run) -> str:
  """Return the first line of a run."""
  figures = sizing.summary(run.model, run.settings.segment, run.settings.memory)
  return (
    f'{device_line()} | {figures["parameters"]:,} parameters, {figures["non_embedding"]:,} non-embedding'
    f' | {figures["flops_per_token"]:,.0f} training FLOPs per token | {figures["state_bytes"]:,} bytes of state'
    ' per sequence'
  )
