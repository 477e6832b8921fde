"""The runner: finished cells are skipped, shards partition the grid, a stopped run loses its unfinished cell only."""

import errno
import os
import threading

import pytest

from comparison import records
from comparison.experiments import EXPERIMENTS, runner
from comparison.experiments.base import SCALES, Experiment
from seqmodels.errors import InputError
from seqmodels.kernels.cpu import library
from training import kinds, provenance
from training.files import Lock, WriteError


class Counting(Experiment):
  """Ten cells that count how often they are run; those of `broken` raise."""

  name = 'counting'

  def __init__(self, broken=(), version=1):
    self.broken, self.version, self.calls = broken, version, []

  def cells(self, scale):
    return [{'i': i} for i in range(10)]

  def run(self, cell):
    self.calls.append(cell['i'])
    yield {'metric': 'm', 'value': cell['i']}
    if cell['i'] in self.broken:
      raise self.broken[cell['i']]
    yield {'metric': 'n', 'value': -cell['i']}


def run(experiment, folder, **options):
  return runner.run([experiment], 'smoke', folder, say=lambda line: None, **options)


def test_finished_cells_are_not_run_again(tmp_path):
  experiment = Counting()
  assert run(experiment, tmp_path) == (10, 0, 0)
  assert run(experiment, tmp_path) == (0, 10, 0)
  assert experiment.calls == list(range(10))
  rows = records.read_all(tmp_path)
  assert len(rows) == 20
  assert set(records.COLUMNS) >= set(rows[0]) - {'i'}


def test_a_new_version_is_run_again_and_replaces_the_old_rows(tmp_path):
  run(Counting(), tmp_path)
  assert run(Counting(version=2), tmp_path).run == 10
  assert {row['version'] for row in records.select(records.read_all(tmp_path))} == {2}


def test_rows_tell_kernels_apart_and_their_cells_are_not_run_again(tmp_path, monkeypatch):
  monkeypatch.setattr(library, 'version', lambda: 'aaa')
  run(Counting(), tmp_path, only={'i': [0]})
  monkeypatch.setattr(library, 'version', lambda: 'bbb')
  assert run(Counting(), tmp_path) == (9, 1, 0)
  monkeypatch.setattr(library, 'version', lambda: None)
  assert 'C++ kernels' not in provenance.machine_identity()['versions']
  found = [row['versions'].get('C++ kernels') for row in records.read_all(tmp_path) if row['metric'] == 'm']
  assert found == ['aaa'] + 9 * ['bbb']


def test_a_failing_cell_leaves_its_error_stops_nobody_and_is_tried_again(tmp_path):
  assert run(Counting({3: ValueError('out of\nmemory')}), tmp_path) == (9, 0, 1)
  failed = [row for row in records.read_all(tmp_path) if row['metric'] == 'failed']
  assert [(row['error'], row['i'], row['value']) for row in failed] == [('ValueError: out of memory', 3, None)]
  again = Counting()
  assert run(again, tmp_path) == (1, 9, 0)
  assert again.calls == [3]
  assert not [row for row in records.select(records.read_all(tmp_path)) if row['metric'] == 'failed']


def test_an_error_without_a_message_says_where_it_was_raised(tmp_path):
  run(Counting({3: AssertionError()}), tmp_path)
  [failed] = [row for row in records.read_all(tmp_path) if row['metric'] == 'failed']
  assert failed['error'].startswith('AssertionError: test_runner.py, line ')
  assert failed['error'].endswith(": raise self.broken[cell['i']]")


