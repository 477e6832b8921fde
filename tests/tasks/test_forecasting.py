"""Forecasting: windows by a loop, scaling from training rows alone, baselines against loops and closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tasks
from tasks import forecast_baselines
from tasks.datasets import series

LOOKBACK, HORIZON = 24, 6


def make(**options):
  return tasks.make('forecasting', {'lookback': LOOKBACK, 'horizon': HORIZON} | options)


def windows_by_loop(values, first, end):
  """Every (past, future) whose future lies in rows first … end."""
  return [(values[t - LOOKBACK : t], values[t : t + HORIZON]) for t in range(first, end - HORIZON + 1)]


def test_scaling_uses_training_rows_alone():
  table = series._seasonal()
  data = series.load('seasonal')
  mean, deviation = table[:3600].mean(axis=0), table[:3600].std(axis=0)
  np.testing.assert_allclose(data.values, (table - mean[None, :]) / deviation[None, :], atol=1e-12)


def test_every_test_window_is_there_once_in_order():
  task, data = make(), series.load('seasonal')
  _, validation_end, end = data.ends[0]
  expected = windows_by_loop(data.values, validation_end, end)
  batches = list(task.dataset('test', 64))
  real = [batch.weights > 0 for batch in batches]
  inputs = np.concatenate([batch.inputs[rows] for batch, rows in zip(batches, real, strict=True)])
  targets = np.concatenate([batch.targets[rows] for batch, rows in zip(batches, real, strict=True)])
  assert len(inputs) == len(expected) == task.count('test')
  np.testing.assert_allclose(inputs, [past for past, _ in expected], rtol=1e-6, atol=1e-7)
  np.testing.assert_allclose(targets, [future.ravel() for _, future in expected], rtol=1e-6, atol=1e-7)


def test_training_windows_end_where_training_ends():
  task, data = make(), series.load('seasonal')
  last = task.arrays('train', np.array([task.count('train') - 1]))
  np.testing.assert_allclose(
    last.targets[0], data.values[data.ends[0][0] - HORIZON : data.ends[0][0]].ravel(), rtol=1e-6
  )


def test_independent_channels_are_the_joint_windows_taken_apart():
  joint, apart = make(), make(channels='independent')
  assert apart.count('test') == 4 * joint.count('test')
  assert (apart.spec.input.size, apart.spec.output.size) == (1, HORIZON)
  whole = joint.arrays('test', np.array([5]))
  parts = apart.arrays('test', 4 * 5 + np.arange(4))
  np.testing.assert_array_equal(parts.inputs[:, :, 0].T, whole.inputs[0])
  np.testing.assert_array_equal(parts.targets.T, whole.targets[0].reshape(HORIZON, 4))


@pytest.mark.parametrize('channels', ['joint', 'independent'])
def test_a_patch_is_its_steps_one_after_the_other(channels):
  steps, patches = make(channels=channels), make(channels=channels, patch=8)
  assert (patches.spec.length, patches.spec.input.size) == (LOOKBACK // 8, 8 * steps.spec.input.size)
  by_step, by_patch = (task.arrays('test', np.arange(3)) for task in (steps, patches))
  for token in range(LOOKBACK // 8):
    np.testing.assert_array_equal(
      by_patch.inputs[:, token], by_step.inputs[:, 8 * token : 8 * token + 8].reshape(3, -1)
    )
  np.testing.assert_array_equal(by_patch.targets, by_step.targets)


def test_subtracting_the_last_value_leaves_the_error_as_it_is():
  """Copying the last value means answering 0 there; the published form adds the value back instead."""
  raw, shifted = make(), make(normalise='last')
  indices = np.arange(10)
  a, b = raw.arrays('test', indices), shifted.arrays('test', indices)
  assert not b.inputs[:, -1].any()
  last = np.tile(a.inputs[:, -1], (1, HORIZON))
  outputs = jax.random.normal(jax.random.key(0), b.targets.shape)
  for name in ('mse', 'mae'):
    np.testing.assert_allclose(raw.metrics(outputs + last, a)[name][0], shifted.metrics(outputs, b)[name][0], rtol=1e-4)


@pytest.mark.parametrize('channels', ['joint', 'independent'])
def test_metrics_are_means_over_all_targets_of_all_windows(channels):
  task, data = make(channels=channels), series.load('seasonal')
  metrics = jax.jit(lambda batch: task.metrics(jnp.tile(batch.inputs[:, -1], (1, HORIZON)), batch))
  totals = {name: np.zeros(2) for name in ('loss', 'mse', 'mae', 'smape', 'mase', 'mase_seasonal_naive')}
  for batch in task.dataset('test', 64):
    for name, pair in metrics(batch).items():
      totals[name] += np.array(pair, np.float64).sum(axis=1)
  expected = windows_by_loop(data.values, *data.ends[0][1:])
  errors = np.array([past[-1:] - future for past, future in expected])
  squared, absolute = float(np.square(errors).mean()), float(np.abs(errors).mean())
  table = series._seasonal()
  mean, deviation = table[:3600].mean(axis=0), table[:3600].std(axis=0)
  naive = np.abs(table[24:4800] - table[: 4800 - 24]).mean(axis=0)
  smape, mase = [], []
  for past, future in expected:
    for variable in range(4):
      forecast = past[-1, variable] * deviation[variable] + mean[variable]
      for step in range(HORIZON):
        actual = future[step, variable] * deviation[variable] + mean[variable]
        smape.append(200 * abs(forecast - actual) / (abs(forecast) + abs(actual)))
        mase.append(abs(forecast - actual) / naive[variable])
  means = {'loss': squared, 'mse': squared, 'mae': absolute, 'smape': np.mean(smape), 'mase': np.mean(mase)}
  assert all(weight == errors.size for _, weight in totals.values())
  found = {name: total / weight for name, (total, weight) in totals.items() if name in means}
  assert found == pytest.approx(means, rel=2e-5)
  copied = task.baselines()['copy_last']
  seasonal = np.mean(
    [
      abs(past[step % 24, variable] - future[step, variable]) * deviation[variable] / naive[variable]
      for past, future in expected
      for variable in range(4)
      for step in range(HORIZON)
    ]
  )
  assert copied == pytest.approx(means | {'skill': 1 - means['mase'] / seasonal})
  beside = totals['mase_seasonal_naive'][0] / totals['mase_seasonal_naive'][1]
  assert task.derived({'mase': means['mase'], 'mase_seasonal_naive': beside})['skill'] == pytest.approx(copied['skill'])


def test_seasonal_naive_repeats_the_day_before():
  data = series.load('seasonal')
  windows = {split: make().windows(split) for split in ('train', 'validation', 'test')}

  def evaluate(*periods):
    return forecast_baselines.evaluate(dataclasses.replace(data, periods=periods), windows, LOOKBACK, HORIZON)

  result = evaluate(8, 16)
  errors = [
    past[LOOKBACK - 8 + step % 8] - future[step]
    for past, future in windows_by_loop(data.values, *data.ends[0][1:])
    for step in range(HORIZON)
  ]
  assert result['seasonal_naive']['mse'] == pytest.approx(np.square(errors).mean())
  assert result['seasonal_naive']['skill'] == 0
  assert set(result) == {'copy_last', 'seasonal_naive', 'seasonal_naive_16', 'linear', 'dlinear'}
  assert set(evaluate(24, 25)) == {'copy_last', 'seasonal_naive', 'linear', 'dlinear'}
  assert set(evaluate(1)) == {'copy_last', 'linear', 'dlinear'}
  assert evaluate(1)['copy_last']['skill'] == 0, 'beside a random walk'
  assert 'skill' not in evaluate(25)['linear'], 'the season is longer than the lookback'


def test_the_linear_map_is_found_where_there_is_one():
  """x(t) = 1.6 x(t−1) − x(t−2) has an exact linear forecast."""
  random = np.random.default_rng(0)
  values = np.zeros((400, 2))
  values[:2] = random.normal(size=(2, 2))
  for t in range(2, 400):
    values[t] = 1.6 * values[t - 1] - values[t - 2]
  data = series.collected([values], [(212, 262, 312)], (2,), {})
  windows = {'train': np.arange(200), 'validation': np.arange(200, 250), 'test': np.arange(250, 300)}
  fitted = forecast_baselines.evaluate(data, windows, 8, 4)
  for name in ('linear', 'dlinear'):
    assert fitted[name]['mse'] < 1e-4 * fitted['copy_last']['mse']


def test_the_linear_map_is_least_squares():
  """Against NumPy's solver on the stacked windows of all variables, at a penalty of nearly nothing."""
  data = series.load('seasonal')
  windows = {split: make().windows(split) for split in ('train', 'validation', 'test')}
  pairs = windows_by_loop(data.values[: data.ends[0][0]], LOOKBACK, data.ends[0][0])
  past = np.concatenate([past.T for past, _ in pairs])
  future = np.concatenate([future.T for _, future in pairs])
  inputs = np.concatenate([past - past[:, -1:], np.ones((len(past), 1))], axis=1)
  weights, *_ = np.linalg.lstsq(inputs, future - past[:, -1:], rcond=None)
  forecast = forecast_baselines.fit_linear(data, windows, LOOKBACK, HORIZON)
  expected = past[:50, -1:] + inputs[:50] @ weights
  np.testing.assert_allclose(forecast(past[:50]), expected, atol=0.02)


