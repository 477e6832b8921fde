"""Whatever is done to one row of the records, a page is made of the others."""

import json
import math
import random

from comparison import records, report
from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.report import across_tasks, sweep
from tests.comparison.claims.test_judges import ALL
from tests.comparison.report import test_across_tasks, test_sweep
from tests.comparison.report.test_report import IDENTITY

VALUES = [None, 'text', '', [], {}, True, -1, 0, 1e300, math.nan, math.inf, 10**400, [1, 'a'], '1', {'a': 1}]
LINES = ['{"a":', '[]', 'null', '3', '"x"', '{}', '{"metric": 3}', '{"metric": "m"}', '\0\0', '[' * 50_000]


def changed(rows, draws):
  """Return the lines of the rows, one of them changed."""
  number = draws.randrange(len(rows))
  row = dict(rows[number])
  column = draws.choice([*row, 'zzz'])
  if draws.random() < 0.3:
    row.pop(column, None)
  else:
    row[column] = draws.choice(VALUES)
  lines = [json.dumps(r) for r in rows]
  lines[number] = json.dumps(row) if draws.random() < 0.8 else draws.choice(LINES)
  return '\n'.join(lines) + '\n'


def whole(rows):
  return [{**IDENTITY, 'cell': str(i), 'content': str(i), **row, 'rows': 1} for i, row in enumerate(rows)]


def read(folder, text):
  (folder / 'records.jsonl').write_text(text)
  found = records.select(records.read_all(folder, quiet=True))
  assert found
  return found


def test_pages_are_made_whatever_a_row_holds(tmp_path):
  """Of one experiment's rows at a time, with the claims that read them: judging all claims takes seconds."""
  draws = random.Random(0)
  experiments = sorted({row['experiment'] for row in ALL})
  for name in draws.sample(experiments, 12):
    rows = whole([row for row in ALL if row['experiment'] == name])
    numbers = [number for number, claim in CLAIMS.items() if name in claim.experiments]
    report.assemble(read(tmp_path, changed(rows, draws)), numbers)


def test_tables_are_made_whatever_a_row_holds(tmp_path):
  draws = random.Random(1)
  tasks, trials = whole(test_across_tasks.rows()), whole(test_sweep.trials(test_sweep.bowl))
  for row in trials:
    row |= {'version': 1}
  for _ in range(40):
    across_tasks.tables(read(tmp_path, changed(tasks, draws)))
    found = sweep.summary(read(tmp_path, changed(trials, draws)), test_sweep.space(27, *test_sweep.AXES))
    assert found.settings
