"""The results of the README: the first comparison whole, and of the others the verdicts that it lacks."""

import pytest

from comparison import report
from comparison.report import readme, tally
from tests.comparison.claims.invented import training
from tests.comparison.claims.test_judges import ALL
from tests.comparison.report.test_report import IDENTITY

# The first device measured training steps, the second everything else too.
FEW = training(lambda t: 1e-3 * t, lambda t: 1e-3)


@pytest.fixture(scope='module')
def pages():
  measured = {'first': FEW, 'second': ALL}
  return {
    name: report.assemble([{**IDENTITY, 'time': 2e9, 'device_kind': f'the {name}', **row} for row in rows])
    for name, rows in measured.items()
  }


@pytest.fixture
def folders(pages, tmp_path, monkeypatch):
  monkeypatch.setattr(readme, 'assembled', lambda folder: pages[folder.parent.name])
  for name in pages:
    (tmp_path / name / 'overnight').mkdir(parents=True)
  return [tmp_path / name for name in pages]


def with_verdict(page):
  return {section.claim.number for section in page.sections if section.verdict.status not in tally.OPEN}


def test_what_another_device_adds_has_no_verdict_on_the_first(pages):
  first, second = with_verdict(pages['first']), with_verdict(pages['second'])
  assert {1} <= first < second
  added = readme.beyond(pages['second'], pages['first'])
  assert {section.claim.number for section in added.sections} == second - first
  assert readme.beyond(pages['first'], pages['second']).sections == ()


def test_the_tables_of_other_devices_follow_the_first(pages, folders):
  text = readme.details(folders)
  first, rest = text.split('### Measured on the second, overnight')
  number = max(with_verdict(pages['second']) - with_verdict(pages['first']))
  assert f'| {number} |' in first
  assert rest.count('\n| ') == 2 + len(with_verdict(pages['second']) - with_verdict(pages['first']))
  assert '\n| 1 |' not in rest
  assert 'Measured on the first' not in text
  turned = readme.details(folders[::-1])
  assert '### Measured on the first, overnight' in turned
  assert 'Those without a verdict above' not in turned


def test_the_tally_says_how_many_another_device_adds(pages, folders):
  added = len(with_verdict(pages['second']) - with_verdict(pages['first']))
  assert (
    readme.elsewhere(folders, pages['first']) == f' {added} of those without a verdict here have one on the second.'
  )
  assert readme.elsewhere(folders[:1], pages['first']) == ''
  assert readme.elsewhere(folders[::-1], pages['second']) == ''
