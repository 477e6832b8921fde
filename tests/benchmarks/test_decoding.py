"""The flags and the table of the benchmark of decoding, and the processes that keep cores busy beside it."""

import pathlib

import pytest

from benchmarks import decoding, load
from seqmodels.errors import InputError


def test_flags():
  given = decoding.parse(['decoding', '--positions=100,20,100', '--load=2', '--out=x'])
  assert given == ([20, 100], 60.0, 2, pathlib.Path('x'))
  assert decoding.parse(['decoding']).load == 0


@pytest.mark.parametrize(
  ('flag', 'expected'),
  [
    ('--load=-1', '--load=-1: -1 is not an integer in the range'),
    ('--positions=0', '--positions=0 must be whole numbers above 0'),
  ],
)
def test_bad_flags_are_one_line(flag, expected, capsys):
  assert decoding.main(['decoding', flag]) == 2
  error = capsys.readouterr().err
  assert expected in error
  assert error.count('\n') == 1


def test_bad_flags_are_input_errors():
  with pytest.raises(InputError, match='load'):
    decoding.parse(['decoding', '--load=many'])


@pytest.mark.parametrize(('count', 'said'), [(0, 'greedy.\n'), (2, 'greedy. 2 other processes kept cores busy.\n')])
def test_the_table_says_how_busy_the_machine_was(count, said):
  row = {'side': 'LSTM', 'position': 20, 'value': 2e-5, 'low': 1e-5, 'high': 4e-5, 'device_kind': 'cpu', 'load': count}
  table = decoding.table([{**row, 'metric': 'token_seconds'}, {**row, 'metric': 'generation_seconds'}])
  assert said in table
  assert '| LSTM | 20 [10, 40] |' in table


def test_busy_processes_run_until_the_block_ends():
  def fail():
    with load.busy(2) as processes:
      started.extend(processes)
      assert [process.poll() for process in processes] == [None, None]
      raise KeyError

  started = []
  with pytest.raises(KeyError):
    fail()
  assert all(process.poll() is not None for process in started)
