"""--mode=report: the verdicts of a comparison, or where the time of a training run went. Imports no JAX."""

import pathlib

from commands import compare
from comparison import records
from seqmodels.errors import InputError
from training import goodput


def report(workdir: str) -> None:
  """Write the pages of a comparison's workdir again; of a run's workdir, print its goodput.

  Raises InputError for a folder that holds neither records nor a ledger.
  """
  folder = pathlib.Path(workdir)
  ledger = folder / goodput.NAME
  if records.read_all(folder):
    compare.report(workdir)
  elif ledger.exists():
    print(goodput.table(goodput.read(ledger)))
  elif (folder / 'config.json').exists():
    raise InputError(f'--workdir={workdir} is of a run without {goodput.NAME}: an older version trained it')
  else:
    compare.report(workdir)  # raises: there are no records
