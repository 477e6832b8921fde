"""The list of what was not measured: every claim once, with what it needs and the command that measures it."""

import re

import pytest

from comparison import articles, report
from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.report import exports, html, markdown, readme
from tests.comparison.claims.test_judges import ALL
from tests.comparison.report.test_report import IDENTITY


def page(experiments, scale='overnight', claims=None):
  rows = [{**IDENTITY, 'time': 4e9, 'scale': scale, **row} for row in ALL if row['experiment'] in experiments]
  return report.assemble(rows, claims)


@pytest.fixture(scope='module')
def some():
  return page(('training_time', 'decoding'))


def listed(found):
  return {int(number): (needs, command) for number, _, needs, command in found.missing.rows}


def test_every_claim_without_a_measurement_is_listed_once_on_every_page(some, monkeypatch, tmp_path):
  rows = listed(some)
  assert set(rows) == {s.claim.number for s in some.sections if s.verdict.status == 'not measured here'}
  assert set(rows) >= {7, 8, 3, 49}
  (tmp_path / 'overnight').mkdir()
  monkeypatch.setattr(readme, 'assembled', lambda folder: some)
  text, shown = markdown.render(some, {}), re.sub('<pre>.*?</pre>', '', html.render(some, {}))
  shown = re.sub(r'href="data:[^"]*"', '', shown)
  for one in (text, shown, readme.details([tmp_path]), report.verdict_table(some)):
    assert one.count('--experiments=recall_capacity --workdir=W') == sum(
      '=recall_capacity ' in c for _, c in rows.values()
    )
    assert one.count('needs the experiment recall_capacity') == sum('recall_capacity' in n for n, _ in rows.values())
  assert 'Not measured on' not in text
  assert exports.as_json(some)['verdicts'][6]['needs'] == {
    'what': 'needs the experiment recall_capacity', 'command': rows[7][1],
  }  # fmt: skip


def test_a_need_has_its_command():
  found = listed(page(('training_time', 'decoding'), claims=[2, 7, 43, 49]))
  start = 'python main.py --mode=compare'
  assert found == {
    2: ('not measured here: needs a GPU', f'{start} --scale=accelerator --experiments=training_time --workdir=W'),
    7: (
      'not measured here: needs the experiment recall_capacity',
      f'{start} --scale=overnight --experiments=recall_capacity --workdir=W',
    ),
    43: (
      'not measured here: needs the experiment sample_models',
      f'{start} --scale=overnight --experiments=sample_models --workdir=W',
    ),
    49: ('not measured here: needs a phone, on which this program does not run', '–'),
  }


def test_what_is_too_small_is_measured_at_a_larger_scale():
  rows = [row for row in ALL if row['experiment'] == 'small_language_models' and row.get('size', 0) < 1e6]
  assert rows
  for scale, larger in (('laptop', 'overnight'), ('overnight', 'accelerator'), ('accelerator', 'accelerator')):
    found = report.assemble([{**IDENTITY, 'time': 4e9, 'scale': scale, **row} for row in rows], [37])
    needs, command = listed(found)[37]
    assert needs.startswith('not measured here: needs the experiment small_language_models (no sizes from ')
    assert f'--scale={larger} ' in command


def test_a_laptop_page_names_the_claims_that_its_subset_leaves_out():
  found = page(('training_time',), 'laptop')
  numbers = ', '.join(str(n) for n, claim in CLAIMS.items() if claim.from_scale == 'overnight')
  words = f'laptop measures a fixed subset of the experiments; claims measured from overnight on: {numbers}'
  assert words in markdown.render(found, {})
  assert f'<p class="note">{words}.</p>' in html.render(found, {})
  assert set(map(int, numbers.split(', '))) <= set(listed(found))
  for other in (page(('training_time',)), page(('decoding',), 'laptop', [27])):
    assert 'fixed subset' not in markdown.render(other, {})


def test_a_laptop_page_does_not_say_that_what_it_shows_is_left_out():
  numbers = [
    n for n, claim in CLAIMS.items() if claim.from_scale == 'overnight' and 'training_bytes' in claim.experiments
  ]
  assert numbers
  shown = page(('training_bytes',), 'laptop', numbers)
  measured = {s.claim.number for s in shown.sections if s.verdict.status != 'not measured here'}
  listed_as_left_out = ''.join(value for name, value in shown.header if name == 'left out')
  assert measured
  assert not measured & set(map(int, re.findall(r'\d+', listed_as_left_out)))


def test_every_claim_has_a_need_where_nothing_was_measured():
  found = report.assemble([])
  assert set(listed(found)) == set(CLAIMS)
  for number, (needs, command) in listed(found).items():
    assert all(f'the experiment {name}' in needs for name in CLAIMS[number].experiments)
    assert f'--experiments={",".join(CLAIMS[number].experiments)} ' in command
  assert articles.load().option == ''
