"""--mode=compare: run experiments, judge their records, write the pages."""

import importlib
import pathlib
import sys
from collections.abc import Collection, Sequence
from typing import Any

import configs.architectures
from comparison import articles, records
from comparison.claims import judging
from comparison.claims.article import Article
from configs import catalogue, named
from seqmodels.errors import InputError, one_line, shown, unknown
from training import files, kinds


def main(
  scale: str,
  workdir: str,
  claims: Sequence[int] | None = None,
  experiments: Sequence[str] | None = None,
  shard: tuple[int, int] = (0, 1),
  architectures: Sequence[str] = (),
  tasks: Sequence[str] = (),
  article: str = articles.FIRST,
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
    article: its name, or a folder, which is executed as Python.

  Raises:
    InputError: a name or number that does not exist, or architectures that no chosen experiment takes. Nothing is
      written.
  """
  judged = chosen_article(article)
  names = requested(scale, experiments, architectures, tasks, judged)
  numbers = chosen_claims(claims, judged)
  chosen = chosen_experiments(names, numbers, judged, architectures, tasks)

  from comparison.experiments import runner  # imports JAX, which takes seconds
  from training import cache

  kinds.check(pathlib.Path(workdir), kinds.COMPARISON)
  folder = writable(workdir)
  cache.counts.start()
  for without, words in (
    ([e.name for e in chosen if architectures and not e.takes_architectures], 'measured with their own architectures'),
    ([e.name for e in chosen if not e.cells(scale)], f'nothing to measure at --scale={scale}'),
  ):
    if without:
      print(f'{", ".join(without)}: {words}')
  try:
    rules = {experiment.name: judging.marks_of(experiment.name, judged.claims.values()) for experiment in chosen}
    tally = runner.run(
      chosen,
      scale,  # type: ignore[arg-type]
      folder,
      shard,
      architectures=architectures,
      rules=rules,
      article=mark(judged),
      brought=tuple(judged.brings),
    )
  except files.WriteError as error:
    sys.exit(f'error: {error}; the cells measured before are kept')
  print(f'{tally.run} cells run, {tally.skipped} were finished already, {tally.failed} failed')
  publish(folder, numbers, judged, scale)
  leave_if_all_failed(tally, 'cells')


def requested(
  scale: str,
  experiments: Sequence[str] | None,
  architectures: Sequence[str],
  tasks: Sequence[str],
  article: Article,
) -> Sequence[str] | None:
  """Return the names of the experiments that are asked for; None: those that the claims need.

  Raises InputError for a name that does not exist. Imports no JAX.
  """
  if scale not in catalogue.scales():
    raise unknown('--scale', scale, catalogue.scales())
  if experiments is not None and not experiments:
    raise InputError('--experiments is empty; name at least one, or leave it out')
  names = (*catalogue.experiment_summaries(), *article.brings)
  for name in experiments or ():
    if name not in names:
      raise unknown('--experiments', name, names)
  for name in architectures:
    configs.architectures.architecture(name)
  for name in tasks:
    named.config(name, 'lstm', 'smoke')
  if tasks and 'task_quality' not in (experiments or ('task_quality',)):
    raise InputError(f'--tasks has no effect on {", ".join(experiments or ())}; add task_quality to --experiments')
  return ['task_quality'] if tasks and experiments is None else experiments


def chosen_experiments(
  names: Sequence[str] | None,
  numbers: Sequence[int],
  article: Article,
  architectures: Sequence[str],
  tasks: Sequence[str],
) -> list[Any]:
  """Return the experiments of these names (None: those that the claims need), in their order. Imports JAX.

  Raises InputError for architectures that none of them takes.
  """
  from comparison.experiments import EXPERIMENTS, variants
  from comparison.experiments.task_quality import TaskQuality

  if not tasks:  # a task may be read both ways, or have a source: what it needs is checked when a model is built
    variants.check(architectures)
  claimed = [article.claims[number] for number in numbers]
  needed = set(names or ()) or {name for claim in claimed for name in (*claim.experiments, *claim.beside)}
  known = EXPERIMENTS | brought(article, needed) | ({'task_quality': TaskQuality(tasks)} if tasks else {})
  chosen = [experiment for name, experiment in known.items() if name in needed]
  fixed = [experiment.name for experiment in chosen if architectures and not experiment.takes_architectures]
  if fixed and (names or len(fixed) == len(chosen)):
    takers = ', '.join(sorted(name for name, experiment in known.items() if experiment.takes_architectures))
    raise InputError(f'--architectures has no effect on {", ".join(fixed)}; experiments that take them: {takers}')
  return chosen


def report(
  workdir: str, claims: Sequence[int] | None = None, kind: str | None = None, article: str = articles.FIRST
) -> None:
  """Write the verdicts and pages of a workdir again, from its records alone."""
  folder, judged = pathlib.Path(workdir), chosen_article(article)
  if not of_article(read_all(folder), judged):
    raise InputError(
      f'--workdir={workdir} holds no records{" of this article" if judged.option else ""}; run --mode=compare '
      f'--scale=laptop{judged.option} --workdir={workdir} first'
    )
  publish(writable(workdir), chosen_claims(claims, judged), judged, kind=kind)


def chosen_article(name_or_path: str) -> Article:
  """Return the article; InputError unless it is one whose claims need experiments that exist."""
  return articles.load(name_or_path, tuple(catalogue.experiment_summaries()))


def mark(article: Article) -> str:
  """Return what the rows measured for an article keep of it: nothing for the first one."""
  return '' if article.name == articles.FIRST else article.name


def of_article(rows: Sequence[records.Row], article: Article) -> list[records.Row]:
  """Return the rows that the article judges."""
  return records.of_article(rows, mark(article), article.experiments, article.brings)


def brought(article: Article, needed: Collection[str]) -> dict[str, Any]:
  """Return the experiments that an article brings and that are needed: name → experiment. Imports JAX."""
  from comparison.experiments.base import Experiment

  found = {}
  for name, place in article.brings.items():
    if name in needed:
      module, _, kind = place.partition(':')
      try:
        experiment = getattr(importlib.import_module(f'{article.package}.{module}'), kind)()
      except Exception as error:
        raise InputError(f'EXPERIMENTS: {name}={shown(place)}: {type(error).__name__}: {one_line(error)}') from error
      if not isinstance(experiment, Experiment) or experiment.name != name:
        raise InputError(f'EXPERIMENTS: {name}={shown(place)} must be an Experiment whose name is {name}')
      found[name] = experiment
  return found


def chosen_claims(claims: Sequence[int] | None, article: Article) -> list[int]:
  """Return the numbers of the claims to judge, sorted; InputError for one that has no experiment."""
  if claims is not None and not claims:
    raise InputError('--claims is empty; name at least one, or leave it out')
  for number in claims or ():
    if number not in article.claims:
      allowed = ', '.join(map(str, article.claims))
      raise InputError(f'--claims={shown(number)} has no experiment; allowed: {allowed}')
  return sorted(set(claims or article.claims))


def writable(workdir: str) -> pathlib.Path:
  """Return the folder, made if it was missing; InputError if it cannot be written."""
  folder = pathlib.Path(workdir)
  files.check_writable('workdir', workdir, folder)
  with files.writing(f'--workdir={workdir}'):
    folder.mkdir(parents=True, exist_ok=True)
  return folder


def leave_if_all_failed(tally: Any, units: str) -> None:
  """Exit with 1 where all cells of a command have failed and none had finished before."""
  if tally.failed and not (tally.run or tally.skipped):
    sys.exit(f'error: all {tally.failed} {units} failed; their lines above say why')


def read_all(folder: pathlib.Path) -> list[records.Row]:
  """Return the records of a comparison. Raises InputError for a file that cannot be read."""
  try:
    return records.read_all(folder)
  except OSError as error:
    raise InputError(f'{error.filename or folder} cannot be read: {error.strerror}') from error


def publish(
  folder: pathlib.Path, numbers: Sequence[int], article: Article, scale: str | None = None, kind: str | None = None
) -> None:
  """Judge the claims, write report.md and report.html or the tables as `kind`, and print the verdicts."""
  from comparison import report as pages  # imports matplotlib

  rows = records.select(of_article(read_all(folder), article), scale)
  page = pages.assemble(rows, numbers, article)
  print(pages.verdict_table(page) + '\n')
  try:
    written = _written(page, folder, kind)
  except OSError as error:
    why = 'there is a file of that name' if isinstance(error, FileExistsError) else error.strerror
    sys.exit(f'error: {error.filename or folder} cannot be written: {why}; the records are kept')
  for path in written:
    print(path.resolve())


def _written(page: Any, folder: pathlib.Path, kind: str | None) -> list[pathlib.Path]:
  """Write what `publish` says, and return the files to look at. Raises OSError."""
  from comparison import report as pages

  if kind in ('latex', 'csv', 'json'):
    tables = pages.exports.write(page, folder, kind)
    return [*tables, *(pages.exports.write_figures(page, folder) if kind == 'latex' else ())]
  paths = pages.write(page, folder)
  return [paths.markdown if kind == 'markdown' else paths.html]
