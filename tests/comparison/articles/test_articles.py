"""Articles: the first one is loaded by its name, others from folders; what is wrong with a folder is one line."""

import csv
import importlib
import json
import re
import shlex
import subprocess
import sys

import pytest

from commands import compare, report
from comparison import articles, records
from comparison.articles import loading
from seqmodels.errors import InputError

ARTICLE = """
from comparison.claims.article import Article, Statement, numbered
from comparison.claims.base import Claim, Verdict, where
from comparison.claims.points import not_measured
from comparison.claims.tables import Table
from .limits import LIMIT


def judge(experiment, metric):
  def judged(records):
    rows = where(records, experiment, metric)
    if not rows:
      return not_measured(experiment)
    most = max(row['value'] for row in rows)
    return Verdict('supported' if most > LIMIT else 'contradicted', most, 'B', most, most, about='most')
  return judged


def claim(number, experiment, metric):
  return Claim(number, f'Title {number}', f'Statement {number}.', 'A protocol.', 'above 1', 'below 1', (experiment,),
               judge(experiment, metric))


def tables(records):
  return [Table('Own table', f'{len(records)} records.', ('a',), (('b',),))]


ARTICLE = Article(
  name='second',
  title='A second article',
  reference='A. Author 2026',
  sections=('One', 'Two'),
  statements=numbered([Statement(n, section, f'Statement {n}', 'C') for n, section in ((1, 'One'), (3, 'Two'))]),
  claims=numbered([claim(1, 'pieces', 'pieces'), claim(3, 'attention_scores', 'score_bytes')]),
  tables=tables,
)
EXPERIMENTS = {'pieces': 'pieces:Pieces'}
"""
PIECES = '''
from comparison.experiments.base import Experiment


class Pieces(Experiment):
  """Count pieces."""

  name = 'pieces'

  def cells(self, scale):
    return [{'architecture': 'lstm', 'scale_of': scale}]

  def run(self, cell):
    yield {'metric': 'pieces', 'value': 2.0, 'unit': 'B', 'architecture': cell['architecture']}
'''


@pytest.fixture
def folder(tmp_path):
  return make(tmp_path / 'outside')


def make(folder, article=ARTICLE):
  folder.mkdir()
  (folder / 'article.py').write_text(article)
  (folder / 'limits.py').write_text('LIMIT = 1\n')
  (folder / 'pieces.py').write_text(PIECES)
  return folder


def test_the_first_article_is_the_default():
  article = articles.load()
  assert article.name == articles.FIRST == articles.names()[0]
  assert (len(article.statements), article.option) == (60, '')
  assert set(article.claims) <= set(article.statements)
  assert {statement.section for statement in article.statements.values()} == set(article.sections)


@pytest.mark.parametrize('number', range(1, 61))
def test_every_claim_quotes_the_article(number):
  words = articles.load().claims[number].words
  quotes = re.findall(r'"([^"]*)"', words)
  assert quotes
  assert words.count('"') == 2 * len(quotes)
  for quote in quotes:
    assert 3 <= len(quote.split()) <= 20
    assert quote == quote.strip()


def test_a_second_article_from_outside_the_package(folder, tmp_path, capsys):
  work = tmp_path / 'w'
  first = {'claims': [48], 'experiments': ['attention_scores']}
  compare.main('smoke', str(work), **first)
  before = records.read_all(work)
  compare.main('smoke', str(work), article=str(folder))
  out = capsys.readouterr().out
  # The cells of the experiment that both articles need are there; those that it brings are not.
  assert '1 cells run, 1 were finished already, 0 failed' in out
  rows = records.read_all(work)
  assert rows[: len(before)] == before
  (row,) = rows[len(before) :]
  assert (row['article'], row['experiment'], row['value']) == ('second', 'pieces', 2.0)
  text = (work / 'report.md').read_text()
  assert text.startswith('# A second article\n')
  assert '#### Own table' in text
  assert '**2 B** most' in text
  assert 'not listed here' not in text  # the rules of the first article are none of the second

  for kind in report.FORMATS:
    report.report(str(work), kind, str(folder))
  found = json.loads((work / 'report.json').read_text())
  assert next((v['number'], v['status'], v['value']) for v in found['verdicts']) == (1, 'not judged', 2.0)
  assert [v['number'] for v in found['verdicts']] == [1, 3]
  assert [line['number'] for line in csv.DictReader((work / 'tables' / 'verdicts.csv').open())] == ['1', '3']
  assert 'A second article' in (work / 'report.html').read_text()
  assert (work / 'tables' / 'own-table.tex').exists()

  # The first article does not see what was measured for the second.
  capsys.readouterr()
  compare.main('smoke', str(work), **first)
  assert '0 cells run' in capsys.readouterr().out
  assert 'pieces' not in (work / 'report.md').read_text()


def test_an_article_of_the_same_experiment_names_has_cells_of_its_own(folder, tmp_path, capsys):
  work, third = tmp_path / 'w', make(tmp_path / 'third', ARTICLE.replace("name='second'", "name='third'"))
  (third / 'pieces.py').write_text(PIECES.replace('2.0', '5.0'))
  for place, value in ((folder, 2), (third, 5), (folder, 2)):
    compare.main('smoke', str(work), article=str(place), claims=[1])
    assert f'**{value} B** most' in (work / 'report.md').read_text()
  assert '0 cells run, 1 were finished already' in capsys.readouterr().out


