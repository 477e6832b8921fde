"""Schedules against their formulas; AdamW and SGD against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import InputError
from training.optimizer import make_optimizer, make_schedule
from training.settings import EvalSettings, TrainSettings, eval_settings, train_settings


def test_cosine_schedule_matches_its_formula():
  settings = TrainSettings(steps=50, learning_rate=0.3, schedule='cosine', warmup_steps=10, final_fraction=0.1)
  schedule = make_schedule(settings)
  for step in (0, 1, 9, 10, 11, 30, 50, 60):
    if step < 10:
      expected = 0.3 * (step + 1) / 11
    else:
      progress = min((step - 10) / 40, 1)
      expected = 0.3 * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * progress)))
    np.testing.assert_allclose(float(schedule(jnp.asarray(step))), expected, rtol=1e-5)


def test_constant_schedule_warms_up_and_stays():
  schedule = make_schedule(TrainSettings(learning_rate=0.2, schedule='constant', warmup_steps=3))
  values = [float(schedule(jnp.asarray(step))) for step in range(6)]
  np.testing.assert_allclose(values, [0.05, 0.1, 0.15, 0.2, 0.2, 0.2], rtol=1e-5)


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
    schedule = make_schedule(TrainSettings(steps=steps, learning_rate=0.3, warmup_steps=-1))
    rates = [float(schedule(step)) for step in range(steps)]
    assert int(np.argmax(rates)) == steps // 20
    assert max(rates) == pytest.approx(0.3)


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
  ('fields', 'told'),
  [
    ({'stepz': 3}, "train field='stepz' is not known; nearest: steps"),
    ({'optimizer': 'adam'}, "train.optimizer='adam' is not known; nearest: adamw"),
    ({'schedule': 'linear'}, "train.schedule='linear' is not known"),
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
def test_bad_settings_are_named(fields, told):
  with pytest.raises(InputError, match=told):
    train_settings(fields)


def test_eval_settings():
  assert eval_settings({'batch_size': 7}) == EvalSettings(7)
  with pytest.raises(InputError, match=r'eval.batch_size=0 must be greater than 0'):
    eval_settings({'batch_size': 0})
