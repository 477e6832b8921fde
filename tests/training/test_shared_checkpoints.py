"""Checkpoints of several processes, in one: `tests/test_hosts.py` has real ones."""

import concurrent.futures
import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import checksums
from training.checksums import Damaged
from training.files import WriteError
from training.shared_checkpoints import SharedCheckpoints

COMPILED = '/jax/core/compile/backend_compile_duration'


def state(step: int):
  """Return stacked layers, an array without elements, and one without layers."""
  kernel = step + jnp.arange(6.0).reshape(2, 3)
  return {'params': {'stack': {'group_0': {'kernel': kernel}}}, 'empty': jnp.zeros((0, 2)), 'step': jnp.int32(step)}


@pytest.fixture
def checkpoints(tmp_path):
  found = SharedCheckpoints(tmp_path / 'checkpoints', keep=2)
  yield found
  found.close()


def test_stacked_layers_come_back(checkpoints):
  like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state(0))
  assert checkpoints.restore_latest_verified(like) is None
  checkpoints.save(4, state(4), {'batches': 5})
  checkpoints.wait()
  restored = checkpoints.restore_latest_verified(like)
  assert (restored.step, restored.extra) == (4, {'batches': 5})
  jax.tree.map(np.testing.assert_array_equal, restored.tree, state(4))


def test_the_second_save_compiles_nothing(checkpoints):
  first, second = state(1), state(2)
  compiled = []
  note = lambda event, *_, **__: compiled.append(event) if event == COMPILED else None
  jax.monitoring.register_event_duration_secs_listener(note)
  try:
    checkpoints.save(1, first, {})
    assert compiled
    compiled.clear()
    checkpoints.save(2, second, {})
  finally:
    jax.monitoring.unregister_event_duration_listener(note)
  assert not compiled


def test_steps_are_taken_while_a_checkpoint_is_written(checkpoints, monkeypatch):
  """And what they write over was copied before."""
  go_on, commit = threading.Event(), checkpoints._commit

  def commit_late(*arguments):
    assert go_on.wait(60)
    commit(*arguments)

  monkeypatch.setattr(checkpoints, '_commit', commit_late)
  taken = state(4)
  like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), taken)
  checkpoints.save(4, taken, {})
  advance = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0 - 1, tree), donate_argnums=0)
  for _ in range(5):
    taken = advance(taken)
  jax.block_until_ready(taken)
  checkpoints.check()
  go_on.set()
  checkpoints.wait()
  jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_latest_verified(like).tree, state(4))


def test_what_cannot_be_written_is_raised_by_the_next_check(checkpoints, monkeypatch):
  def fail(*_):
    raise WriteError('no space left on device')

  monkeypatch.setattr(checksums, 'write_share', fail)
  checkpoints.save(4, state(4), {})
  concurrent.futures.wait([checkpoints._writing], timeout=60)
  with pytest.raises(WriteError, match='no space left'):
    checkpoints.check()
  checkpoints.check()


def test_a_checkpoint_is_damaged_while_the_checksums_of_one_process_are_missing(tmp_path):
  for name in ('arrays/ocdbt.process_0/d/a', 'arrays/ocdbt.process_1/d/b', 'arrays/manifest.ocdbt'):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(name)
  (tmp_path / 'files-1-of-2.json.partial').touch()  # the other process is sooner
  for index in (0, 1):
    with pytest.raises(Damaged, match='interrupted'):
      checksums.check_share(tmp_path)
    checksums.write_share(tmp_path, index, 2)
  checksums.check_share(tmp_path)
  (tmp_path / 'arrays/ocdbt.process_1/d/b').write_text('other')
  for index in (0, 1):
    checksums.check_share(tmp_path, index, 3)
  with pytest.raises(Damaged, match=r'ocdbt\.process_1/d/b'):
    checksums.check_share(tmp_path, 2, 3)


def test_one_list_of_checksums_is_read_as_well(tmp_path):
  (tmp_path / 'a').write_text('a')
  sums = {'a': checksums.of_file(tmp_path / 'a')}
  (tmp_path / 'files.json').write_text(json.dumps({'files': sums, 'sum': checksums.of_json(sums)}))
  checksums.check_share(tmp_path)
  (tmp_path / 'a').write_text('b')
  with pytest.raises(Damaged, match='a does not match'):
    checksums.check_share(tmp_path)
