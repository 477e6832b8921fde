"""Steps whose loss or gradient is not finite: the run stops and says where, or leaves the update out and counts."""

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import batch_axes
from seqmodels.models.layout import split_names
from tests.training import toy
from training import norms
from training.loop import Diverged, Loop
from training.mesh_settings import MeshSettings
from training.nonfinite import description
from training.optimizer import make_optimizer
from training.run import make_run
from training.run_files import open_files, restore
from training.settings import TrainSettings
from training.step import init_train_state, make_step
from training.trees import flatten

ROWS = 4


@dataclass(frozen=True)
class Poisoned(toy.Toy):
  """The toy task, with infinite weights in the batches of some steps (from 1)."""

  steps: tuple[int, ...] = ()

  def dataset(self, split: str, batch_size: int, **options: Any) -> Any:
    stream = super().dataset(split, batch_size, **options)
    if split != 'train':
      return stream

    def make(i: int) -> Any:
      batch = stream.make(i)
      return batch._replace(weights=np.full_like(batch.weights, np.inf)) if i + 1 in self.steps else batch

    return toy.Stream(make, None)


def settings(**fields: Any) -> TrainSettings:
  return TrainSettings(steps=8, batch_size=ROWS, log_every=1, **fields)


def start(poisoned, **fields):
  run = make_run(toy.model(), Poisoned(steps=poisoned), settings(**fields), mesh_settings=MeshSettings(data=1))
  return run, run.programs(run.trace_step())


def loop(run, compiled, files=None):
  restored = files.restored if files else None
  state = run.place(restored.tree) if restored else run.initial_state()
  batches = run.batches()
  if restored:
    batches.set_state(restored.extra['batches'])
  return Loop(run, compiled, state, batches, files)


def test_the_first_step_that_is_not_finite_ends_the_run(tmp_path):
  run, compiled = start((6,), checkpoint_every=2)
  with open_files(tmp_path, run, None) as files, pytest.raises(Diverged) as caught:
    loop(run, compiled, files).fit()
  message = str(caught.value)
  assert message.startswith(
    'the loss or its gradient is not finite at step 6 (loss nan), examples 20 to 23; first array'
  )
  first = next(iter(flatten(run.model.abstract_params)))
  assert f'that is not finite: gradient/{first}; checkpoint 4 is the newest and is kept' in message
  restored = restore(tmp_path, run)
  assert restored is not None
  assert restored.step == 4
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(restored.tree.params))


def test_updates_are_left_out_and_counted(tmp_path, logged, monkeypatch):
  """With plain SGD at a constant rate, the run is one on the other batches."""
  fields = {'optimizer': 'sgd', 'schedule': 'constant', 'momentum': 0.0, 'learning_rate': 0.1}
  run, compiled = start((2, 3, 6), skip_nonfinite=3, **fields)
  skipping = loop(run, compiled)
  skipping.fit()
  assert skipping.skipped == (3, 0)
  losses = [row['loss'] for row in skipping.metrics.rows]
  assert [step for step, loss in enumerate(losses, 1) if loss is None] == [2, 3, 6]
  assert [row['skipped'] for row in skipping.metrics.rows] == [0, 1, 2, 2, 2, 3, 3, 3]
  warnings = [record.message for record in logged.records]
  assert len(warnings) == 3
  assert warnings[1].endswith('its update is left out: 2 in a row, 2 in all')
  assert 'examples 8 to 11' in warnings[1]

  other, step = start((), **fields)
  state, batches = other.initial_state(), other.batches()
  for i in range(1, 9):
    batch = next(batches)
    if i not in (2, 3, 6):
      state, _ = step(state, batch)
  jax.tree.map(np.testing.assert_array_equal, skipping.state.params, state.params)


def test_too_many_in_a_row_end_the_run_and_the_count_goes_on_after_a_restart(tmp_path):
  run, compiled = start((3, 4, 5), skip_nonfinite=3, checkpoint_every=4)
  for _ in range(2):  # the second time from the checkpoint between them
    with open_files(tmp_path, run, restore(tmp_path, run)) as files, pytest.raises(Diverged) as caught:
      loop(run, compiled, files).fit()
    assert 'not finite at step 5 ' in str(caught.value)
    assert '3 steps in a row; checkpoint 4 is the newest' in str(caught.value)


def test_parameters_come_before_the_gradients_that_follow_from_them():
  run, compiled = start((), skip_nonfinite=1)
  training = loop(run, compiled)
  names = list(flatten(training.state.params))
  leaves = [
    leaf.at[0].set(jnp.inf) if i == 2 else leaf for i, leaf in enumerate(jax.tree.leaves(training.state.params))
  ]
  training.state = training.state._replace(params=jax.tree.unflatten(jax.tree.structure(training.state.params), leaves))
  with pytest.raises(Diverged, match=f'first array that is not finite: params/{names[2]}; there is no checkpoint yet'):
    training.fit()


