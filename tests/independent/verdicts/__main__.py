"""Print the verdicts of a folder of records: `python -m tests.independent.verdicts FOLDER`."""

import pathlib
import sys

from tests.independent.verdicts import reading
from tests.independent.verdicts.statements import STATEMENTS, verdict


def main(folder: str) -> None:
  rows = reading.comparison(pathlib.Path(folder))
  for number in STATEMENTS:
    outcome = verdict(number, rows)
    if outcome.number is not None:
      here = f' (here: {outcome.here})' if outcome.here else ''
      value, low, high = outcome.number
      print(f'{number:>2}  rule {outcome.rule}  {outcome.status}{here}  {value:.6g} [{low:.6g}, {high:.6g}]')


if __name__ == '__main__':
  main(sys.argv[1])
