"""Checkpoints: what is saved comes back, and whatever happens to the files is noticed."""

import errno
import gc
import json
import logging
import pathlib
import shutil
import threading
import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from seqmodels.errors import InputError
from training.checkpoint import Checkpoints
from training.files import WriteError
from training.retention import Retention
from training.trees import flatten

# Orbax leaves coroutines of a failed read behind; they complain when they are collected.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')


@pytest.fixture(autouse=True)
def collected(frozen_garbage):
  yield
  gc.collect()


class Pair(NamedTuple):
  first: object
  second: object


def tree(step: int):
  rng = np.random.default_rng(step)
  return Pair(
    {'w': rng.normal(size=(64, 64)).astype(np.float32), 'half': jnp.asarray(rng.normal(size=3), jnp.bfloat16)},
    ({'none': None, 'empty': np.zeros((0, 2), np.float32), 'count': np.int32(step)}, np.array([True, False])),
  )


LIKE = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, tree(0)))


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
  """Three checkpoints: 1, 2, 3."""
  checkpoints = Checkpoints(tmp_path / 'checkpoints', keep=3)
  for step in (1, 2, 3):
    checkpoints.save(step, tree(step), {'batches': {'next': step}})
  checkpoints.close()
  return tmp_path / 'checkpoints'


@pytest.fixture
def log_lines(caplog):
  """The log lines of the package, which do not go up to the root logger."""
  logger = logging.getLogger('seqmodels')
  logger.addHandler(caplog.handler)
  yield caplog
  logger.removeHandler(caplog.handler)


def assert_same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)


