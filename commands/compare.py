"""--mode=compare: run experiments, judge their records, write the pages."""

import os
import pathlib
import sys
from collections.abc import Sequence

import configs.architectures
from comparison import records
from comparison.claims import CLAIMS, judging
from configs import catalogue
from seqmodels.errors import InputError, shown, unknown


def main(
  scale: str,
  workdir: str,
  claims: Sequence[int] | None = None,
  experiments: Sequence[str] | None = None,
  shard: tuple[int, int] = (0, 1),
  architectures: Sequence[str] = (),
  tasks: Sequence[str] = (),
) -> None:
  """Run the experiments that the chosen claims need and that are not finished, then judge and write the pages.

  Args:
    scale: smoke, laptop, overnight or accelerator.
    workdir: folder of the records and pages.
    claims: numbers; None: all.
    experiments: names, instead of those that the claims need.
    shard: (i, n): every n-th cell, beginning with the i-th.
    architectures: names of configs/architectures.py or of mixers, beside an LSTM and a Transformer, in place of each
      experiment's own.
    tasks: of `task_quality`, which is then the only experiment unless others are named.

  Raises:
    InputError: a name or number that does not exist, or architectures that no chosen experiment takes. Nothing is
      written.
  """
  if scale not in catalogue.scales():
    raise unknown('--scale', scale, catalogue.scales())
  if experiments is not None and not experiments:
    raise InputError('--experiments is empty; name at least one, or leave it out')
  names = catalogue.experiment_summaries()
  for name in experiments or ():
    if name not in names:
      raise unknown('--experiments', name, names)
  for name in architectures:
    configs.architectures.architecture(name)
  for name in tasks:
    catalogue.task_options(name)
  if tasks and 'task_quality' not in (experiments or ('task_quality',)):
    raise InputError(f'--tasks has no effect on {", ".join(experiments or ())}; add task_quality to --experiments')
  if tasks and experiments is None:
    experiments = ['task_quality']
  numbers = chosen_claims(claims)

  from comparison.experiments import EXPERIMENTS, runner, variants  # imports JAX, which takes seconds
  from comparison.experiments.task_quality import TaskQuality
  from training.files import WriteError

  if not tasks:  # a task may be read both ways, or have a source: what it needs is checked when a model is built
    variants.check(architectures)
  needed = set(experiments or ()) or {e for n in numbers for e in (*CLAIMS[n].experiments, *CLAIMS[n].beside)}
  known = EXPERIMENTS | ({'task_quality': TaskQuality(tasks)} if tasks else {})
  chosen = [experiment for name, experiment in known.items() if name in needed]
  fixed = [experiment.name for experiment in chosen if architectures and not experiment.takes_architectures]
  if fixed and (experiments or len(fixed) == len(chosen)):
    takers = ', '.join(sorted(name for name, experiment in EXPERIMENTS.items() if experiment.takes_architectures))
    raise InputError(f'--architectures has no effect on {", ".join(fixed)}; experiments that take them: {takers}')
  folder = writable(workdir)
  if fixed:
    print(f'{", ".join(fixed)}: measured with their own architectures')
  empty = [experiment.name for experiment in chosen if not experiment.cells(scale)]  # type: ignore[arg-type]
  if empty:
    print(f'{", ".join(empty)}: nothing to measure at --scale={scale}')
  try:
    rules = {experiment.name: judging.marks_of(experiment.name, CLAIMS.values()) for experiment in chosen}
    tally = runner.run(chosen, scale, folder, shard, architectures=architectures, rules=rules)  # type: ignore[arg-type]
  except WriteError as error:
    sys.exit(f'error: {error}; the cells measured before are kept')
  print(f'{tally.run} cells run, {tally.skipped} were finished already, {tally.failed} failed')
  publish(folder, numbers, scale)


def report(workdir: str, claims: Sequence[int] | None = None, kind: str | None = None) -> None:
  """Write the verdicts and pages of a workdir again, from its records alone."""
  folder = pathlib.Path(workdir)
  if not records.read_all(folder):
    raise InputError(
      f'--workdir={workdir} holds no records; run --mode=compare --scale=laptop --workdir={workdir} first'
    )
  publish(writable(workdir), chosen_claims(claims), kind=kind)


def chosen_claims(claims: Sequence[int] | None) -> list[int]:
  """Return the numbers of the claims to judge, sorted; InputError for one that has no experiment."""
  if claims is not None and not claims:
    raise InputError('--claims is empty; name at least one, or leave it out')
  for number in claims or ():
    if number not in CLAIMS:
      raise InputError(f'--claims={shown(number)} has no experiment; allowed: {", ".join(map(str, CLAIMS))}')
  return sorted(set(claims or CLAIMS))


def writable(workdir: str) -> pathlib.Path:
  """Return the folder, made if it was missing; InputError if it cannot be written."""
  folder = pathlib.Path(workdir)
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    reason = 'it is a file' if isinstance(error, FileExistsError) else error.strerror
    raise InputError(f'--workdir={workdir} cannot be written: {reason}') from error
  if not os.access(folder, os.W_OK):
    raise InputError(f'--workdir={workdir} cannot be written: permission denied')
  return folder


def publish(folder: pathlib.Path, numbers: Sequence[int], scale: str | None = None, kind: str | None = None) -> None:
  """Judge the claims, write report.md and report.html or the tables as `kind`, and print the verdicts."""
  from comparison import report as pages  # imports matplotlib

  rows = records.select(records.read_all(folder), scale)
  page = pages.assemble(rows, numbers)
  print(pages.verdict_table(page) + '\n')
  if kind in ('latex', 'csv', 'json'):
    for path in pages.exports.write(page, folder, kind):
      print(path.resolve())
    return
  paths = pages.write(page, folder)
  print((paths.markdown if kind == 'markdown' else paths.html).resolve())
