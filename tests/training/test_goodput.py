"""The ledger: every moment has one kind, repeated steps are lost, and torn lines lose nothing else."""

import json
import time

import pytest

from seqmodels.errors import InputError
from training import goodput
from training.goodput import Ledger


def rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_moment_belongs_to_one_kind(tmp_path):
  begun = time.monotonic()
  ledger = Ledger(begun - 5)  # of a process that took 5 s to start
  ledger.open(tmp_path, 3)
  ledger.switch(goodput.STEP)
  time.sleep(0.02)
  with ledger.during(goodput.SAVE):
    time.sleep(0.03)
  ledger.switch(goodput.DATA)
  time.sleep(0.01)
  assert ledger.switch(goodput.STEP) >= 0.01
  ledger.step = 7
  ledger.close()
  whole = time.monotonic() - begun + 5
  start, row = rows(tmp_path / goodput.NAME)
  assert (start['start'], row['steps']) == (3, [3, 7])
  seconds = row['seconds']
  assert seconds['start-up'] >= 5
  assert seconds['step'] >= 0.02
  assert seconds['save'] >= 0.03
  assert seconds['data wait'] >= 0.01
  assert sum(seconds.values()) == pytest.approx(whole, abs=0.05)
  found = goodput.read(tmp_path / goodput.NAME)
  assert found.total == pytest.approx(sum(seconds.values()))
  assert (found.processes, found.step, found.lost_steps, found.damaged) == (1, 7, 0, 0)


def test_a_row_is_written_also_while_a_call_takes_long(tmp_path, monkeypatch):
  monkeypatch.setattr(goodput, 'ROW_SECONDS', 0.02)
  ledger = Ledger()
  ledger.open(tmp_path, 0)
  ledger.switch(goodput.COMPILE)
  time.sleep(0.2)  # killed here, it would leave this
  found = goodput.read(tmp_path / goodput.NAME)
  assert 0.05 < found.seconds['compile'] <= 0.21
  ledger.close()


def row(first, last, **seconds):
  return {'steps': [first, last], 'seconds': {name.replace('_', ' '): value for name, value in seconds.items()}}


def test_steps_done_twice_are_lost_once():
  ledger = [
    {'start': 0},
    row(0, 10, compile=4.0, step=10.0, save=1.0),
    row(10, 20, step=8.0, data_wait=2.0, evaluation=4.0, save=1.0),
    {'start': 15},  # the checkpoint of step 20 was not finished; one of step 15 was: half of the last row
    row(15, 20, compile=3.0, step=5.0),
    {'start': 20},
    row(20, 30, step=10.0),
  ]
  found = goodput.summed(ledger)
  assert found.seconds == {
    'start-up': 0.0,
    'compile': 7.0,
    'data wait': 1.0,
    'step': 10.0 + 4.0 + 5.0 + 10.0,
    'save': 2.0,
    'evaluation': 2.0,
    'lost steps': 4.0 + 1.0 + 2.0,
  }
  assert found.total == sum(sum(row['seconds'].values()) for row in ledger if 'seconds' in row)
  assert (found.processes, found.step, found.lost_steps) == (3, 30, 5)
  assert found.useful == pytest.approx(29 / 48)


def test_what_was_taken_back_is_not_lost_again():
  """Two processes die one after the other, both before their first checkpoint."""
  ledger = [{'start': 0}, row(0, 8, step=8.0), {'start': 0}, row(0, 4, step=4.0), {'start': 0}, row(0, 6, step=6.0)]
  found = goodput.summed(ledger)
  assert (found.seconds['step'], found.seconds['lost steps'], found.lost_steps) == (6.0, 12.0, 12)


@pytest.mark.parametrize('cut', range(2, 46, 7))
def test_a_torn_last_line_loses_no_other(tmp_path, cut):
  path = tmp_path / goodput.NAME
  ledger = Ledger()
  ledger.open(tmp_path, 0)
  ledger.close()
  path.write_text(
    ''.join(json.dumps(r) + '\n' for r in ({'start': 0}, row(0, 5, step=5.0), row(5, 10, step=50.0)))[:-cut]
  )
  again = Ledger()
  again.open(tmp_path, 5)
  again.close()
  found = goodput.read(path)
  assert (found.processes, found.damaged) == (2, 1)
  assert found.seconds['step'] == 5.0


BAD = (
  b'[]',
  b'{"start": -1}',
  b'{"start": true}',
  b'{"steps": [3, 1], "seconds": {}}',
  b'{"steps": [1, 2]}',
  b'\xff',
  b'{',
)


def test_bad_lines_are_counted_and_said(tmp_path):
  path = tmp_path / goodput.NAME
  path.write_bytes(b'\n'.join([b'{"start": 0}', *BAD, b'{"steps": [0, 1], "seconds": {"step": 2.0}}']))
  found = goodput.read(path)
  assert (found.damaged, found.seconds['step']) == (len(BAD), 2.0)
  assert f'{len(BAD)} lines of the ledger cannot be read' in goodput.table(found)
  with pytest.raises(InputError, match=r'none.jsonl cannot be read: No such file'):
    goodput.read(tmp_path / 'none.jsonl')


def test_the_table_and_the_line():
  found = goodput.summed([{'start': 0}, row(0, 10, start_up=10.0, step=90.0)])
  found = found._replace(seconds=found.seconds | {'start-up': 10.0})
  assert goodput.line(found) == 'goodput 90.0% of 0:01:40 in 1 process; the rest: start-up 10%'
  table = goodput.table(found).splitlines()
  assert table[0] == 'Processes: 1 started, step 10 reached, 0 steps done twice'
  assert table[1].split() == ['start-up', '10.0', 's', '10.0%']
  assert table[-1] == 'goodput 90.0%: the share of steps that were kept'
