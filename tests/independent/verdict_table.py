"""Table of the claims whose verdicts are computed again: largest differences on committed and on invented records."""

import pathlib
from collections.abc import Iterable

from comparison.articles.transformer_vs_rnn import CLAIMS
from tests.comparison.claims.test_judges import CASES, EARLIER
from tests.independent.verdicts import reading
from tests.independent.verdicts.differences import ALLOWED, largest
from tests.independent.verdicts.statements import STATEMENTS

RESULTS = pathlib.Path(__file__).parents[2] / 'results'


def lines() -> list[str]:
  """Return the section of the documentation."""
  folders = {path.parent for path in RESULTS.rglob('records*.jsonl')}
  committed = {folder: rows for folder in sorted(folders) if (rows := reading.comparison(folder))}
  names = ', '.join(f'`results/{folder.relative_to(RESULTS).as_posix()}`' for folder in committed)
  found = [
    '',
    '## Verdicts',
    '',
    "Every claim's number, interval and status, computed again from the records by NumPy and SciPy, without anything",
    'of `comparison`: the selection of records, the best backends, the statistics and all rules with their times are',
    'written a second time in `tests/independent/verdicts/`. Regimes are the numbers that verdicts are made of.',
    f'Committed records: {names}. Differences are relative; {ALLOWED:.0e} is allowed.',
    '`python -m tests.independent.verdicts FOLDER` prints the verdicts of other records.',
    '',
    '| Claim | Rules | Regimes, committed records | Largest difference | Invented records | Largest difference |',
    '|---|---|---|---|---|---|',
  ]
  for number, statement in STATEMENTS.items():
    rules = [version for version, _, _ in statement.rules]
    last = rules[-1]
    invented = [(last, rows) for claim, _, rows in CASES if claim == number]
    invented += [(version, rows) for claim, version, _, rows in EARLIER if claim == number]
    real = [(version, rows) for rows in committed.values() for version in rules]
    columns = ', '.join(map(str, rules)), *_differences(number, real), len(invented), _differences(number, invented)[1]
    found.append(f'| {number} | ' + ' | '.join(map(str, columns)) + ' |')
  return found


def _differences(number: int, cases: Iterable[tuple[int, list[reading.Row]]]) -> tuple[str, str]:
  """Return how many regimes there are, and the largest difference; dashes where nothing was measured."""
  project = {rule.version: rule.judge for rule in CLAIMS[number].rules}
  judges = {version: judge for version, _, judge in STATEMENTS[number].rules}
  pairs = [(project[version](rows), judges[version](rows)) for version, rows in cases]
  measured = [(verdict, outcome) for verdict, outcome in pairs if verdict.number is not None]
  if not measured:
    return '–', '–'
  regimes = sum(max(1, len(outcome.regimes)) for _, outcome in measured)
  return str(regimes), f'{max(largest(verdict, outcome) for verdict, outcome in measured):.1e}'


if __name__ == '__main__':
  print('\n'.join(lines()))
