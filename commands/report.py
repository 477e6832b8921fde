"""--mode=report: the verdicts of a comparison, the table of a sweep, or the goodput of a run. Imports no JAX."""

import pathlib

from commands import compare, sweep
from comparison import articles
from seqmodels.errors import InputError, unknown
from training import goodput

FORMATS = ('html', 'markdown', 'latex', 'csv', 'json')


def report(workdir: str, format: str | None = None, article: str | None = None) -> None:
  """Write the pages of a comparison's workdir again, or the tables of a sweep's; of a run's workdir, print its goodput.

  format: html or markdown (None: both), or the tables as latex, csv or json. article: the name of the one that is
  judged, or a folder, which is executed as Python; None: the first.

  Raises InputError for a folder that holds neither records nor a ledger, and for another format.
  """
  if format is not None and format not in FORMATS:
    raise unknown('--format', format, FORMATS)
  folder = pathlib.Path(workdir)
  ledger = folder / goodput.NAME
  if (folder / sweep.SPACE).exists():
    if article:
      raise InputError(f'--article={article} has no effect: --workdir={workdir} is of a sweep, not of a comparison')
    sweep.report(folder, format)
  elif compare.read_all(folder):
    compare.report(workdir, kind=format, article=article or articles.FIRST)
  elif ledger.exists() and (given := f'--format={format}' if format else f'--article={article}' if article else ''):
    raise InputError(f'{given} has no effect: --workdir={workdir} is of a training run, not of a comparison')
  elif ledger.exists():
    print(goodput.table(goodput.read(ledger)))
  elif (folder / 'config.json').exists():
    raise InputError(f'--workdir={workdir} is of a run without {goodput.NAME}: an older version trained it')
  else:
    compare.report(workdir)  # raises: there are no records
