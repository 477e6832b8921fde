"""The step: accumulation = big batch, segments = whole sequence, one device = two, and what metrics say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import batch_axes
from seqmodels.errors import InputError
from tests.training import toy
from training import mesh as meshes
from training.mesh_settings import MeshSettings
from training.optimizer import Optimizer, make_optimizer
from training.settings import TrainSettings
from training.sharding import make_layout
from training.step import TrainState, draws_key, init_train_state, make_step, state_shardings

SETTINGS = TrainSettings(optimizer='sgd', learning_rate=0.5, schedule='constant', momentum=0.0, clip=0.0)


@pytest.fixture(scope='module')
def model():
  return toy.model()


@pytest.fixture(scope='module')
def optimizer() -> Optimizer:
  return make_optimizer(SETTINGS)


@functools.cache
def initial(model, optimizer) -> TrainState:
  return jax.jit(lambda: init_train_state(model, optimizer, 0))()


def start(model, optimizer, carry=None) -> TrainState:
  """A copy, since the step consumes its state."""
  return jax.tree.map(jnp.copy, initial(model, optimizer))._replace(carry=carry)


def assert_close(a, b, rtol=1e-5, atol=1e-6):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b)


def test_accumulation_equals_the_big_batch(model, optimizer):
  batch = toy.batch(range(6), 8)
  whole, metrics = make_step(model, toy.Toy(), optimizer)(start(model, optimizer), batch)
  parts, metrics_of_parts = make_step(model, toy.Toy(), optimizer, accumulate=3)(start(model, optimizer), batch)
  assert_close(whole.params, parts.params)
  assert_close(metrics, metrics_of_parts)
  # A mean of the microbatches' means would be another number: the weights of the rows differ.
  outputs, _ = jax.jit(model.apply)(start(model, optimizer).params, batch.inputs)
  losses, weights = toy.Toy().loss(outputs, batch)
  means = [np.sum(losses[i::3]) / np.sum(weights[i::3]) for i in range(3)]
  np.testing.assert_allclose(metrics['loss'], np.sum(losses) / np.sum(weights), rtol=1e-5)
  assert abs(np.mean(means) - metrics['loss']) > 1e-4


def test_accumulation_keeps_the_carry_in_its_rows(model, optimizer):
  batch, axes = toy.batch(range(6), 8), batch_axes(model.state_spec(4, 8))
  whole, _ = make_step(model, toy.Toy(), optimizer)(start(model, optimizer, model.init_state(6, 8)), batch)
  step = make_step(model, toy.Toy(), optimizer, accumulate=2, carry_axes=axes)
  parts, _ = step(start(model, optimizer, model.init_state(6, 8)), batch)
  assert any(np.abs(leaf).max() > 0.01 for leaf in jax.tree.leaves(whole.carry))
  assert_close(whole.carry, parts.carry)


def test_the_carry_goes_from_segment_to_segment(model, optimizer):
  """Without learning, the second segment's loss is that of the second half of the whole sequence."""
  still = make_optimizer(TrainSettings(optimizer='sgd', learning_rate=1e-30, schedule='constant', momentum=0.0))
  batch = toy.batch(range(4), 8)
  halves = [jax.tree.map(lambda x, h=h: x[:, h], batch) for h in (slice(0, 4), slice(4, 8))]
  step = make_step(model, toy.Toy(), still)
  state = start(model, still, model.init_state(4, 8))
  params = jax.tree.map(np.array, state.params)
  found = []
  for half in halves:
    state, metrics = step(state, half)
    found.append(float(metrics['loss']))
  outputs, _ = jax.jit(model.apply)(params, batch.inputs)
  for half, part, loss in zip(halves, (slice(0, 4), slice(4, 8)), found, strict=True):
    losses, weights = toy.Toy().loss(outputs[:, part], half)
    np.testing.assert_allclose(loss, np.sum(losses) / np.sum(weights), rtol=1e-5)


def test_gradients_stop_at_the_segment(model, optimizer):
  """The step's gradient is the segment's own: the carried state counts as a constant."""
  batch = toy.batch(range(4), 4)
  carry = jax.tree.map(lambda x: jnp.full_like(x, 0.3), model.init_state(4, 8))
  state = start(model, optimizer, carry)

  def loss(params):
    outputs, _ = model.apply(params, jnp.asarray(batch.inputs), carry)
    total, weight = toy.Toy().loss(outputs, batch)
    return jnp.sum(total) / jnp.sum(weight)

  expected = jax.tree.map(lambda p, g: np.asarray(p - 0.5 * g), state.params, jax.jit(jax.grad(loss))(state.params))
  after, _ = make_step(model, toy.Toy(), optimizer)(jax.tree.map(jnp.copy, state), batch)
  assert_close(after.params, expected)


