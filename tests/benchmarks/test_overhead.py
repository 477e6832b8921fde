"""The measurement of overhead: steps really taken, configs measured again replaced, limits told."""

import itertools

import pytest

from benchmarks import load, overhead
from comparison import records
from seqmodels.errors import InputError

TINY = 'configs/copying.py:gru,width=4,depth=1,symbols=2,items=2,lag=2,batch_size=4,log_every=5'


@pytest.fixture
def quick(monkeypatch):
  """Starts that take as long as told, and a machine that is never busy."""
  monkeypatch.setattr(overhead, 'first_step', lambda config, cache: 13.0)
  monkeypatch.setattr(overhead, 'SAMPLE', 1e-3)


def test_rows_and_table_say_what_was_missed_and_replace_older_ones(quick, tmp_path, capsys):
  command = ['overhead', f'--config={TINY}', '--starts=1', '--seconds=0', '--busy=1e9', f'--out={tmp_path}']
  assert overhead.main(command) == 0
  table = (tmp_path / 'overhead.md').read_text()
  assert table in capsys.readouterr().out
  (line,) = [line for line in table.splitlines() if TINY in line]
  assert line.startswith(f'| `{TINY}` | 13.0 | 13.0 |')
  assert line.endswith('| missed |')
  rows = records.read(tmp_path / 'records.jsonl')
  found = {(row['metric'], row.get('cache', row.get('side'))): row for row in rows}
  assert len(found) == len(rows) == 6
  assert found['overhead_seconds', None]['at_most'] == 1e-3
  assert 0 < found['outside_seconds', None]['value'] < 1
  assert 0 < found['step_seconds', 'alone']['value'] < 1
  assert overhead.main(command) == 0
  assert len(records.read(tmp_path / 'records.jsonl')) == 6


def test_nothing_is_reported_of_a_busy_machine(quick, monkeypatch, capsys):
  seconds = itertools.count()
  monkeypatch.setattr(load, '_clocks', lambda: (2.0 * (now := next(seconds)), 3.0 * now, 1.0 * now))
  command = ['overhead', f'--config={TINY}', '--starts=1', '--seconds=0', '--busy=0.9']
  assert overhead.main(command) == 1
  assert 'nothing was measured' in capsys.readouterr().err


def test_every_default_config_is_one():
  assert overhead.parse(['overhead']).configs == list(overhead.CONFIGS)


@pytest.mark.parametrize(
  ('flag', 'expected'),
  [
    ('--config=configs/nothing.py:gru', "--config='configs/nothing.py:gru' must be"),
    ('--config=configs/copying.py:gruu', 'nearest: gru'),
    ('--starts=0', '--starts=0'),
    ('rest', "'rest' is not expected"),
  ],
)
def test_bad_flags_are_one_line(flag, expected):
  with pytest.raises(InputError) as caught:
    overhead.parse(['overhead', flag])
  assert expected in str(caught.value)
  assert '\n' not in str(caught.value)
