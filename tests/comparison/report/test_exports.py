"""Tables to take away: what LaTeX reads, what a spreadsheet reads, and one JSON file with every verdict."""

import csv
import dataclasses
import json
import re
import shutil
import subprocess

import pytest

from commands import compare
from commands import report as command
from comparison import report
from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.claims import judging
from comparison.claims.tables import Table
from comparison.report import exports
from seqmodels.errors import InputError
from tests.comparison.claims.test_judges import ALL
from tests.comparison.report.test_report import IDENTITY


@pytest.fixture(scope='module')
def page():
  return report.assemble([{**IDENTITY, **row} for row in ALL])


def test_json_has_every_verdict_with_its_rule_and_all_tables(page, tmp_path):
  (path,) = exports.write(page, tmp_path, 'json')
  found = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f'{name} is not JSON'))
  assert [verdict['number'] for verdict in found['verdicts']] == list(CLAIMS)
  for verdict, section in zip(found['verdicts'], page.sections, strict=True):
    assert (verdict['status'], verdict['status_here']) == (section.verdict.status, section.verdict.here)
    claim = CLAIMS[verdict['number']]
    rule = claim.rules[verdict['rule'] - 1]
    assert verdict['checksum'] == judging.digest(claim, rule)
    assert verdict['device'] == IDENTITY['device_kind']
  assert {table['title'] for table in found['tables']} >= {table.title for table in page.tables}
  assert found['header'] == dict(page.header)


def test_csv_has_the_cells_of_every_table(page, tmp_path):
  paths = {path.stem: path for path in exports.write(page, tmp_path, 'csv')}
  assert len(paths) == len(exports.tables(page)) > 5
  for name, table in exports.tables(page).items():
    rows = list(csv.reader(paths[name].open(newline='')))
    assert rows == [list(table.columns), *map(list, table.rows)]


def test_latex_has_a_row_a_line_and_nothing_that_it_would_read_as_a_command(page, tmp_path):
  for path in exports.write(page, tmp_path, 'latex'):
    text = path.read_text()
    assert text.isascii()
    body = text[text.index(r'\toprule') : text.index(r'\bottomrule')]
    lines = [line for line in body.splitlines() if line.endswith(r'\\')]
    table = exports.tables(page)[path.stem]
    assert len(lines) == 1 + len(table.rows)
    assert {len(re.findall(r'(?<!\\)&', line)) for line in lines} == {len(table.columns) - 1}
    assert not re.search(r'(?<!\\)[#%_]', body)
    assert len(re.findall(r'(?<!\\)\$', body)) % 2 == 0
    assert '?' not in body.replace('any?', '')
    assert IDENTITY['device_kind'].replace('<', '$<$').replace('>', '$>$') in text


def test_the_best_score_is_bold(page):
  table = Table('T', 'N.', ('model', 'loss'), (('a_b', '1.0'), ('c', '0.9')), frozenset({(1, 1)}))
  text = exports.as_latex(table, page.header)
  assert r'a\_b & 1.0 \\' in text
  assert r'c & \textbf{0.9} \\' in text
  scores = next(table for name, table in exports.tables(page).items() if name.startswith('claim-35'))
  assert scores.best


def test_every_figure_is_a_pdf_with_a_figure_environment(page, tmp_path):
  old = tmp_path / 'figures' / 'claim-99-1.pdf'
  old.parent.mkdir()
  old.write_bytes(b'')
  few = dataclasses.replace(page, sections=page.sections[:2])
  paths = exports.write_figures(few, tmp_path)
  assert {path.name for path in old.parent.iterdir()} == {p.name for path in paths for p in (path, _pdf(path))}
  assert {'headline.tex', 'forest.tex', 'claim-01-1.tex'} <= {path.name for path in paths}
  for path in paths:
    assert _pdf(path).read_bytes().startswith(b'%PDF')
    text = path.read_text()
    assert text.isascii()
    assert f'{{figures/{path.stem}.pdf}}' in text
    assert f'fig:{path.stem}' in text
  again = {path.name: _pdf(path).read_bytes() for path in paths}
  assert {path.name: _pdf(path).read_bytes() for path in exports.write_figures(few, tmp_path)} == again


def _pdf(path):
  return path.with_suffix('.pdf')


@pytest.mark.skipif(not shutil.which('pdflatex'), reason='LaTeX is not installed')
def test_latex_compiles(page, tmp_path):
  paths = exports.write(page, tmp_path, 'latex')
  paths += exports.write_figures(dataclasses.replace(page, sections=page.sections[:2]), tmp_path)
  body = '\n'.join(rf'\input{{{path.relative_to(tmp_path)}}}\clearpage' for path in paths)
  packages = r'\usepackage{booktabs,graphicx}'
  (tmp_path / 'all.tex').write_text(rf'\documentclass{{article}}{packages}\begin{{document}}{body}\end{{document}}')
  command = ['pdflatex', '-interaction=nonstopmode', '-halt-on-error', 'all.tex']
  subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_the_command_writes_each_format_and_refuses_others(tmp_path, capsys):
  compare.main('smoke', str(tmp_path), claims=[47], experiments=['state_bytes'])
  for kind, name in (('latex', 'tables/verdicts.tex'), ('csv', 'tables/verdicts.csv'), ('json', 'report.json')):
    capsys.readouterr()
    command.report(str(tmp_path), kind)
    assert str(tmp_path / name) in capsys.readouterr().out
    assert (tmp_path / name).exists()
  with pytest.raises(InputError, match='docx'):
    command.report(str(tmp_path), 'docx')
