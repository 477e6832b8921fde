"""--mode=compare and --mode=report: experiments → records → verdicts → pages. It sequences, it computes nothing."""

import os
import pathlib
import sys
from collections.abc import Sequence

from comparison import records
from comparison import report as pages
from comparison.claims import CLAIMS
from seqmodels.errors import InputError, unknown


def main(
  scale: str,
  workdir: str,
  claims: Sequence[int] | None = None,
  experiments: Sequence[str] | None = None,
  shard: tuple[int, int] = (0, 1),
  architectures: Sequence[str] = (),
) -> None:
  """Runs the experiments that the chosen claims need and are not finished, then judges and writes the pages.

  claims: numbers; None: all. experiments: names, instead of those that the claims need. shard (i, n): every n-th cell.
  architectures: names of configs/architectures.py or of mixers, in place of each experiment's own, where it trains or
  times architectures. InputError, before anything is written, for a name or number that does not exist.
  """
  from comparison.experiments import EXPERIMENTS, runner, subjects  # JAX starts here
  from comparison.experiments.base import SCALES
  from training.files import WriteError

  if scale not in SCALES:
    raise unknown('--scale', scale, SCALES)
  for name in experiments or ():
    if name not in EXPERIMENTS:
      raise unknown('--experiments', name, EXPERIMENTS)
  subjects.check(architectures)
  numbers = chosen_claims(claims)
  chosen = [CLAIMS[number] for number in numbers]
  needed = set(experiments or ()) or {name for claim in chosen for name in (*claim.experiments, *claim.beside)}
  folder = writable(workdir)
  try:
    tally = runner.run(
      [e for name, e in EXPERIMENTS.items() if name in needed], scale, folder, shard, architectures=architectures
    )
  except WriteError as error:
    sys.exit(f'error: {error}; the cells measured before are kept')
  print(f'{tally.run} cells run, {tally.skipped} were finished already, {tally.failed} failed')
  publish(folder, numbers, scale)


def report(workdir: str, claims: Sequence[int] | None = None) -> None:
  """Verdicts and pages again, from the records of a workdir alone."""
  folder = pathlib.Path(workdir)
  if not records.read_all(folder):
    raise InputError(
      f'--workdir={workdir} holds no records; run --mode=compare --scale=laptop --workdir={workdir} first'
    )
  publish(writable(workdir), chosen_claims(claims))


def chosen_claims(claims: Sequence[int] | None) -> list[int]:
  """The numbers of the claims to judge; InputError for one that has no experiment."""
  for number in claims or ():
    if number not in CLAIMS:
      raise InputError(f'--claims={number} has no experiment; allowed: {", ".join(map(str, CLAIMS))}')
  return sorted(set(claims or CLAIMS))


def writable(workdir: str) -> pathlib.Path:
  """The folder, made if it was missing; InputError if it cannot be written."""
  folder = pathlib.Path(workdir)
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    reason = 'it is a file' if isinstance(error, FileExistsError) else error.strerror
    raise InputError(f'--workdir={workdir} cannot be written: {reason}') from error
  if not os.access(folder, os.W_OK):
    raise InputError(f'--workdir={workdir} cannot be written: permission denied')
  return folder


def publish(folder: pathlib.Path, numbers: Sequence[int], scale: str | None = None) -> None:
  """Judges the claims, writes report.md and report.html, and prints the verdicts."""
  rows = records.select(records.read_all(folder), scale)
  page = pages.assemble(rows, numbers)
  paths = pages.write(page, folder)
  print(pages.verdict_table(page))
  print(f'\n{paths.html.resolve()}')