@pytest.fixture
def package(tmp_path, monkeypatch):
  """A folder that is a part of the package of articles."""
  place = tmp_path / 'articles'
  place.mkdir()
  monkeypatch.setattr(loading, 'FOLDER', place)
  monkeypatch.setattr(articles, '__path__', [*articles.__path__, str(place)])
  (place / loading.FIRST).mkdir()
  (place / loading.FIRST / '__init__.py').touch()  # as in the package: found there, imported from its place
  yield place
  for name in [name for name in sys.modules if name.startswith('comparison.articles.in_')]:
    del sys.modules[name]


@pytest.mark.parametrize('file', loading.FILES)
def test_an_article_of_the_package_brings_experiments_like_one_from_outside(package, tmp_path, file, capsys):
  name = f'in_{file[:-3].strip("_")}'
  folder = make(package / name, ARTICLE.replace("name='second'", f"name='{name}'"))
  (folder / 'article.py').rename(folder / file)
  importlib.invalidate_caches()
  assert articles.names() == (articles.FIRST, name)
  compare.main('smoke', str(tmp_path / 'w'), article=name, claims=[1])
  assert '1 cells run' in capsys.readouterr().out
  (row,) = records.read_all(tmp_path / 'w')
  assert (row['article'], row['experiment'], row['value']) == (name, 'pieces', 2.0)
  assert f' --article={name} --claims=1' in (tmp_path / 'w' / 'report.md').read_text()
  assert articles.load().option == ''


def test_a_wrong_article_of_the_package_is_one_line(package):
  make(package / 'in_name')
  own = ARTICLE.replace("name='second'", "name='in_claims'")
  make(package / 'in_claims', own.replace("claim(1, 'pieces'", "claim(1, 'piecs'"))
  importlib.invalidate_caches()
  with pytest.raises(InputError, match="name='second' must be that of its folder, in_name"):
    articles.load('in_name')
  with pytest.raises(InputError, match="claim 1: experiment='piecs' is not known; nearest: pieces"):
    compare.chosen_article('in_claims')


def test_a_folder_whose_name_has_a_space_is_quoted_in_commands(tmp_path):
  folder = make(tmp_path / 'my article')
  option = articles.load(str(folder)).option
  assert shlex.split(option) == [f'--article={folder}']


@pytest.mark.parametrize(
  ('old', 'new', 'words'),
  [
    ('\nARTICLE = ', '\nPAPER = ', 'article.py must define ARTICLE'),
    ("claim(1, 'pieces'", "claim(1, 'piecs'", "claim 1: experiment='piecs' is not known; nearest: pieces;"),
    ("claim(3, 'attention", "claim(1, 'attention", 'article.py, line 34: ValueError: number=1 is given twice'),
    ("claim(3, 'attention", "claim(4, 'attention", 'claim 4 has no statement of this number'),
    ("(3, 'Two')", "(3, 'Three')", "statement 3: section='Three' is none of sections"),
    ("name='second'", "name='transformer_vs_rnn'", "name='transformer_vs_rnn' is that of an article of the package"),
    ("name='second'", "name='Zwei mal'", "name='Zwei mal' must be lower-case letters"),
    ("{'pieces': 'pieces:Pieces'}", "{'order': 'pieces:Pieces'}", 'order is the name of an experiment of the project'),
    ("{'pieces': 'pieces:Pieces'}", "{'pieces': 3}", 'EXPERIMENTS must be a dict'),
    ("{'pieces': 'pieces:Pieces'}", "{'pieces': 'pices:Pieces'}", "pieces='pices:Pieces': ModuleNotFoundError"),
    ("{'pieces': 'pieces:Pieces'}", "{'pieces': 'limits:LIMIT'}", "pieces='limits:LIMIT': TypeError"),
    ('def judge(', 'def def judge(', 'article.py, line 9: SyntaxError'),
    ('import LIMIT', 'import LIMITS', 'article.py, line 6: ImportError'),
  ],
)
def test_a_wrong_folder_is_one_line(tmp_path, old, new, words):
  assert old in ARTICLE
  folder = make(tmp_path / 'outside', ARTICLE.replace(old, new))
  with pytest.raises(InputError) as error:
    compare.main('smoke', str(tmp_path / 'w'), article=str(folder))
  assert words in str(error.value)
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'w').exists()


def test_what_is_no_article_is_refused(tmp_path):
  with pytest.raises(InputError, match=r"--article='transformer_vs_rn' is not known; nearest: transformer_vs_rnn"):
    articles.load('transformer_vs_rn')
  with pytest.raises(InputError, match=r'must hold article\.py, which defines ARTICLE'):
    articles.load(str(tmp_path))
  with pytest.raises(InputError, match='has no experiment; allowed: 1, 3'):
    compare.main('smoke', str(tmp_path / 'w'), article=str(make(tmp_path / 'a')), claims=[2])
  with pytest.raises(InputError, match='no records of this article; run --mode=compare --scale=laptop --article='):
    compare.report(str(tmp_path / 'w'), article=str(tmp_path / 'a'))


def test_an_article_that_brings_experiments_is_listed_without_jax(folder):
  code = (
    'import sys; from commands import list; list.main(sys.argv[1]); '
    'print([m for m in ("jax", "flax", "matplotlib") if m in sys.modules])'
  )
  done = subprocess.run([sys.executable, '-c', code, folder], capture_output=True, text=True, check=True)
  assert done.stdout.endswith(f'(--claims=… --article={folder})\n  1  Title 1\n  3  Title 3\n[]\n')
