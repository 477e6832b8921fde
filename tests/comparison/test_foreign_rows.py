"""Whatever is done to one row of the records, a page is made of the others."""

import json
import math
import random

from comparison import records, report
from tests.comparison.claims.test_judges import ALL
from tests.comparison.report.test_report import IDENTITY

VALUES = [None, 'text', '', [], {}, True, -1, 0, 1e300, math.nan, math.inf, 10**400, [1, 'a'], '1', {'a': 1}]
LINES = ['{"a":', '[]', 'null', '3', '"x"', '{}', '{"metric": 3}', '{"metric": "m"}', '\0\0', '[' * 50_000]


def test_pages_are_made_whatever_a_row_holds(tmp_path):
  draws = random.Random(0)
  rows = [{**IDENTITY, 'cell': str(i), 'content': str(i), 'rows': 1, **row} for i, row in enumerate(ALL)]
  for _ in range(12):
    number = draws.randrange(len(rows))
    row = dict(rows[number])
    column = draws.choice([*row, 'zzz'])
    if draws.random() < 0.3:
      row.pop(column, None)
    else:
      row[column] = draws.choice(VALUES)
    changed = [json.dumps(r) for r in rows]
    changed[number] = json.dumps(row) if draws.random() < 0.8 else draws.choice(LINES)
    (tmp_path / 'records.jsonl').write_text('\n'.join(changed) + '\n')
    found = records.select(records.read_all(tmp_path, quiet=True))
    assert found
    report.assemble(found)
