"""The comparison with peers: what is measured, judged, left out and written, with callables of known speed."""

import re
import time

import numpy as np
import pytest

from benchmarks import attention, fla, layers, load, peers, summary, whole_models, work
from benchmarks.work import OURS, Sides, Work
from comparison import records


def sleeper(seconds):
  return lambda: time.sleep(seconds)


def sleeping(ours, theirs, at_most=0.5, aim=0.1):
  calls = {OURS: sleeper(ours), 'slow peer': sleeper(2 * theirs), 'peer': sleeper(theirs)}
  return Work('sleep', 'sleep', at_most, aim, lambda: Sides(calls, 0.0, columns={'batch': 1}))


@pytest.fixture
def fast(monkeypatch):
  monkeypatch.setattr(work, 'SHORTEST', 1e-3)
  monkeypatch.setattr(work, 'REST', 1e-3)


def test_the_ratio_is_that_to_the_fastest_peer(fast):
  rows = work.measure(sleeping(4e-2, 1e-1), seconds=0.0, limit=99.0)
  (row,) = summary.judged(rows)
  assert (row['peer'], row['rejected']) == ('peer', 0)
  seconds = {r['side']: r['value'] for r in rows if r['metric'] == 'seconds'}
  assert set(seconds) == {OURS, 'slow peer', 'peer'}
  # Of what was measured: on a busy machine a sleep is longer than was asked for.
  assert row['value'] == pytest.approx(seconds[OURS] / seconds['peer'], rel=0.3)
  assert row['low'] <= row['value'] <= row['high']
  assert 'sleep: 0.' in summary.line(rows)
  assert 'of peer' in summary.line(rows)


def test_nothing_is_reported_of_a_busy_machine(fast):
  with pytest.raises(work.Absent, match='15 of 15 rounds were disturbed'):
    work.measure(sleeping(1e-3, 1e-3), seconds=0.0, limit=-1.0)


def test_rows_for_gpus_say_so_elsewhere():
  rows = [item for item in (*attention.works(), *whole_models.works(), *fla.works()) if item.group in peers.ON_GPUS]
  assert {item.group for item in rows} == set(peers.ON_GPUS)
  for item in rows:
    with pytest.raises(work.Absent, match='for GPUs'):
      item.build()


def test_a_row_that_fails_leaves_the_others(fast, monkeypatch, capsys):
  def broken():
    raise ValueError('no such thing')

  monkeypatch.setattr(work, 'torch', lambda: type('torch', (), {'get_num_threads': lambda: 1}))
  works = [Work('broken', 'matmul', None, None, broken), sleeping(1e-3, 2e-3)]
  monkeypatch.setattr(layers, 'works', lambda: works)
  assert peers.run(['matmul', 'sleep'], 0.0, None, 99.0, {'malloc': 'default'}) == 1
  said = capsys.readouterr()
  assert 'broken: failed: ValueError: no such thing' in said.err
  assert 'sleep:' in said.out


def test_rows_come_in_the_order_in_which_their_groups_are_named():
  items = [Work(name, group, None, None, lambda: None) for name, group in (('1', 'gru'), ('2', 'lstm'), ('3', 'gru'))]
  assert [item.name for item in peers.in_order(items, ['lstm', 'gru'])] == ['2', '1', '3']
  assert peers.in_order(items, ['rnn']) == []


def test_own_work_is_not_taken_for_the_neighbours(monkeypatch):
  clocks = iter([(0.0, 10.0, 5.0), (2.0, 13.0, 8.0), (2.0, 13.0, 8.0), (4.0, 16.0, 10.0)])
  monkeypatch.setattr(load, '_clocks', lambda: next(clocks))
  watch = load.Neighbours(0.15)
  found = []
  for _ in range(2):
    watch.begin()
    found.append(watch.undisturbed())
  assert found == [True, False]  # 3 s of the machine's 3 s were ours; then 1 s of 3 was not, half a core for 2 s
  assert (watch.rounds, watch.rejected, watch.busiest) == (2, 1, 0.5)


def test_different_results_are_no_comparison():
  found = work.deviation([np.array([1.0, 2.0])], [np.array([1.0, 2.5])])
  assert found == pytest.approx(0.2)
  with pytest.raises(AssertionError, match=r'lstm: the sides differ by 0\.2'):
    work.check(found, 1e-3, 'lstm')
  with pytest.raises(AssertionError):
    work.check(float('nan'), 1e-3, 'lstm')


@pytest.mark.parametrize(('ratio', 'expected'), [(1.3, 'missed'), (1.25, 'met'), (1.0, 'aim reached')])
def test_verdicts_are_those_of_the_limits(ratio, expected):
  assert summary.verdict({'value': ratio, 'at_most': 1.25, 'aim': 1.0}) == expected


def test_rows_measured_again_replace_the_old_ones_and_the_table_names_what_was_missed(fast, tmp_path):
  path = tmp_path / 'records.jsonl'
  about = {'experiment': 'peers', 'device_kind': 'toy', 'versions': {'torch': '0'}, 'malloc': 'default', 'threads': 2}
  for attempt, seconds in enumerate((1e-3, 3e-2)):
    rows = work.measure(sleeping(seconds, 5e-3), seconds=0.0, limit=99.0)
    summary.replace(path, 'sleep', [{**about, 'cell': 'sleep', 'time': float(attempt), **row} for row in rows])
  kept = records.read(path)
  assert {row['time'] for row in kept} == {1.0}
  summary.write(tmp_path)
  assert '| missed |' in (tmp_path / 'peers.md').read_text()
  assert 'sleep ÷ peer' in (tmp_path / 'peers.svg').read_text()


@pytest.mark.parametrize(
  ('argument', 'message'),
  [('--work=lstn', "--work='lstn'.*lstm"), ('--seconds=fast', 'seconds'), ('lstm', "'lstm' is not expected")],
)
def test_bad_input_is_one_line(argument, message, capsys):
  assert peers.main(['peers', argument]) == 2
  error = capsys.readouterr().err
  assert error.count('\n') == 1
  assert re.search(message, error)
