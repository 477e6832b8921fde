"""The command line against all cases that ever went wrong, and against some random lines of tests/fuzz_commands.py."""

import pytest

import main
from tests import fuzz_commands
from tests.fuzz_commands import CASES, SECONDS, Line, attempt, lines, small_model


@pytest.fixture(scope='module')
def workdir():
  with small_model() as folder:
    yield folder


@pytest.mark.parametrize('number', range(len(CASES)))
def test_no_case_that_went_wrong_once_does_again(number, workdir):
  line = lines(len(CASES), 0, workdir)[number]
  assert not attempt(line), line


def test_random_lines_end_in_one_line(workdir):
  some = lines(len(CASES) + 40, 1, workdir)[len(CASES) :]
  assert {str(line): wrong for line in some if (wrong := attempt(line))} == {}


def test_what_goes_wrong_is_noticed(workdir, monkeypatch):
  line = Line(('--mode=list',))
  assert attempt(line) == ''
  monkeypatch.setattr(main, 'parse', lambda argv: 1 / 0)
  assert attempt(line).startswith('traceback ZeroDivisionError')

  def spin(argv):
    while True:
      pass

  monkeypatch.setattr(main, 'parse', spin)
  monkeypatch.setattr(fuzz_commands, 'SECONDS', SECONDS / 100)
  assert attempt(line) == 'hang'
  monkeypatch.setattr(main, 'parse', lambda argv: bytearray(2**26) and main.sys.exit(0))
  monkeypatch.setattr(fuzz_commands, 'BYTES', 2**24)
  monkeypatch.setattr(fuzz_commands, 'memory', iter([0, 2**26]).__next__)
  assert attempt(line) == 'allocation'


def test_processes_are_judged_by_what_they_use(tmp_path, monkeypatch):
  monkeypatch.setattr(fuzz_commands, 'ROOT', tmp_path)
  program = tmp_path / 'main.py'
  bytearray(2**30 + 2**28)  # what this process has used is not what its children use
  for text, found in (
    ('raise ValueError', 'traceback'),
    ('import os; os.abort()', 'traceback'),
    ('x = bytearray(2**30 + 2**28); raise SystemExit(2)', 'allocation'),
    ('raise SystemExit(2)', ''),
  ):
    program.write_text(text)
    assert fuzz_commands.confirm(Line(()), str(tmp_path)).partition(' ')[0] == found
  program.write_text('while True: pass')
  monkeypatch.setattr(fuzz_commands, 'SECONDS', 0.5)
  monkeypatch.setattr(fuzz_commands, 'PATIENCE', 2.0)
  assert fuzz_commands.confirm(Line(()), str(tmp_path)).startswith('hang')