def test_clipping_limits_the_update_and_the_metric_is_the_norm_before(model, optimizer):
  batch = toy.batch(range(4), 8)
  limited = make_optimizer(TrainSettings(**{**vars(SETTINGS), 'clip': 1e-3}))
  before = jax.tree.map(np.array, start(model, optimizer).params)
  free, metrics = make_step(model, toy.Toy(), optimizer)(start(model, optimizer), batch)
  held, metrics_of_limited = make_step(model, toy.Toy(), limited)(start(model, limited), batch)

  def moved(state):
    leaves = zip(jax.tree.leaves(state.params), jax.tree.leaves(before), strict=True)
    return np.sqrt(sum(np.sum(np.square(a - b)) for a, b in leaves))

  np.testing.assert_allclose(moved(held), 0.5 * 1e-3, rtol=1e-2)
  np.testing.assert_allclose(moved(free), 0.5 * metrics['gradient_norm'], rtol=1e-3)
  np.testing.assert_allclose(metrics['gradient_norm'], metrics_of_limited['gradient_norm'], rtol=1e-5)
  np.testing.assert_allclose(metrics['learning_rate'], 0.5)


def test_no_target_at_all_changes_nothing_and_nan_is_told(model, optimizer):
  batch = toy.batch(range(4), 8)
  step = make_step(model, toy.Toy(), optimizer)
  before = jax.tree.map(np.array, start(model, optimizer).params)
  after, metrics = step(start(model, optimizer), batch._replace(weights=np.zeros_like(batch.weights)))
  assert metrics['loss'] == 0
  assert metrics['finite']
  assert_close(after.params, before, rtol=0, atol=0)
  _, metrics = step(start(model, optimizer), batch._replace(weights=np.full_like(batch.weights, np.inf)))
  assert not metrics['finite']


def test_dropout_depends_on_seed_and_step(optimizer):
  """With one compiled step for all seeds; evaluation draws nothing."""
  model = toy.model(dropout=0.5)
  batch = toy.batch(range(4), 8)
  step = make_step(model, toy.Toy(), optimizer)

  def losses(seed):
    state = start(model, optimizer)._replace(key=draws_key(model, seed))
    _, first = step(state, batch)
    _, later = step(start(model, optimizer)._replace(key=draws_key(model, seed), step=jnp.asarray(1, jnp.int32)), batch)
    return float(first['loss']), float(later['loss'])

  first, second = losses(0), losses(1)
  assert first == losses(0)
  assert len({*first, *second}) == 4
  assert step._cache_size() == 1
  assert initial(toy.model(), optimizer).key is None
  assert initial(model, optimizer).key is not None


@pytest.mark.parametrize('accumulate', [1, 3])
def test_auxiliary_scalars_are_added_to_the_loss_and_reported(model, optimizer, accumulate):
  """A penalty on the parameters and one on the outputs, against the gradient of the whole objective."""
  batch = toy.batch(range(6), 8)

  def auxiliary(params, outputs, batch):
    squares = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params))
    return {'decay': 1e-2 * squares, 'outputs': jnp.sum(jnp.square(outputs)) / jnp.sum(batch.weights)}

  def objective(params):
    outputs, _ = model.apply(params, jnp.asarray(batch.inputs))
    losses, weights = toy.Toy().loss(outputs, batch)
    terms = auxiliary(params, outputs, batch)
    return jnp.sum(losses) / jnp.sum(weights) + sum(terms.values()), terms

  state = start(model, optimizer)
  (whole, terms), grads = jax.jit(jax.value_and_grad(objective, has_aux=True))(state.params)
  expected = jax.tree.map(lambda p, g: np.asarray(p - 0.5 * g), state.params, grads)
  step = make_step(model, toy.Toy(), optimizer, accumulate=accumulate, auxiliary=auxiliary)
  after, metrics = step(state, batch)
  assert_close(after.params, expected)
  for name, value in terms.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-5)
  np.testing.assert_allclose(metrics['loss'] + sum(terms.values()), whole, rtol=1e-5)


def test_one_device_equals_two(model, optimizer):
  batch, axes = toy.batch(range(4), 8), batch_axes(model.state_spec(4, 8))
  results = []
  for count in (1, 2):
    mesh = meshes.make_mesh(MeshSettings(data=count))
    layout = make_layout(model, initial(model, optimizer).opt_state, mesh, MeshSettings(), model.state_spec(4, 8))
    step = make_step(model, toy.Toy(), optimizer, accumulate=2, carry_axes=axes, layout=layout)
    state = jax.device_put(start(model, optimizer, model.init_state(4, 8)), state_shardings(layout))
    for _ in range(2):
      state, metrics = step(state, meshes.put_batch(batch, mesh))
      jax.block_until_ready(metrics)
    assert all(len(leaf.sharding.device_set) == count for leaf in jax.tree.leaves(state))
    results.append(jax.device_get((state, metrics)))
  assert_close(*results)


def test_devices_are_checked():
  with pytest.raises(InputError, match=r'mesh.data=3: 3 devices are more than the 2 available'):
    meshes.make_mesh(MeshSettings(data=3))
  with pytest.raises(InputError, match=r'train.batch_size=3 must be a multiple of 2 devices \(data:2\)'):
    meshes.check_divisible('train.batch_size', 3, meshes.make_mesh(MeshSettings(data=2)))
  assert meshes.make_mesh().size == 1
