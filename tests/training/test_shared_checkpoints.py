"""Checkpoints of several processes, in one: `tests/test_hosts.py` has real ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