def test_a_stopped_run_keeps_whole_cells_only_and_goes_on_where_it_stopped(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    run(Counting({4: KeyboardInterrupt()}), tmp_path)
  rows = records.read_all(tmp_path)
  assert len(rows) == 8
  assert {row['rows'] for row in rows} == {2}
  again = Counting()
  run(again, tmp_path)
  assert again.calls == list(range(4, 10))


class Preparing(Counting):
  """Says when a cell is prepared and when it is measured; the cells of a group wait for each other."""

  def __init__(self, together, broken=()):
    super().__init__()
    self.barrier, self.unprepared, self.seen = threading.Barrier(together), broken, []

  def prepare(self, cell):
    self.barrier.wait(timeout=60)
    self.seen.append('prepared')
    if cell['i'] in self.unprepared:
      raise ValueError('no')
    return super().prepare(cell)

  def run(self, cell):
    self.seen.append('measured')
    return super().run(cell)


def test_cells_are_prepared_side_by_side_before_any_of_them_is_measured(tmp_path):
  experiment = Preparing(5)
  assert run(experiment, tmp_path, prepared=5) == (10, 0, 0)
  assert experiment.seen == (['prepared'] * 5 + ['measured'] * 5) * 2
  assert experiment.calls == list(range(10))


def test_a_cell_that_cannot_be_prepared_fails_alone(tmp_path):
  assert run(Preparing(5, broken=(6,)), tmp_path, prepared=5) == (9, 0, 1)
  assert run(Preparing(1), tmp_path) == (1, 9, 0)


def test_cells_can_be_chosen_by_their_values(tmp_path):
  experiment = Counting()
  assert run(experiment, tmp_path, only={'i': (2, 7)}) == (2, 0, 0)
  assert experiment.calls == [2, 7]


def test_shards_partition_the_grid(tmp_path):
  shards = [Counting() for _ in range(3)]
  for i, experiment in enumerate(shards):
    run(experiment, tmp_path, shard=(i, 3))
  assert sorted(i for experiment in shards for i in experiment.calls) == list(range(10))
  assert run(Counting(), tmp_path) == (0, 10, 0)
  assert {path.name for path in tmp_path.iterdir()} == {f'records-{i}-of-3.jsonl' for i in range(3)}


@pytest.mark.parametrize('scale', SCALES)
def test_every_grid_has_cells_with_keys_of_their_own(scale):
  planned = runner.plan(EXPERIMENTS.values(), scale)
  assert len({cell.key for cell in planned}) == len(planned)
  assert {cell.experiment.name for cell in planned} == {n for n, e in EXPERIMENTS.items() if e.cells(scale)}
  if scale != 'laptop':  # minutes are too short for some
    assert all(experiment.cells(scale) for experiment in EXPERIMENTS.values())
  assert all(cell.experiment.cost(cell.cell) > 0 for cell in planned)


@pytest.mark.parametrize('scale', SCALES)
def test_named_architectures_are_measured_beside_the_references(scale):
  own = {cell.key for cell in runner.plan(EXPERIMENTS.values(), scale)}
  takers = [experiment for experiment in EXPERIMENTS.values() if experiment.takes_architectures]
  grid = {e.name: {c.get('architecture') for c in e.cells(scale) if not c.get('block')} for e in takers}
  found = {}
  for cell in runner.plan(takers, scale, ['lstm', 'griffin']):
    names = cell.cell.get('architectures') or [cell.cell['architecture']]
    found.setdefault(cell.experiment.name, set()).update(names)
    if 'architectures' in cell.cell:  # interleaved in one cell
      assert names == ['lstm', 'transformer', 'griffin']
    else:  # what was finished stays finished: a reference's cell is the same, whichever list named it
      assert (cell.key in own) == (names[0] in grid[cell.experiment.name])
  assert all(names == {'lstm', 'transformer', 'griffin'} for names in found.values())
  assert found.keys() == {experiment.name for experiment in takers if experiment.cells(scale)}
  others = [experiment for experiment in EXPERIMENTS.values() if not experiment.takes_architectures]
  assert {cell.key for cell in runner.plan(others, scale, ['griffin'])} <= own


def test_a_folder_is_measured_by_one_process(tmp_path):
  with Lock(tmp_path, kinds.COMPARISON, 'records.jsonl.lock'):
    with pytest.raises(InputError, match=rf'--workdir={tmp_path} is in use by process {os.getpid()} on host'):
      run(Counting(), tmp_path)
    assert run(Counting(), tmp_path, shard=(0, 2)).run == 5  # a shard has rows of its own
  assert run(Counting(), tmp_path) == (5, 5, 0)


def test_a_full_disk_is_one_line_and_keeps_what_was_measured(tmp_path, monkeypatch):
  write, calls = os.fsync, []

  def full(number):
    calls.append(number)
    if len(calls) == 4:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    write(number)

  with monkeypatch.context() as patched:
    patched.setattr(os, 'fsync', full)
    with pytest.raises(WriteError, match=r'^.*records.jsonl cannot be written: No space left on device$'):
      run(Counting(), tmp_path)
  assert len(records.finished(records.read_all(tmp_path))) >= 3
  assert run(Counting(), tmp_path).failed == 0
  assert len(records.select(records.read_all(tmp_path))) == 20


def test_the_time_left_is_never_negative(tmp_path):
  planned = runner.plan([Counting()], 'smoke')[0]
  assert runner.progress(10, 10, planned, 1.0, [{'metric': 'm'}], -1e-12).endswith('about 0 s left')


def test_the_progress_line_names_the_cell_and_the_time_left(tmp_path):
  lines = []
  runner.run([Counting({9: ValueError('no')})], 'smoke', tmp_path, say=lines.append)
  assert lines[0].startswith('[1/10] counting i=0: ')
  assert 'left' in lines[0]
  assert lines[-1].endswith('FAILED: ValueError: no')