@pytest.mark.parametrize(('channels', 'count'), [('joint', 60), ('independent', 238)])
def test_linear_maps_are_fitted_to_the_training_examples_alone(channels, count):
  few, data = make(channels=channels, train_examples=count), series.load('seasonal')
  windows = {split: make().windows(split) for split in ('train', 'validation', 'test')}
  fitted = lambda train: forecast_baselines.evaluate(data, windows | {'train': train}, LOOKBACK, HORIZON)
  expected, every = fitted(windows['train'][-60:]), fitted(windows['train'])
  assert few.baselines() == expected
  assert expected['linear']['mse'] > every['linear']['mse'] + 1e-3
  assert expected['copy_last'] == every['copy_last']


def test_baselines_stand_beside_what_an_autoregressive_model_writes_by_itself():
  direct, written = make().baselines(), make(form='autoregressive').baselines()
  for name, errors in direct.items():
    assert written[name] == {f'free_{metric}': value for metric, value in errors.items() if metric != 'loss'}


def test_a_baseline_beside_quantiles_has_their_loss():
  task = make(quantiles=3)
  metrics = jax.jit(
    lambda batch: task.metrics(jnp.repeat(jnp.tile(batch.inputs[:, -1], (1, HORIZON)), 3, axis=1), batch)
  )
  totals = np.sum([np.sum(np.array(metrics(batch)['loss']), axis=1) for batch in task.dataset('test', 64)], axis=0)
  found = task.baselines()['copy_last']
  assert found['loss'] == found['crps'] == pytest.approx(totals[0] / totals[1], rel=1e-5)


def test_the_seasonal_series_can_be_forecast_and_not_perfectly():
  baselines = tasks.make('forecasting', {'lookback': 168, 'horizon': 24}).baselines()
  assert (
    0.05 < baselines['linear']['mse'] < 0.7 * min(baselines['seasonal_naive']['mse'], baselines['copy_last']['mse'])
  )


def test_the_seasonal_series_is_version_1_of_its_generator():
  """By three values and a sum, since sines differ in their last digits between machines."""
  data = series.load('seasonal')
  assert data.identity == {'version': 1}
  table = series._seasonal()
  np.testing.assert_allclose(
    table[[0, 1234, 5999], [0, 1, 3]], [-1.248051410114055, 0.58765023016886, -0.674959374480354], rtol=1e-9
  )
  assert np.abs(table).sum() == pytest.approx(18040.07538752419, rel=1e-9)


@pytest.mark.parametrize('channels', ['joint', 'independent'])
def test_few_training_examples_are_the_last_windows(channels):
  few, every = make(channels=channels, train_examples=10), make(channels=channels)
  rows = few.arrays('train', np.arange(10))
  np.testing.assert_array_equal(rows.targets, every.arrays('train', every.count('train') - 10 + np.arange(10)).targets)
