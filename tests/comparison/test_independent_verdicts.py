"""Every verdict equals the one that is computed again from the records by code that shares nothing with this project's.

`tests/independent/verdicts/` holds that code. Folders of records that are added to `results/` are compared as they are.
"""

import ast
import dataclasses
import pathlib

import numpy as np
import pytest

from comparison import records
from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.claims import judging
from tests.comparison.claims.test_judges import CASES, EARLIER
from tests.independent import verdicts
from tests.independent.verdicts import reading
from tests.independent.verdicts.differences import ALLOWED, largest
from tests.independent.verdicts.statements import STATEMENTS, verdict

RESULTS = pathlib.Path(__file__).parents[2] / 'results'
FOLDERS = [
  path for path in sorted({path.parent for path in RESULTS.rglob('records*.jsonl')}) if reading.comparison(path)
]
UNCOVERED = 'claims with a verdict that tests/independent/verdicts/statements.py does not have'


def kept(number):
  """Return version → judge, of the rules of a claim that have one."""
  return {rule.version: rule.judge for rule in CLAIMS[number].rules if rule.judge is not None}


def compared(rows):
  """Return (claim, version) → how far the project's judge and the independent rule are apart on some rows."""
  return {
    (number, version): largest(kept(number)[version](rows), judge(rows))
    for number, statement in STATEMENTS.items()
    for version, _, judge in statement.rules
  }


def test_there_are_committed_comparisons():
  assert RESULTS / 'intel-xeon-2-cores' / 'overnight' in FOLDERS


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.relative_to(RESULTS).as_posix())
def test_verdicts_of_committed_records(folder):
  theirs, ours = records.select(records.read_all(folder, quiet=True)), reading.comparison(folder)
  assert len(theirs) == len(ours)
  judged = {number: judging.judge(claim, theirs) for number, claim in CLAIMS.items()}
  measured = {number for number, found in judged.items() if found.number is not None}
  assert measured <= set(STATEMENTS), f'{UNCOVERED}: {sorted(measured - set(STATEMENTS))}'
  for number in STATEMENTS:
    outcome = verdict(number, ours)
    assert largest(judged[number], outcome) <= ALLOWED, (number, judged[number], outcome)
    assert outcome.rule in (judged[number].rule, 0), number


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.relative_to(RESULTS).as_posix())
def test_all_rules_agree_on_committed_records(folder):
  """Those that did not bind the records too, since pages show what they would say."""
  apart = compared(reading.comparison(folder))
  assert {rule: number for rule, number in apart.items() if number > ALLOWED} == {}


@pytest.mark.parametrize('seed', range(3))
def test_all_rules_agree_on_parts_of_the_records(seed):
  """Some cells are missing, and rounds are in another order: other regimes decide, and other backends are the best."""
  draw = np.random.default_rng(seed)
  rows = reading.comparison(RESULTS / 'intel-xeon-2-cores' / 'overnight')
  gone = {cell for cell in reading.values(rows, 'cell') if draw.random() < 0.3}
  some = [shuffled(row, draw) for row in rows if row['cell'] not in gone and draw.random() < 0.9]
  apart = compared(some)
  assert {rule: number for rule, number in apart.items() if number > ALLOWED} == {}


def shuffled(row, draw):
  return {**row, 'samples': draw.permutation(row['samples']).tolist()} if row.get('samples') else row


@pytest.mark.parametrize(('number', 'status', 'rows'), CASES, ids=[f'{n}-{s}' for n, s, _ in CASES])
def test_verdicts_of_invented_records(number, status, rows):
  assert number in STATEMENTS, UNCOVERED
  *_, (version, _, judge) = STATEMENTS[number].rules
  assert judge(rows).status == status
  assert largest(kept(number)[version](rows), judge(rows)) <= ALLOWED


@pytest.mark.parametrize(('number', 'version', 'status', 'rows'), EARLIER)
def test_verdicts_of_earlier_rules(number, version, status, rows):
  judge = {v: rule for v, _, rule in STATEMENTS[number].rules}[version]
  assert judge(rows).status == status
  assert largest(kept(number)[version](rows), judge(rows)) <= ALLOWED


def test_every_claim_has_its_rules_with_their_times():
  assert set(STATEMENTS) == set(CLAIMS), UNCOVERED
  for number, claim in CLAIMS.items():
    statement = STATEMENTS[number]
    assert [rule[:2] for rule in statement.rules] == [(r.version, r.since) for r in claim.rules if r.judge], number
    assert statement.experiments == claim.experiments, number
    assert (statement.about, statement.definition) == (claim.speaks_of, claim.definition), number


def test_a_difference_is_noticed():
  rows = reading.comparison(RESULTS / 'intel-xeon-2-cores' / 'overnight')
  outcome, found = verdict(28, rows), judging.judge(CLAIMS[28], rows)
  assert largest(found, outcome) <= ALLOWED
  assert largest(dataclasses.replace(found, number=found.number * 1.00001), outcome) > ALLOWED
  assert largest(dataclasses.replace(found, high=found.high * 1.00001), outcome) > ALLOWED
  assert largest(dataclasses.replace(found, status='mixed'), outcome) > ALLOWED
  assert largest(dataclasses.replace(found, points=found.points[1:]), outcome) > ALLOWED


def test_nothing_is_imported_from_the_project():
  for path in pathlib.Path(verdicts.__file__).parent.glob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      modules = [node.module or ''] if isinstance(node, ast.ImportFrom) else []
      modules += [name.name for name in node.names] if isinstance(node, ast.Import) else []
      for module in modules:
        assert module.split('.')[0] not in ('comparison', 'seqmodels', 'training', 'tasks', 'benchmarks'), path.name
        assert not module.startswith('tests.') or module.startswith('tests.independent.verdicts'), path.name
