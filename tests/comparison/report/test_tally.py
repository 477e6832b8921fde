"""One count of verdicts on all pages, which adds up to the statements."""

import re

import pytest

from comparison import report
from comparison.articles.transformer_vs_rnn.ledger import STATEMENTS
from comparison.report import html, markdown, readme, tally
from tests.comparison.claims.test_judges import ALL
from tests.comparison.report.test_report import IDENTITY


@pytest.fixture(scope='module')
def page():
  few = [row for row in ALL if row['experiment'] in ('training_time', 'forward_latency', 'decoding', 'state_bytes')]
  return report.assemble([{**IDENTITY, 'time': 4e9, **row} for row in few])


def test_the_counts_add_up_to_the_statements(page):
  found = tally.count(page)
  assert found.every == len(STATEMENTS)
  assert {'GPUs', 'phones'} <= set(found.elsewhere)
  assert min(found.judged, found.missing) > 0


def test_the_boxes_of_html_are_the_sentence_of_markdown_and_readme(page, monkeypatch, tmp_path):
  found = tally.count(page)
  boxes = {text: int(count) for count, text in re.findall(r'<b>(\d+)</b>([^<]*)<', html.counts(page))}
  assert sum(boxes.values()) == found.every
  assert boxes['not measured here'] == found.missing
  assert boxes['about GPUs or phones, with a number from this device'] == len(found.elsewhere)
  sentence = tally.sentence(page)
  assert f'{len(found.elsewhere)} more speak of GPUs or phones' in sentence
  assert f'{found.missing} have no measurement here.' in sentence
  assert sentence in markdown.render(page, {})
  (tmp_path / 'overnight').mkdir()
  monkeypatch.setattr(readme, 'assembled', lambda folder: page)
  assert sentence in readme.details([tmp_path])
  assert sentence in readme.with_results(f'{readme.BEGIN}{readme.END}', [tmp_path])


def test_a_page_of_some_claims_counts_these_alone(page):
  few = report.assemble(page.records, [27, 28])
  assert tally.count(few).every == 2