def data_files(step_folder: pathlib.Path) -> list[pathlib.Path]:
  return sorted((path for path in step_folder.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size)


def flip(path: pathlib.Path, count: int = 64) -> None:
  data = bytearray(path.read_bytes())
  middle = len(data) // 2
  data[middle : middle + count] = bytes(b ^ 0xFF for b in data[middle : middle + count])
  path.write_bytes(data)


def test_what_is_saved_comes_back(folder):
  checkpoints = Checkpoints(folder, read_only=True)
  assert checkpoints.steps() == [1, 2, 3]
  restored = checkpoints.restore_latest_verified(LIKE)
  assert restored is not None
  assert (restored.step, restored.extra) == (3, {'batches': {'next': 3}})
  assert_same(restored.tree, tree(3))
  assert_same(checkpoints.restore(1, LIKE).tree, tree(1))
  assert_same(checkpoints.restore(2, {'first': LIKE.first}).tree, {'first': tree(2).first})


def test_a_compressed_checkpoint_is_read(tmp_path, monkeypatch):
  """Orbax compresses by default, and so did checkpoints of before."""
  plain = ocp.PyTreeCheckpointHandler
  compressing = lambda use_compression, **options: plain(use_compression=True, **options)
  monkeypatch.setattr(ocp, 'PyTreeCheckpointHandler', compressing)
  compressed = Checkpoints(tmp_path / 'checkpoints')
  compressed.save(1, {'w': jnp.zeros((500, 500))}, {})
  compressed.close()
  monkeypatch.undo()
  assert sum(path.stat().st_size for path in tmp_path.rglob('*') if path.is_file()) < 100_000
  assert_same(
    Checkpoints(tmp_path / 'checkpoints', read_only=True).restore(1, {'w': jnp.ones((500, 500))}).tree,
    {'w': jnp.zeros((500, 500))},
  )


def test_only_the_newest_are_kept_and_saving_goes_on(folder):
  checkpoints = Checkpoints(folder, keep=2)
  checkpoints.save(4, tree(4), {})
  checkpoints.close()
  assert checkpoints.steps() == [3, 4]


@pytest.mark.parametrize('seed', range(20))
def test_the_newest_the_best_and_every_nth_stay(seed):
  """Whatever the scores are, the newest is never deleted: Orbax's rule for the best one does that."""
  rng = np.random.default_rng(seed)
  retention, kept = Retention(newest=int(rng.integers(1, 4)), every=int(rng.choice([0, 4]))), []
  for step in range(1, 20):
    retention.scores = {s: float(rng.normal()) for s in range(1, step) if rng.random() < 0.7}
    there = [*kept, step]
    kept = [s for s, stays in zip(there, retention.kept(there), strict=True) if stays]
    scored = [s for s in there if s in retention.scores]
    assert not scored or min(scored, key=lambda s: retention.scores[s]) in kept
    assert len(kept) <= retention.newest + 1 + (step // 4 if retention.every else 0)
    assert kept[-retention.newest :] == list(range(max(1, step - retention.newest + 1), step + 1))
    assert all(s in kept for s in range(1, step) if retention.every and s % 4 == 0)


def test_the_best_checkpoint_outlives_newer_ones(tmp_path):
  checkpoints, scores = Checkpoints(tmp_path, keep=1, keep_every=5), {}
  for step in range(1, 8):
    checkpoints.save(step, {'x': np.float32(step)}, {}, dict(scores))
    scores[step] = abs(step - 3)  # known once it is saved; the best is 3
  checkpoints.close()
  assert checkpoints.steps() == [3, 5, 7]
  assert Checkpoints(tmp_path, read_only=True).latest({'x': np.float32(0)}).step == 7


def test_arrays_may_be_donated_while_they_are_written(tmp_path):
  checkpoints = Checkpoints(tmp_path)
  x = jnp.arange(1000.0)
  checkpoints.save(1, {'x': x}, {})
  jax.block_until_ready(jax.jit(lambda x: x * 0 - 1, donate_argnums=0)(x))
  checkpoints.close()
  np.testing.assert_array_equal(checkpoints.restore(1, {'x': np.zeros(1000, np.float32)}).tree['x'], np.arange(1000.0))


@pytest.mark.parametrize('damage', ['flipped', 'truncated', 'missing', 'description', 'everything'])
def test_a_damaged_checkpoint_is_passed_over(folder, log_lines, damage):
  newest = folder / '3'
  largest = data_files(newest)[-1]
  if damage == 'flipped':
    flip(largest)
  elif damage == 'truncated':
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
  elif damage == 'missing':
    largest.unlink()
  elif damage == 'description':
    path = newest / 'meta' / 'metadata'
    path.write_text(path.read_text().replace('"next": 3', '"next": 7').replace('"next":3', '"next":7'))
  else:
    shutil.rmtree(newest)
    newest.mkdir()
  checkpoints = Checkpoints(folder, keep=3)
  restored = checkpoints.restore_latest_verified(LIKE, discard=True)
  assert restored is not None
  assert restored.step == 2
  assert_same(restored.tree, tree(2))
  if damage != 'everything':  # an empty folder does not count as a checkpoint
    assert 'checkpoint 3 is damaged' in log_lines.text
    assert 'going back to 2' in log_lines.text
  checkpoints.save(3, tree(3), {})
  checkpoints.close()
  assert_same(checkpoints.restore(3, LIKE).tree, tree(3))


def test_every_flipped_byte_of_the_arrays_is_noticed(folder):
  """A flip may hit what is not used, or send us back to an older checkpoint; never may it restore as something else."""
  for path in data_files(folder / '3'):
    before = path.read_bytes()
    if not before:
      continue
    flip(path, 1)
    restored = Checkpoints(folder, read_only=True).restore_latest_verified(LIKE)
    assert restored is not None
    assert_same(restored.tree, tree(restored.step))
    path.write_bytes(before)


def test_none_left(folder):
  for step in (1, 2, 3):
    flip(data_files(folder / str(step))[-1])
  checkpoints = Checkpoints(folder, keep=3)
  with pytest.raises(InputError, match=r'verifies: 1, 2, 3 are damaged'):
    checkpoints.restore_latest_verified(LIKE, discard=True)
  with pytest.raises(InputError, match=r'checkpoint 2 in .* is damaged'):
    checkpoints.restore(2, LIKE)
  assert checkpoints.steps() == [1, 2, 3]


def test_what_is_not_there(folder, tmp_path):
  assert Checkpoints(tmp_path / 'new').restore_latest_verified(LIKE) is None
  with pytest.raises(InputError, match='--step=9 has no checkpoint; there are 1, 2, 3'):
    Checkpoints(folder, read_only=True).restore(9, LIKE)
  with pytest.raises(InputError, match='does not exist'):
    Checkpoints(tmp_path / 'nowhere', read_only=True)
  with pytest.raises(InputError, match='no array first/other: it is of another model'):
    Checkpoints(folder, read_only=True).restore(3, {'first': {'other': np.zeros(3)}})
  with pytest.raises(InputError, match='it is of another model'):
    Checkpoints(folder, read_only=True).restore(3, {'first': {'w': np.zeros((2, 2), np.float32)}})


def test_a_failing_write_is_raised(folder):
  checkpoints = Checkpoints(folder, keep=3)
  checkpoints.save(2, tree(2), {})
  with pytest.raises(ValueError, match='step 2 already exists'):
    checkpoints.wait()


def test_a_copied_or_swapped_checkpoint_is_noticed(folder, log_lines):
  shutil.copytree(folder / '1', folder / '7')
  assert Checkpoints(folder, read_only=True).latest(LIKE).step == 3
  assert 'checkpoint 7 is damaged (it is a copy of checkpoint 1): going back to 3' in log_lines.text
  shutil.rmtree(folder / '7')
  (folder / '3').rename(folder / 'x')
  (folder / '2').rename(folder / '3')
  (folder / 'x').rename(folder / '2')
  assert Checkpoints(folder, read_only=True).latest(LIKE).step == 1
  with pytest.raises(InputError, match=r'checkpoint 3 in .* is damaged: it is a copy of checkpoint 2'):
    Checkpoints(folder, read_only=True).restore(3, LIKE)


def test_a_symbolic_link_is_one_line_for_who_writes_and_no_obstacle_for_who_reads(folder):
  (folder / 'latest').symlink_to(folder / '3')
  (folder / '9').symlink_to(folder / '2')
  (folder / '10').symlink_to('nowhere')
  assert Checkpoints(folder, read_only=True).latest(LIKE).step == 3
  with pytest.raises(InputError, match='is a symbolic link; remove it'):
    Checkpoints(folder)


def test_a_checkpoint_that_is_removed_meanwhile_is_not_damaged(folder, log_lines):
  checkpoints = Checkpoints(folder, read_only=True)
  shutil.rmtree(folder / '1')
  assert [restored.step for restored in checkpoints.verified(LIKE)] == [2, 3]
  assert 'checkpoint 1 has been removed meanwhile' in log_lines.text
  assert 'damaged' not in log_lines.text
  with pytest.raises(InputError, match=r'checkpoint 1 in .* was just removed'):
    checkpoints.restore(1, LIKE)
  writer = Checkpoints(folder, keep=1)
  writer.save(4, tree(4), {})
  writer.close()
  assert checkpoints.latest(LIKE).step == 4


def test_a_checkpoint_that_is_being_removed_is_not_damaged(folder, log_lines):
  checkpoints = Checkpoints(folder, read_only=True)
  shutil.rmtree(folder / '1' / 'arrays')  # the files go first
  rest = threading.Timer(0.1, shutil.rmtree, [folder / '1'])
  rest.start()
  assert [restored.step for restored in checkpoints.verified(LIKE)] == [2, 3]
  rest.join()
  assert 'checkpoint 1 has been removed meanwhile' in log_lines.text
  assert 'damaged' not in log_lines.text


def test_a_reader_finds_a_checkpoint_while_a_run_keeps_only_its_newest(tmp_path):
  """Orbax fails where one is removed while it lists them, and one listing may miss the old and the new one."""
  end, written = threading.Event(), threading.Event()

  def run():
    writer, step = Checkpoints(tmp_path / 'c', keep=1), 0
    while not end.is_set():
      step += 1
      writer.save(step, tree(step), {})
      writer.wait()
      written.set()
    writer.close()

  thread = threading.Thread(target=run)
  thread.start()
  try:
    assert written.wait(30)
    for _ in range(60):
      for steps in (
        [Checkpoints(tmp_path / 'c', read_only=True).latest(LIKE).step],
        [restored.step for restored in Checkpoints(tmp_path / 'c', read_only=True).verified(LIKE)],
      ):
        assert steps
  finally:
    end.set()
    thread.join()


def test_a_folder_that_cannot_be_listed_is_one_line(folder, monkeypatch):
  def fails(*args, **kwargs):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(ocp, 'CheckpointManager', fails)
  with pytest.raises(InputError, match=r'cannot be read: Permission denied$'):
    Checkpoints(folder, read_only=True)
  with pytest.raises(InputError, match=r'cannot be written: Permission denied$'):
    Checkpoints(folder)


def test_another_format_is_one_line(folder):
  path = folder / '3' / 'meta' / 'metadata'
  meta = json.loads(path.read_text())
  for number in (1, 3):
    meta['format'] = number
    meta.pop('sum', None)
    if number == 1:
      del meta['format'], meta['step']
    meta['sum'] = zlib.crc32(json.dumps(meta, sort_keys=True).encode())
    path.write_text(json.dumps(meta))
    with pytest.raises(
      InputError, match=f'3 in .* has format {number} and cannot be read: this version reads format 2'
    ):
      Checkpoints(folder).restore_latest_verified(LIKE, discard=True)
  assert Checkpoints(folder).steps() == [1, 2, 3]


def test_stacked_layers_are_stored_one_by_one(tmp_path):
  whole = {'stack': {'group_0': {'w': np.arange(12.0, dtype=np.float32).reshape(3, 4), 'b': np.ones(3, np.float32)}}}
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(1, {'params': whole, 'moments': (whole, np.int32(2))}, {})
  checkpoints.close()
  assert_same(checkpoints.restore(1, jax.eval_shape(lambda: {'params': whole})).tree, {'params': whole})
  layers = {f'block_0{i}': jax.tree.map(lambda x, i=i: x[i], whole['stack']['group_0']) for i in range(3)}
  by_layer = {'moments': ({'stack': layers},)}
  assert_same(Checkpoints(tmp_path, read_only=True).restore(1, jax.eval_shape(lambda: by_layer)).tree, by_layer)


@pytest.mark.parametrize(
  'error',
  [
    OSError(errno.ENOSPC, 'No space left on device'),
    ValueError("RESOURCE_EXHAUSTED: Error writing …: No space left on device [os_error_code='28']"),
    ExceptionGroup('saving', [OSError(errno.EDQUOT, 'Disk quota exceeded')]).exceptions[0],
  ],
)
def test_a_full_disk_is_one_line_and_older_checkpoints_stay(folder, monkeypatch, error):
  checkpoints = Checkpoints(folder, keep=3)

  def fails(*arguments, **options):
    raise error

  monkeypatch.setattr(checkpoints._manager, 'save', fails)
  checkpoints.save(4, tree(4), {})
  with pytest.raises(WriteError, match=r'^checkpoint 4 cannot be written to .*: (No space left|Disk quota)') as caught:
    checkpoints.wait()
  assert '\n' not in str(caught.value)
  checkpoints.close()
  assert Checkpoints(folder, read_only=True).latest(LIKE).step == 3


def test_a_save_that_cannot_be_read_back_is_noticed(tmp_path):
  """In a folder whose name is a pattern Orbax does not find its own files."""
  checkpoints = Checkpoints(tmp_path / 'lr[1e-3]')
  checkpoints.save(1, tree(1), {})
  with pytest.raises(WriteError, match=r'checkpoint 1 in .* has no manifest: it cannot be read back'):
    checkpoints.wait()


def test_names_do_not_depend_on_containers():
  assert list(flatten(Pair({'a': 1}, (2, [3])))) == ['first/a', 'second/0', 'second/1/0']
