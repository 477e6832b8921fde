"""Scores of forecasts: quantiles against integrals, Naive2 and DLinear against loops, what a model does by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import tasks
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models import build
from tasks import forecast_baselines, forecast_metrics, naive2, smoothing
from tasks.base import Evaluation
from training.free_running import free_running
from training.settings import EvalSettings

LOOKBACK, HORIZON, PATCH = 24, 6, 3


def make(**options):
  return tasks.make('forecasting', {'lookback': LOOKBACK, 'horizon': HORIZON} | options)


def test_nine_quantiles_are_the_deciles():
  np.testing.assert_allclose(forecast_metrics.levels(9), np.arange(1, 10) / 10, rtol=1e-6)


@pytest.mark.parametrize('actual', [-2.0, 0.0, 0.3, 1.7])
def test_crps_of_many_quantiles_is_that_of_their_distribution(actual):
  """Of N(0.5, 1.5²): the closed form of Gneiting et al. (2005), and the integral of (F(x) − [x ≥ y])²."""
  normal = stats.norm(0.5, 1.5)
  found = float(forecast_metrics.crps(jnp.asarray(normal.ppf(forecast_metrics.levels(999))), jnp.asarray(actual)))
  z = (actual - 0.5) / 1.5
  closed = 1.5 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
  x = np.linspace(-12, 13, 200_001)
  integral = np.trapezoid((normal.cdf(x) - (x >= actual)) ** 2, x)
  assert closed == pytest.approx(integral, abs=1e-4)
  assert found == pytest.approx(closed, abs=3e-3)


def test_crps_is_the_mean_loss_of_quantiles():
  random = np.random.default_rng(0)
  quantiles, actual = random.normal(size=(4, 5, 9)), random.normal(size=(4, 5))
  expected = np.zeros((4, 5))
  for index in np.ndindex(4, 5):
    for number in range(9):
      level, error = (number + 1) / 10, actual[index] - quantiles[(*index, number)]
      expected[index] += 2 * (level * error if error > 0 else (level - 1) * error) / 9
  np.testing.assert_allclose(forecast_metrics.crps(jnp.asarray(quantiles), jnp.asarray(actual)), expected, rtol=1e-5)


def test_the_median_is_what_other_metrics_score():
  plain, one, nine = make(), make(quantiles=1), make(quantiles=9)
  assert nine.spec.output.size == 9 * plain.spec.output.size
  batch = plain.arrays('test', np.arange(5))
  quantiles = np.sort(np.random.default_rng(0).normal(size=(5, HORIZON * 4, 9)), axis=-1).astype(np.float32)
  expected = plain.metrics(quantiles[..., 4], batch)
  for task, outputs in ((one, quantiles[..., 4]), (nine, quantiles.reshape(5, -1))):
    found = task.metrics(outputs, batch)
    for name in ('mse', 'mae', 'smape', 'mase', 'mase_seasonal_naive'):
      np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
    np.testing.assert_array_equal(found['loss'], found['crps'])
  np.testing.assert_allclose(one.loss(quantiles[..., 4], batch), expected['mae'], rtol=1e-6)
  crps = np.asarray(forecast_metrics.crps(jnp.asarray(quantiles), jnp.asarray(batch.targets)))
  total, weight = nine.loss(quantiles.reshape(5, -1), batch)
  np.testing.assert_allclose(total / weight, crps.mean(axis=1), rtol=1e-5)
  inside = (quantiles[..., 0] <= batch.targets) & (batch.targets <= quantiles[..., 8])
  np.testing.assert_array_equal(nine.metrics(quantiles.reshape(5, -1), batch)['coverage'][0], inside.sum(axis=1))


@pytest.mark.parametrize('channels', ['joint', 'independent'])
@pytest.mark.parametrize('quantiles', [0, 3])
def test_errors_of_normalised_windows_are_those_of_outputs_scaled_back(channels, quantiles):
  raw, own = (make(channels=channels, quantiles=quantiles, normalise=kind) for kind in ('none', 'instance'))
  indices = np.arange(10)
  a, b = raw.arrays('test', indices), own.arrays('test', indices)
  np.testing.assert_allclose(b.inputs.mean(axis=1), 0, atol=1e-5)
  np.testing.assert_allclose(b.inputs.std(axis=1), 1, atol=1e-3)
  mean, deviation = a.inputs.mean(axis=1), np.sqrt(a.inputs.var(axis=1) + 1e-5)
  outputs = np.asarray(jax.random.normal(jax.random.key(0), (10, raw.spec.output.size)))
  by_variable = outputs.reshape(10, HORIZON, mean.shape[1], quantiles or 1)
  back = (by_variable * deviation[:, None, :, None] + mean[:, None, :, None]).reshape(10, -1)
  expected, found = raw.metrics(back, a), own.metrics(outputs, b)
  assert found.keys() == expected.keys()
  for name, pair in found.items():
    np.testing.assert_allclose(pair, expected[name], rtol=2e-4, err_msg=name)


def test_errors_do_not_depend_on_the_level_of_a_series(tmp_path):
  """In float32 the neighbours of 1e9 are 64 apart, and its differences to them gone."""
  values = np.sin(np.arange(2000) * np.pi / 12) + np.random.default_rng(0).normal(size=2000) / 4
  errors = []
  for level in (0, 1e6, 1e9):
    path = tmp_path / f'{level:g}.csv'
    path.write_text('load\n' + ''.join(f'{value + level:.17g}\n' for value in values))
    task = make(dataset=str(path), period=24)
    batch = task.arrays('test', np.arange(50))
    found = task.metrics(jnp.asarray(batch.extras['seasonal_naive']) + 0.5, batch)
    errors.append([float(found[name][0].sum() / found[name][1].sum()) for name in ('mase', 'mase_seasonal_naive')])
    errors[-1].append(float(found['smape'][0].sum() / found['smape'][1].sum()) * (level or np.nan))
  np.testing.assert_allclose(errors[1][:2], errors[0][:2], rtol=1e-4)
  np.testing.assert_allclose(errors[2], errors[1], rtol=1e-4)


@pytest.mark.parametrize('period', [1, 6])
def test_smoothing_is_holts_and_winters(period):
  """Two series of two variables, by a loop over the equations, with the best coefficients of the grid."""
  random = np.random.default_rng(0)
  lengths, table = (90, 70), random.normal(size=(160, 2)) + 2 * np.sin(np.arange(160) * np.pi / 3)[:, None]
  starts = np.array([0, 90])
  ends = starts[:, None] + np.array([[60, 75, 90], [50, 60, 70]])

  def by_loop(values, alpha, gamma):
    level, season, errors, found = 0.0, [0.0] * period, [], []
    for t, x in enumerate(values):
      errors.append(x - level - season[t % period])
      a, g = max(alpha, 1 / (t + 1)), max(gamma, 1 / (t // period + 1))
      level = a * (x - season[t % period]) + (1 - a) * level
      if period > 1:
        season[t % period] = g * (x - level) + (1 - g) * season[t % period]
      found.append((level, season[t % period]))
    return np.array(errors), np.array(found)

  found = smoothing.smooth(table, starts, ends, period)
  for number, variable in np.ndindex(2, 2):
    rows = slice(starts[number], starts[number] + lengths[number])
    train = ends[number, 0] - starts[number]
    tried = [by_loop(table[rows, variable], a, g) for a in smoothing.ALPHAS for g in smoothing.GAMMAS]
    best = min(tried, key=lambda pair: np.square(pair[0][2 * period : train]).sum())
    np.testing.assert_allclose(found.level[rows, variable], best[1][:, 0], atol=1e-9)
    np.testing.assert_allclose(found.season[rows, variable], best[1][:, 1], atol=1e-9)


@pytest.mark.parametrize('channels', ['joint', 'independent'])
def test_a_smoothed_window_is_scaled_back_and_knows_nothing_of_the_future(channels):
  raw, own = (make(channels=channels, quantiles=1, normalise=kind) for kind in ('none', 'smoothing'))
  indices = np.array([0, 3, 900])
  a, b = raw.arrays('test', indices), own.arrays('test', indices)
  outputs = np.asarray(jax.random.normal(jax.random.key(0), b.targets.shape))
  wide = lambda name: np.tile(b.extras[name], (1, b.targets.shape[1] // b.extras[name].shape[1]))
  units = [np.tile(a.extras[name], (1, HORIZON)) for name in ('scale', 'shift')]
  back = (outputs * wide('scale') + wide('shift') - units[1]) / units[0]
  for name, pair in own.metrics(outputs, b).items():
    np.testing.assert_allclose(pair, raw.metrics(back, a)[name], rtol=2e-4, err_msg=name)
  # The season of a past season goes on, and the rest of the past has a deviation of 1.
  centre = own._smooth_part(own.windows('test')[:2], np.zeros(2, int))
  np.testing.assert_array_equal(
    centre[:, LOOKBACK : LOOKBACK + HORIZON], centre[:, LOOKBACK - 24 : LOOKBACK - 24 + HORIZON]
  )
  np.testing.assert_allclose(b.inputs.std(axis=1), 1, atol=1e-2)
  data, end = own.data, int(own.windows('test')[0]) + LOOKBACK
  changed = data.values.copy()
  changed[end:] = 7
  before, after = (smoothing.smooth(x, data.starts, data.ends, 24) for x in (data.values, changed))
  for one, other in zip(before, after, strict=True):
    np.testing.assert_array_equal(one[:end], other[:end])
    assert (one[end:] != other[end:]).any()


def test_a_past_shorter_than_a_season_cannot_be_smoothed():
  with pytest.raises(InputError, match=r'task\.lookback=12 must be at least a season, 24'):
    make(lookback=12, normalise='smoothing').arrays('train', np.arange(2))


def test_naive2_continues_a_season_and_repeats_what_has_none():
  season = 10 + 3 * np.sin(np.arange(24))
  past = np.tile(season, 8)[:180]
  np.testing.assert_allclose(naive2.forecast(past, 24, 48), np.tile(season, 11)[180:228], rtol=1e-10)
  noise = 10 + np.random.default_rng(0).normal(size=200)
  np.testing.assert_array_equal(naive2.forecast(noise, 24, 5), noise[-1])
  np.testing.assert_array_equal(naive2.forecast(past[:71], 24, 5), past[70], 'fewer than three seasons')
  np.testing.assert_array_equal(naive2.forecast(past, 1, 5), past[-1])
  np.testing.assert_array_equal(naive2.forecast(np.full(100, 2.0), 24, 5), 2.0)


def test_seasonal_indices_are_mean_ratios_to_the_moving_average():
  """By a loop over the definition, for an even and an odd season."""
  values = 10 + np.random.default_rng(0).random(50)
  for period in (6, 5):
    half, ratios = period // 2, {place: [] for place in range(period)}
    for t in range(half, 50 - half):
      window = values[t - half : t + half + 1].copy()
      if period % 2 == 0:
        window[[0, -1]] /= 2
      ratios[t % period].append(values[t] / (window.sum() / period))
    means = np.array([np.mean(ratios[place]) for place in range(period)])
    np.testing.assert_allclose(naive2.seasonal_indices(values, period), means / means.mean(), rtol=1e-12)


def test_the_moving_average_repeats_the_ends():
  past = np.random.default_rng(0).normal(size=(3, 40))
  padded = np.concatenate([np.repeat(past[:, :1], 12, 1), past, np.repeat(past[:, -1:], 12, 1)], axis=1)
  expected = np.stack([padded[:, t : t + 25].mean(axis=1) for t in range(40)], axis=1)
  np.testing.assert_allclose(past @ forecast_baselines.moving_average(40), expected, rtol=1e-12)


def test_dlinear_fits_as_well_as_any_linear_map():
  """Trend and remainder add up to the past, so that the best training error is that of least squares."""
  task = make()
  windows = {split: task.windows(split) for split in task.splits}
  every = np.lib.stride_tricks.sliding_window_view(task.data.values, LOOKBACK + HORIZON, axis=0)[windows['train']]
  past, future = every[..., :LOOKBACK].reshape(-1, LOOKBACK), every[..., LOOKBACK:].reshape(-1, HORIZON)
  inputs = np.concatenate([past, np.ones((len(past), 1))], axis=1)
  weights, *_ = np.linalg.lstsq(inputs, future, rcond=None)
  best = np.square(inputs @ weights - future).mean()
  fitted = np.square(forecast_baselines.fit_dlinear(task.data, windows, LOOKBACK, HORIZON)(past) - future).mean()
  assert best <= fitted < 1.01 * best


@pytest.mark.parametrize(('channels', 'patch'), [('joint', 1), ('independent', PATCH)])
def test_autoregressive_windows_are_the_direct_ones_step_by_step(channels, patch):
  direct, steps = make(channels=channels, patch=patch), make(channels=channels, patch=patch, form='autoregressive')
  indices = np.array([0, 7])
  a, b = direct.arrays('test', indices), steps.arrays('test', indices)
  tokens, ahead = LOOKBACK // patch, HORIZON // patch
  assert steps.spec.length == tokens + ahead - 1
  assert steps.spec.readout == 'every'
  np.testing.assert_array_equal(b.inputs[:, :tokens], a.inputs)
  np.testing.assert_array_equal(b.inputs[:, 1:], b.targets[:, :-1])
  np.testing.assert_array_equal(b.targets[:, -ahead:].reshape(2, -1), a.targets)
  np.testing.assert_array_equal(b.weights, np.tile(np.arange(tokens + ahead - 1) >= tokens - 1, (2, 1)))
  assert (steps.arrays('train', indices).weights == 1).all()
  outputs = np.random.default_rng(0).normal(size=b.targets.shape).astype(np.float32)
  expected = direct.metrics(outputs[:, -ahead:].reshape(2, -1), a)
  for name, pair in steps.metrics(outputs, b).items():
    np.testing.assert_allclose(pair, expected[name], rtol=1e-5)


@pytest.mark.parametrize('quantiles', [0, 3])
def test_a_free_running_forecast_reads_its_own_steps(quantiles):
  """Against the whole model on what has been written so far, step by step; at any batch size."""
  options = {'patch': PATCH, 'quantiles': quantiles, 'normalise': 'instance', 'channels': 'independent'}
  task, direct = make(form='autoregressive', **options), make(**options | {'quantiles': 0})
  model = build(ModelConfig(pattern=('gru', 'attention'), width=8, position='learned'), task.spec)
  params, count = model.init(jax.random.key(1)), 20
  batch = task.arrays('test', np.arange(count))
  read = batch.inputs[:, : LOOKBACK // PATCH]
  for _ in range(HORIZON // PATCH):
    outputs = np.asarray(jax.jit(model.apply)(params, read)[0][:, -1:])
    median = outputs.reshape(count, 1, PATCH, -1)[..., (quantiles or 1) // 2]
    read = np.concatenate([read, median], axis=1)
  forecast = read[:, LOOKBACK // PATCH :].reshape(count, -1)
  expected = {
    name: float(total.sum() / weight.sum())
    for name, (total, weight) in direct.metrics(forecast, direct.arrays('test', np.arange(count))).items()
  }
  expected |= task.derived(expected)
  del expected['loss']
  for size, limit in ((20, 20), (7, 20)):
    got = free_running(model, params, task, Evaluation('test'), EvalSettings(size, free_running=limit))
    assert got == pytest.approx({f'free_{name}': value for name, value in expected.items()}, rel=1e-4)
  assert free_running(model, params, direct, Evaluation('test'), EvalSettings(10, free_running=10)) == {}
