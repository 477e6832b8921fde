"""The cost of a long run: rounds of steps that save and log, the memory of a real process, and what was missed."""

import itertools

import pytest

from benchmarks import load, long_run
from comparison import records
from seqmodels.errors import InputError

TINY = 'configs/copying.py:gru,width=4,depth=1,symbols=2,items=2,lag=2,batch_size=4'


@pytest.fixture
def quick(monkeypatch):
  """Short rounds, a short run and a small file."""
  monkeypatch.setattr(long_run, 'EVERY', 4)
  monkeypatch.setattr(long_run, 'LOGGED', 2)
  memory, checksums = long_run.memory, long_run.checksums
  monkeypatch.setattr(long_run, 'memory', lambda config: memory(config, steps=1500, every=500, evaluated=500))
  monkeypatch.setattr(long_run, 'checksums', lambda: checksums(2**20))


def test_costs_and_memory_are_measured_and_told(quick, tmp_path, capsys):
  command = ['long_run', f'--config={TINY}', f'--long={TINY}', '--busy=1e9', f'--out={tmp_path}']
  (tmp_path / 'records.jsonl').write_text('of an earlier run\n')
  assert long_run.main(command) == 0
  table = (tmp_path / 'long_run.md').read_text()
  assert table in capsys.readouterr().out
  rows = records.read(tmp_path / 'records.jsonl')
  found = {(row['metric'], row.get('side', row.get('fifth'))): row for row in rows}
  assert len(found) == len(rows) == 3 + 3 + 1 + 5 + 1
  assert all(0 < found['round_seconds', side]['value'] < 10 for side in ('bare', 'logged', 'saved'))
  assert found['saved', None]['value'] > 1  # four steps take less time than a checkpoint
  assert 0 <= found['data_wait', None]['value'] < 1
  assert all(2**26 < found['resident_bytes', fifth]['value'] < 2**33 for fifth in range(1, 6))
  assert '1,500 steps, 3 saves and 3 evaluations' in table
  assert f'Costs: `{TINY}`, 5 rounds, of which 0 were left out.' in table
  assert 'benchmarks.long_run --rounds=5 --out=' in table
  assert table.count('| missed |') + table.count('| met |') == len(long_run.LIMITS)


def test_costs_on_a_busy_machine_are_left_out(quick, monkeypatch):
  seconds = itertools.count()
  monkeypatch.setattr(load, '_clocks', lambda: (2.0 * (now := next(seconds)), 3.0 * now, 1.0 * now))
  assert long_run.costs(TINY, 5, busy=0.9) == []


def test_a_run_that_fails_says_why():
  with pytest.raises(RuntimeError, match=r"exit code 2: error: --config key='width' is given twice"):
    long_run.memory(f'{TINY},width=5', steps=5)


def test_both_default_configs_are_ones():
  assert long_run.parse(['long_run'])[:2] == (long_run.CONFIG, long_run.LONG)


@pytest.mark.parametrize(
  ('flag', 'expected'),
  [
    ('--config=configs/nothing.py:gru', "--config='configs/nothing.py:gru' must be"),
    ('--long=nothing', "--long='nothing' must be"),
    ('--long=configs/copying.py:gruu', 'nearest: gru'),
    ('--rounds=4', '--rounds=4'),
  ],
)
def test_bad_flags_are_one_line(flag, expected):
  with pytest.raises(InputError) as caught:
    long_run.parse(['long_run', flag])
  assert expected in str(caught.value)
  assert '\n' not in str(caught.value)
