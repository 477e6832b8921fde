"""Schedules and optimizers against their formulas in NumPy; what is decayed; stacked layers = separate layers."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from configs import architectures
from seqmodels.config import from_dict
from seqmodels.errors import InputError
from seqmodels.models import build
from training.optimizer import MUON_RMS, OPTIMIZERS, decay_mask, decayed, make_optimizer, make_schedule
from training.settings import (
  OPTIMIZER_FIELDS,
  EvalSettings,
  TrainSettings,
  eval_settings,
  train_settings,
  unread_fields,
)


def test_cosine_schedule_matches_its_formula():
  settings = TrainSettings(steps=50, schedule='cosine', warmup_steps=10, final_fraction=0.1)
  schedule = make_schedule(settings)
  for step in (0, 1, 9, 10, 11, 30, 50, 60):
    if step < 10:
      expected = (step + 1) / 11
    else:
      progress = min((step - 10) / 40, 1)
      expected = 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * progress))
    np.testing.assert_allclose(float(schedule(jnp.asarray(step))), expected, rtol=1e-5)


def test_constant_schedule_warms_up_and_stays():
  schedule = make_schedule(TrainSettings(schedule='constant', warmup_steps=3))
  values = [float(schedule(jnp.asarray(step))) for step in range(6)]
  np.testing.assert_allclose(values, [0.25, 0.5, 0.75, 1, 1, 1], rtol=1e-5)


def test_staircase_halves_the_rate_of_each_epoch_after_the_first_ones():
  """With 10 steps an epoch: epochs 1 to 5 at the peak, the sixth at half of it, the thirteenth at 1/256."""
  fields = {'schedule': 'staircase', 'decay_begin': 40, 'decay_every': 10, 'decay_factor': 0.5}
  steps, shares = [0, 39, 40, 49, 50, 59, 60, 120, 129], [1, 1, 1, 1, 0.5, 0.5, 0.25, 1 / 256, 1 / 256]
  for warmup in (0, 7):
    schedule = make_schedule(TrainSettings(steps=130, warmup_steps=warmup, **fields))
    np.testing.assert_allclose([float(schedule(jnp.asarray(warmup + step))) for step in steps], shares, rtol=1e-5)


def gradients(step):
  rng = np.random.default_rng(step)
  return {'kernel': rng.normal(size=(2, 3)).astype(np.float32), 'bias': rng.normal(size=3).astype(np.float32)}


def run(settings, steps):
  transform = make_optimizer(settings).transform
  params = jax.tree.map(jnp.ones_like, gradients(0))
  state = transform.init(params)
  for step in range(steps):
    updates, state = transform.update(gradients(step), state, params)
    params = jax.tree.map(jnp.add, params, updates)
  return params


def clipped(grads, limit):
  norm = np.sqrt(sum(np.sum(np.square(g)) for g in grads.values()))
  return {name: g * min(1.0, limit / norm) for name, g in grads.items()}


def test_the_default_warm_up_is_a_twentieth_of_the_steps():
  for steps in (1, 19, 100):
    schedule = make_schedule(TrainSettings(steps=steps, warmup_steps=-1))
    rates = [float(schedule(step)) for step in range(steps)]
    assert int(np.argmax(rates)) == steps // 20
    assert max(rates) == pytest.approx(1)


def test_adamw_matches_numpy_and_decays_matrices_only():
  settings = TrainSettings(learning_rate=0.1, schedule='constant', weight_decay=0.5, clip=0.7, beta2=0.9)
  params = {name: np.ones_like(g) for name, g in gradients(0).items()}
  first = {name: np.zeros_like(p) for name, p in params.items()}
  second = {name: np.zeros_like(p) for name, p in params.items()}
  for step in range(4):
    for name, g in clipped(gradients(step), 0.7).items():
      first[name] = 0.9 * first[name] + 0.1 * g
      second[name] = 0.9 * second[name] + 0.1 * g * g
      direction = first[name] / (1 - 0.9 ** (step + 1)) / (np.sqrt(second[name] / (1 - 0.9 ** (step + 1))) + 1e-8)
      decay = 0.5 * params[name] if name == 'kernel' else 0.0
      params[name] = params[name] - 0.1 * (direction + decay)
  for name, value in run(settings, 4).items():
    np.testing.assert_allclose(value, params[name], rtol=2e-5, atol=1e-6)


def test_lion_matches_numpy():
  settings = TrainSettings(optimizer='lion', learning_rate=0.1, schedule='constant', beta2=0.8, clip=0.0)
  params = {name: np.ones_like(g) for name, g in gradients(0).items()}
  momentum = {name: np.zeros_like(p) for name, p in params.items()}
  for step in range(3):
    for name, g in gradients(step).items():
      params[name] = params[name] - 0.1 * np.sign(0.9 * momentum[name] + 0.1 * g)
      momentum[name] = 0.8 * momentum[name] + 0.2 * g
  for name, value in run(settings, 3).items():
    np.testing.assert_allclose(value, params[name], rtol=1e-5)


def test_adafactor_matches_numpy():
  """Too small to be factored: moments are kept whole, with the decay 1 - step^-0.8 (Shazeer & Stern 2018)."""
  settings = TrainSettings(optimizer='adafactor', learning_rate=0.1, schedule='constant', clip=0.0)
  rms = lambda x: np.sqrt(np.mean(np.square(x)))
  params = {name: np.ones_like(g) for name, g in gradients(0).items()}
  second = {name: np.zeros_like(p) for name, p in params.items()}
  for step in range(3):
    decay = 1 - (step + 1.0) ** -0.8
    for name, g in gradients(step).items():
      second[name] = decay * second[name] + (1 - decay) * (g * g + 1e-30)
      u = g / np.sqrt(second[name])
      params[name] = params[name] - 0.1 * max(rms(params[name]), 1e-3) * u / max(1, rms(u))
  for name, value in run(settings, 3).items():
    np.testing.assert_allclose(value, params[name], rtol=1e-5)


def test_adafactor_keeps_two_vectors_for_a_matrix():
  params = {'kernel': jnp.ones((128, 256)), 'bias': jnp.ones(256)}
  state = make_optimizer(TrainSettings(optimizer='adafactor')).transform.init(params)
  assert sum(leaf.size for leaf in jax.tree.leaves(state)) < 3 * 256 + 16


def test_muon_makes_updates_of_matrices_orthogonal_and_leaves_the_rest_to_adam():
  settings = TrainSettings(optimizer='muon', learning_rate=0.1, schedule='constant', clip=0.0)
  draws = np.random.default_rng(0)
  params = {
    'stack': {'kernel': jnp.zeros((24, 16)), 'bias': jnp.zeros((2, 8)), 'blocks_kernel': jnp.zeros((3, 8, 16))},
    'output': {'kernel': jnp.zeros((16, 8))},
    'embedding': jnp.zeros((8, 16)),
  }
  grads = jax.tree.map(lambda p: jnp.asarray(draws.normal(size=p.shape), jnp.float32), params)
  transforms = [make_optimizer(s).transform for s in (settings, dataclasses.replace(settings, optimizer='adam'))]
  muon, adam = (jax.jit(t.update)(grads, t.init(params), params)[0] for t in transforms)
  for name in ('kernel', 'blocks_kernel'):
    update = np.asarray(muon['stack'][name])
    values = np.linalg.svd(update, compute_uv=False) / (0.1 * MUON_RMS * max(update.shape[-2:]) ** 0.5)
    assert values.min() > 0.6  # five Newton–Schulz steps bring them near 1
    assert values.max() < 1.3
    assert np.sum(update * np.asarray(grads['stack'][name])) < 0
    assert not np.allclose(update, adam['stack'][name])
  for got, expected in ((muon['stack']['bias'], adam['stack']['bias']), (muon['embedding'], adam['embedding'])):
    np.testing.assert_allclose(np.sign(got), np.sign(expected))
    np.testing.assert_allclose(np.abs(got), 0.1, rtol=1e-3)  # Adam's first step
  np.testing.assert_allclose(np.abs(muon['output']['kernel']), 0.1, rtol=1e-3)


AXES = {
  'stack': {
    'cell': {'kernel': ('layers', 'embed', 'gate', 'hidden'), 'bias': ('layers', 'gate', 'hidden')},
    'attention': {'kernel': ('layers', 'heads', 'head_dim', 'embed')},
    'norm': {'scale': ('layers', 'embed')},
  },
  'embedding': ('vocab', 'embed'),
}
SIZES = {'layers': 2, 'embed': 130, 'gate': 2, 'hidden': 128, 'heads': 2, 'head_dim': 65, 'vocab': 5}


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_stacked_layers_are_optimised_as_separate_layers(name):
  """Three updates of a stack of two layers are those of each layer as an array of its own."""
  is_axes = lambda x: isinstance(x, tuple)
  draws = np.random.default_rng(0)
  draw = lambda names: jnp.asarray(draws.normal(size=[SIZES[n] for n in names]), jnp.float32)
  params, *grads = (jax.tree.map(draw, AXES, is_leaf=is_axes) for _ in range(4))
  decay = 0.0 if 'weight_decay' in unread_fields(name) else 0.1
  settings = TrainSettings(optimizer=name, learning_rate=0.1, schedule='constant', weight_decay=decay, clip=0.0)

  def unstacked(tree, take):
    layers = [jax.tree.map(take(i), tree['stack'], is_leaf=is_axes) for i in range(2)]
    return {'stack': dict(zip('ab', layers, strict=True)), 'embedding': tree['embedding']}

  def trained(params, grads, axes):
    transform = make_optimizer(settings, axes).transform
    state = transform.init(params)
    for g in grads:
      updates, state = jax.jit(transform.update)(g, state, params)
      params = jax.tree.map(jnp.add, params, updates)
    return params

  whole = unstacked(trained(params, grads, AXES), lambda i: lambda x: x[i])
  parts = trained(
    *(unstacked(params, lambda i: lambda x: x[i]), [unstacked(g, lambda i: lambda x: x[i]) for g in grads]),
    unstacked(AXES, lambda i: lambda names: names[1:]),
  )
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), whole, parts)
  moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), trained(params, grads, AXES), params)
  assert min(jax.tree.leaves(moved)) > 0


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_every_field_that_an_optimizer_reads_changes_its_updates(name):
  """And the fields it does not read are refused."""
  settings = TrainSettings(optimizer=name, schedule='constant', learning_rate=0.1)
  other = {'weight_decay': 0.3, 'momentum': 0.5, 'beta2': 0.7}
  base = run(settings, 3)
  for field in OPTIMIZER_FIELDS[name]:
    changed = run(dataclasses.replace(settings, **{field: other[field]}), 3)
    assert any(not np.allclose(a, b) for a, b in zip(changed.values(), base.values(), strict=True)), field
  for field in unread_fields(name):
    with pytest.raises(InputError, match=f'train.{field}={other[field]} has no effect with train.optimizer={name}'):
      dataclasses.replace(settings, **{field: other[field]})


def test_the_table_and_the_fields_name_the_same_optimizers():
  assert OPTIMIZERS.keys() == OPTIMIZER_FIELDS.keys()


@pytest.mark.parametrize(
  ('name', 'shape', 'axes', 'expected'),
  [
    ('kernel', (8, 32), None, True),
    ('gates_bias', (4, 64), None, False),
    ('content_bias', (4, 8), None, False),
    ('norm_scale', (4, 8), None, False),
    ('embedding', (50, 8), None, True),
    ('decay', (8,), None, False),
    ('kernel', (3, 8, 4, 16), ('layers', 'embed', 'gate', 'hidden'), True),
    ('bias', (3, 4, 16), ('layers', 'gate', 'hidden'), False),
    ('scale', (3, 4, 16), ('layers', 'heads', 'head_dim'), False),
    ('decay', (3, 16), ('layers', 'hidden'), False),
    ('decay', (4, 16), ('gate', 'hidden'), False),
    ('embedding', (50, 8), ('vocab', 'embed'), True),
  ],
)
def test_weight_matrices_alone_are_decayed(name, shape, axes, expected):
  assert decayed(name, shape, axes) is expected


@pytest.mark.parametrize('name', architectures.names())
def test_biases_and_scales_of_every_architecture_are_not_decayed(name):
  """However many heads, gates and layers they are kept for; all weight matrices are."""
  fields = architectures.architecture(name)
  models = []
  for task in (tasks.make('language', {'length': 16}), tasks.make('language', {'length': 16, 'objective': 'masked'}),
               tasks.make('reversal', {})):  # fmt: skip
    depth = architectures.whole_depth(1, fields['pattern'])
    with contextlib.suppress(InputError):
      models.append(build(from_dict({**fields, 'width': 16, 'depth': depth, 'norm': 'layer'}), task.spec))
  assert models
  for model in models:
    mask = decay_mask(model.abstract_params, model.axes)
    for path, is_decayed in jax.tree_util.tree_leaves_with_path(mask):
      leaf = path[-1].key
      assert not (is_decayed and ('bias' in leaf or 'scale' in leaf)), path
      assert is_decayed or 'kernel' not in leaf, path


def test_weight_decay_moves_no_bias_of_a_model():
  """One step with gradients of zero, on a model with biases per head and gate."""
  model = build(from_dict(architectures.architecture('xlstm') | {'width': 16}), tasks.make('language', {}).spec)
  params = jax.tree.map(lambda a: jnp.ones(a.shape, a.dtype), model.abstract_params)
  transform = make_optimizer(TrainSettings(weight_decay=0.5, schedule='constant'), model.axes).transform
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = jax.jit(transform.update)(zeros, transform.init(params), params)
  moved = {path[-1].key for path, u in jax.tree_util.tree_leaves_with_path(updates) if float(jnp.abs(u).max()) > 0}
  assert 'kernel' in moved
  assert not [name for name in moved if 'bias' in name or 'scale' in name]


def test_a_learning_rate_changes_without_another_program():
  optimizer = make_optimizer(TrainSettings(learning_rate=0.1, warmup_steps=2))
  params = jax.tree.map(jnp.ones_like, gradients(0))
  state, compiled = optimizer.transform.init(params), []
  update = jax.jit(lambda *arguments: compiled.append(1) or optimizer.transform.update(*arguments))
  once, _ = update(gradients(0), state, params)
  twice, after = update(gradients(0), optimizer.with_learning_rate(state, 0.2), params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(2 * a, b, rtol=1e-6), once, twice)
  assert len(compiled) == 1
  assert float(optimizer.learning_rate(after, 1)) == pytest.approx(0.2 * 2 / 3)


def test_sgd_with_momentum_matches_numpy():
  settings = TrainSettings(optimizer='sgd', learning_rate=0.1, schedule='constant', momentum=0.8, clip=0.0)
  params = {name: np.ones_like(g) for name, g in gradients(0).items()}
  velocity = {name: np.zeros_like(p) for name, p in params.items()}
  for step in range(3):
    for name, g in gradients(step).items():
      velocity[name] = 0.8 * velocity[name] + g
      params[name] = params[name] - 0.1 * velocity[name]
  for name, value in run(settings, 3).items():
    np.testing.assert_allclose(value, params[name], rtol=1e-5)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'stepz': 3}, "train field='stepz' is not known; nearest: steps"),
    ({'optimizer': 'adamm'}, "train.optimizer='adamm' is not known; nearest: adam, adamw"),
    ({'optimizer': 'sgd', 'beta2': 0.9}, 'train.beta2=0.9 has no effect with train.optimizer=sgd; allowed: 0.99'),
    ({'momentum': 0.5}, 'train.momentum=0.5 has no effect with train.optimizer=adamw; .* another optimizer: sgd'),
    ({'optimizer': 'adam', 'weight_decay': 0.1}, 'train.weight_decay=0.1 has no effect with train.optimizer=adam;'),
    ({'schedule': 'constant', 'final_fraction': 0.5}, 'train.final_fraction=0.5 has no effect with train.schedule='),
    ({'schedule': 'linear'}, "train.schedule='linear' is not known"),
    ({'schedule': 'staircase'}, 'train.decay_every=0 must be greater than 0 with train.schedule=staircase'),
    ({'schedule': 'staircase', 'decay_every': -1}, 'train.decay_every=-1 must not be negative'),
    ({'schedule': 'staircase', 'decay_every': 5, 'decay_factor': 0.0}, 'train.decay_factor=0.0 must be above 0 and at'),
    ({'schedule': 'staircase', 'decay_every': 5, 'final_fraction': 0.5}, 'final_fraction=0.5 has no effect .*: cosine'),
    ({'decay_every': 5}, 'train.decay_every=5 has no effect with train.schedule=cosine; allowed: 0, or another sched'),
    ({'steps': 0}, 'train.steps=0 must be greater than 0'),
    ({'batch_size': -2}, 'train.batch_size=-2 must be greater than 0'),
    ({'steps': 1.5}, 'train.steps=1.5 must be a whole number'),
    ({'learning_rate': 'fast'}, "train.learning_rate='fast' must be a finite number"),
    ({'learning_rate': float('nan')}, 'train.learning_rate=nan must be a finite number'),
    ({'clip': -1.0}, 'train.clip=-1.0 must not be negative'),
    ({'beta2': 1.0}, r'train.beta2=1.0 must be in \[0, 1\)'),
    ({'final_fraction': 1.1}, r'train.final_fraction=1.1 must be in \[0, 1\]'),
    ({'steps': 10, 'warmup_steps': 10}, 'train.warmup_steps=10 must be less than train.steps=10'),
    ({'batch_size': 6, 'accumulate': 4}, 'train.batch_size=6 must be a multiple of train.accumulate=4'),
  ],
)
def test_bad_settings_are_named(fields, message):
  with pytest.raises(InputError, match=message):
    train_settings(fields)


def test_eval_settings():
  assert eval_settings({'batch_size': 7}) == EvalSettings(7)
  with pytest.raises(InputError, match=r'eval.batch_size=0 must be greater than 0'):
    eval_settings({'batch_size': 0})
