"""A few kills of tests/kill.py, a full disk, and the damage of every kind of checkpoint file, read in this process."""

import contextlib
import gc
import pathlib

import pytest

from tests import full_disk, kill
from training.checkpoint import Checkpoints

# Orbax leaves coroutines of a failed read behind; they complain when they are collected.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> tuple[pathlib.Path, kill.End]:
  workdir = tmp_path_factory.mktemp('whole') / 'W'
  kill.finish(workdir)
  return workdir, kill.end_of(workdir)


def test_killed_twice_and_the_same_end(whole, tmp_path):
  hits = kill.kill(tmp_path, 2, 3, whole[1], 4.0)
  assert sum(hits.values()) == 2


def test_damaged_files_read_the_same_or_are_left_out(whole, tmp_path):
  workdir, end = whole
  assert len(Checkpoints(workdir / 'checkpoints', read_only=True).steps()) >= 2
  outcomes = kill.damage_each(workdir, tmp_path, 0, kill.restored(end))
  gc.collect()
  files = {kind for kind, _ in outcomes}
  assert {'meta/metadata', 'arrays/manifest.ocdbt'} <= files
  assert len(outcomes) == 3 * len(files) >= 18
  assert outcomes['meta/metadata', 'deleted'] == outcomes['arrays/manifest.ocdbt', 'deleted'] == 'goes back, says so'


@pytest.fixture
def disk(tmp_path):
  with contextlib.ExitStack() as stack:
    try:
      folder = stack.enter_context(full_disk.small_disk(tmp_path / 'disk'))
    except (PermissionError, FileNotFoundError) as error:
      pytest.skip(f'a file system cannot be mounted here: {error}')
    yield folder


def test_a_full_disk_is_one_line_and_the_run_goes_on(whole, disk, tmp_path):
  ended = full_disk.once(disk, tmp_path / 'log', 44, 0)
  assert ended is not None
  assert ended.code == 1
  assert ended.newest >= 20  # that of step 40 may be on its way, for which that of step 20 has been waited for
  full_disk.go_on(disk, ended.newest, whole[1])
