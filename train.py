"""--mode=train: sequences data, step, metrics, checkpoints and evaluation; computes nothing itself."""

if __name__ == '__main__':  # `python train.py …` is `python main.py --mode=train …`
  import sys

  import main as program

  sys.exit(program.start('train'))

import contextlib
import pathlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

import seqmodels
from commands import interrupts
from seqmodels.models import sizing
from seqmodels.notation import Params
from training import cache, exports, files, goodput, kinds, loop, processes, profiling, run_files, writers
from training import workdir as workdirs
from training.evaluate import possible_evaluations, say_left_out
from training.goodput import Ledger
from training.metrics import held, log
from training.profiling import Profile
from training.run import Run, build_run
from training.run_files import Files
from training.runtime import device_line
from training.stop import Stop, leaving


def main(
  config: Any, workdir: str, *, allow_schedule_change: bool = False, profile: tuple[int, int] | None = None
) -> None:
  """Train, or go on training; exit with 1 and one line if the loss diverges, the disk is full or memory runs out."""
  cache.counts.start()
  ledger = Ledger(interrupts.begun)
  with leaving():
    try:
      train(config, workdir, allow_schedule_change=allow_schedule_change, profile=profile, ledger=ledger)
    except loop.Failed as error:
      sys.exit(f'error: {error}')
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      first = str(error).splitlines()[0]
      sys.exit(f'error: out of memory: {first}; a smaller train.batch_size, or train.accumulate, needs less')


def train(
  config: Any,
  workdir: str | pathlib.Path,
  *,
  allow_schedule_change: bool = False,
  profile: tuple[int, int] | None = None,
  ledger: Ledger | None = None,
  show: bool = True,
) -> dict[str, float]:
  """Train `config` in `workdir`, from its newest checkpoint if it has one; return {"split/metric": value} at the end.

  On the same devices, a run that was killed and started again ends with the same parameters and metrics, bit for bit,
  as one that was not. allow_schedule_change: more steps than before may move the learning rate. profile: the first and
  the last step, counted from 1, of a trace in the workdir. ledger: of the time; None: one that begins now.
  show: whether progress is logged.

  Raises InputError before anything is written, Failed when the loss is not finite or a file cannot be written,
  SystemExit after SIGTERM or SIGINT (the state is saved first).
  """
  config, folder, ledger = workdirs.plain(config), files.resolve('workdir', workdir), ledger or Ledger()
  with held() as records:  # bad input is one line, and what the run is comes first
    run, params = processes.agreed('start', lambda: build(config, folder, profile))
    processes.check_same('the configuration', fingerprint(config))
    with ledger.during(goodput.COMPILE):
      traced = run.trace_step()
  with held_folder(folder):
    with held() as later:
      note = workdirs.check_config(folder, config, run.task, allow_schedule_change=allow_schedule_change)
      restored = run_files.restore(folder, run)
      if restored is None and params is None:
        params = initial_params(run)
    step = restored.step if restored else 0
    processes.agreed('workdir', lambda: describe_run(folder, config, run, step) if processes.is_first() else None)
    log.info(about(run))
    if run.mesh.size > 1:
      log.info(run.about_mesh())
    for record in (*records, *later):
      log.handle(record)
    if note:
      log.info(note)
    say_left_out(run.model, run.task)
    trace = None if profile is None else Profile(folder / 'profile', *profile)
    with accounted(ledger, folder, step), run_files.open_files(folder, run, restored, config) as opened:
      return fit(run, traced, opened, ledger, params, trace, show=show and processes.is_first())


def build(config: Any, folder: pathlib.Path, profile: tuple[int, int] | None = None) -> tuple[Run, Params | None]:
  """Return the run, and the parameters that it starts from where a file has them. Raises InputError."""
  kinds.check(folder, kinds.RUN)
  run = build_run(config, workdir=folder)
  profiling.check(profile, run.settings.steps)
  writers.check_installed(run.settings.writers)
  return run, None if has_checkpoints(folder) else initial_params(run)


def fingerprint(config: Any) -> dict[str, Any]:
  """Return what must be the same in all processes of a run."""
  return workdirs.flat(config) | {'seqmodels': seqmodels.__version__, 'jax': jax.__version__}


@contextlib.contextmanager
def held_folder(folder: pathlib.Path) -> Iterator[None]:
  """Hold the lock of the folder in the first process, for all of them."""
  with contextlib.ExitStack() as stack:
    processes.agreed(
      'workdir', lambda: stack.enter_context(files.Lock(folder, kinds.RUN)) if processes.is_first() else None
    )
    yield


def describe_run(folder: pathlib.Path, config: Any, run: Run, step: int) -> None:
  workdirs.write_config(folder, config)
  workdirs.write_kept(folder, run.task)
  workdirs.write_provenance(folder, run.model, run.task, step)


def has_checkpoints(folder: pathlib.Path) -> bool:
  return (folder / 'checkpoints').is_dir()


def initial_params(run: Run) -> Params | None:
  """Return the parameters of the file that a new run starts from, if it names one. Raises InputError."""
  path = run.settings.init_from
  return exports.read_params(path, run.model) if path else None


@contextlib.contextmanager
def accounted(ledger: Ledger, folder: pathlib.Path, step: int) -> Iterator[None]:
  """Write the ledger of a process that begins at `step`, and at the end log the goodput of the run."""
  if not processes.is_first():
    yield
    return
  ledger.open(folder, step)
  try:
    yield
  except BaseException:
    with contextlib.suppress(files.WriteError):  # the first error says what is wrong
      ledger.close()
    raise
  else:
    ledger.close()
  finally:
    log.info(goodput.line(goodput.read(folder / goodput.NAME)))


def fit(
  run: Run,
  traced: Any,
  opened: Files,
  ledger: Ledger,
  params: Params | None,
  profile: Profile | None,
  *,
  show: bool,
) -> dict[str, float]:
  """Compile the step, place the state, and train to the end. params: to start from, in place of drawn ones.

  show: whether progress is logged.
  """
  batches, restored = run.batches(), opened.restored
  if restored:
    batches.set_state(restored.extra['batches'])
    log.info('going on from step %d', restored.step)
  with ledger.during(goodput.COMPILE), ThreadPoolExecutor(1) as pool:
    compiling = pool.submit(run.programs, traced)  # beside the initialisation, which is compiled too
    state = run.place(restored.tree) if restored else run.initial_state()
    if params is not None and not restored:
      state = run.place(state._replace(params=params))
    programs = compiling.result()
  evaluations = possible_evaluations(run.model, run.task)
  with Stop() as stop:
    training = loop.Loop(
      run,
      programs,
      state,
      batches,
      opened,
      evaluations=evaluations,
      stop=stop,
      ledger=ledger,
      profile=profile,
      show=show,
    )
    return training.fit()


def about(run: Run) -> str:
  """Return the first line of a run."""
  figures = sizing.summary(run.model, run.settings.segment, run.settings.memory)
  return (
    f'{device_line()} | {figures["parameters"]:,} parameters, {figures["non_embedding"]:,} non-embedding'
    f' | {figures["flops_per_token"]:,.0f} training FLOPs per token | {figures["state_bytes"]:,} bytes of state'
    ' per sequence'
  )