def test_a_skipped_step_keeps_everything_but_the_schedule():
  """Adam's moments and the carried state, too; the learning rate is the step's."""
  model = toy.model()
  optimizer = make_optimizer(TrainSettings(steps=8, schedule='cosine'), model.axes)
  step = make_step(model, toy.Toy(), optimizer, carry_axes=batch_axes(model.state_spec(ROWS, 8)), skip_nonfinite=True)
  state = jax.jit(lambda: init_train_state(model, optimizer, 0, model.init_state(ROWS, 8)))()
  state, _ = step(state, toy.batch(range(ROWS), 8))
  before = jax.tree.map(np.array, state)
  bad = toy.batch(range(ROWS), 8)
  after, metrics = step(state, bad._replace(weights=np.full_like(bad.weights, np.nan)))
  assert not metrics['finite']
  for a, b in (
    (after.params, before.params),
    (after.opt_state[:-1], before.opt_state[:-1]),
    (after.carry, before.carry),
  ):
    jax.tree.map(np.testing.assert_array_equal, a, b)
  assert after.step == before.step + 1
  _, metrics = step(after, toy.batch(range(ROWS), 8))
  np.testing.assert_allclose(metrics['learning_rate'], 1e-3 * optimizer.schedule(2), rtol=1e-6)


def test_the_first_array_that_is_not_finite_is_named():
  tree = {'a': jnp.ones(3), 'b': jnp.ones((2, 2)), 'c': jnp.ones(1)}

  def said(gradient, params=tree, is_intact=False):
    text = description(3, 0.5, 4, params, np.asarray(norms.squares(gradient)), is_intact=is_intact)
    return text.rpartition(': ')[2]

  assert said(tree) == 'loss'
  assert said(tree | {'b': tree['b'].at[1, 1].set(jnp.nan)}) == 'gradient/b'
  assert said(tree | {'b': tree['b'] * 1e30, 'c': tree['c'] * jnp.inf}) == 'gradient/b'  # its square overflows
  bad = tree | {'c': tree['c'] * jnp.nan}
  assert said(bad, bad) == said(bad, bad, is_intact=True).replace('params', 'gradient') == 'gradient/c'
  assert said(tree | {'a': tree['a'] * jnp.nan}, bad, is_intact=True) == 'params/c'


def test_norms_by_layer():
  model = toy.model(depth=3, block='residual', feedforward=2.0)
  params = model.init(jax.random.key(0))
  found = norms.named(jax.device_get(norms.by_layer(params)))
  split = split_names(flatten(params))
  assert list(found) == ['embed', 'norm', 'output', 'stack/block_00', 'stack/block_01', 'stack/block_02']
  for name, value in found.items():
    own = [np.asarray(x).ravel() for path, x in split.items() if path.startswith(f'{name}/')]
    np.testing.assert_allclose(value, np.linalg.norm(np.concatenate(own)), rtol=1e-5)


def test_norms_are_rows_every_so_often_and_cost_nothing_otherwise():
  run, compiled = start((), norms_every=4)
  training = loop(run, compiled)
  training.fit()
  rows = [row for row in training.metrics.rows if row['split'] == 'gradient_norms']
  assert [row['step'] for row in rows] == [4, 8]
  overall = {row['step']: row['gradient_norm'] for row in training.metrics.rows if row['split'] == 'train'}
  for row in rows:
    parts = [value for name, value in row.items() if name not in ('step', 'split')]
    np.testing.assert_allclose(np.linalg.norm(parts), overall[row['step']], rtol=1e-5)
  assert {row['step'] for row in training.metrics.rows if row['split'] == 'parameter_norms'} == {4, 8}
  plain, asked = (start((), norms_every=n)[0].trace_step().lower().as_text() for n in (0, 4))
  assert plain.count('stablehlo.reduce') < asked.count('stablehlo.reduce')


def test_named_scopes_change_no_operation(monkeypatch):
  """They are in the locations, which a profile shows."""

  def lowered(debug_info=False):
    run = make_run(toy.model(depth=2), toy.Toy(), settings(), mesh_settings=MeshSettings(data=1))
    return run.trace_step().lower().as_text(debug_info=debug_info)

  named = lowered(debug_info=True)
  for name in ('embed', 'block_00', 'block_01', 'mixer', 'output', 'loss', 'optimizer'):
    assert re.search(rf'\b{name}\)*/', named), name
  with_scopes = lowered()
  monkeypatch.setattr(jax, 'named_scope', lambda name: contextlib.nullcontext())
  assert lowered() == with_scopes
