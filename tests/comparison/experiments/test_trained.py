"""Trials of an experiment: one compiled step for every rate and seed, any optimizer, dropout."""

import dataclasses

import jax
import numpy as np
import pytest

from comparison.experiments import trained
from comparison.experiments.trained import Trainer, score, scored_test, trials
from comparison.experiments.variants import Variant
from tasks.recall import Recall
from training.evaluate import NotFinite
from training.optimizer import OPTIMIZERS
from training.settings import TrainSettings

TASK = Recall(vocabulary=16, pairs=2, length=8, evaluation_examples=20)
SETTINGS = TrainSettings(steps=4, batch_size=4, schedule='constant')


def model(**fields):
  return Variant('gru').build(TASK.spec, width=8, depth=1, **fields)


def test_dropout_changes_the_losses_of_an_experiment():
  """And its draws follow the seed, with one compiled step."""
  plain, dropped = (Trainer(model(dropout=rate, block='residual'), TASK, SETTINGS) for rate in (0.0, 0.1))
  losses = [trainer.run(1e-2, seed).losses for trainer in (plain, dropped) for seed in (0, 1)]
  assert len({tuple(curve) for curve in losses}) == 4
  np.testing.assert_array_equal(dropped.run(1e-2, 1).losses, losses[3])


def test_the_scores_of_a_test_are_those_of_its_parts():
  trial = Trainer(model(), TASK, SETTINGS).run(1e-2, 0)
  net = model()
  found, whole = scored_test(net, trial.params, TASK), score(net, trial.params, TASK, 'test')
  assert {name: value for name, (value, _) in found.items()} == whole
  assert len(found['loss'][1]) == trained.PARTS
  assert np.mean(found['loss'][1]) == pytest.approx(whole['loss'], rel=1e-4)


def test_parts_are_equal_in_order_and_without_fillers():
  sums = np.array([[1.0, 2.0, 9.0, 3.0, 4.0], [1.0, 1.0, 0.0, 1.0, 1.0]])
  assert trained.in_parts(sums) == [1.0, 2.0, 3.0, 4.0]
  many = np.stack([np.arange(60.0), np.full(60, 2.0)])
  assert trained.in_parts(many) == [(3 * i + 1) / 2 for i in range(trained.PARTS)]
  assert trained.in_parts(np.zeros((2, 3))) == []


def test_rates_and_seeds_share_one_compiled_step():
  trainer = Trainer(model(), TASK, SETTINGS)
  curves = {(rate, seed): trainer.run(rate, seed).losses for rate in (1e-3, 1e-2) for seed in (0, 1)}
  assert len({tuple(curve) for curve in curves.values()}) == 4
  assert curves[1e-3, 0][0] == curves[1e-2, 0][0]  # the same parameters and data
  assert trainer.setup.step._cache_size() == 0  # all went through the one that was compiled ahead


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_every_optimizer_trains_in_an_experiment(name):
  trainer = Trainer(model(), TASK, dataclasses.replace(SETTINGS, optimizer=name))
  trial = trainer.run(1e-3, 0)
  assert trial.finite
  assert len(trial.losses) == 4
  assert trial.losses[-1] != trial.losses[0]


def test_a_trial_that_diverges_scores_nothing_and_the_others_go_on():
  trainer = Trainer(model(), TASK, dataclasses.replace(SETTINGS, optimizer='sgd', clip=0.0, steps=6))
  trial = trainer.run(1e38, 0)
  assert not trial.finite
  assert (
    len(trial.losses) < 6
    or not np.isfinite(trial.losses).all()
    or not np.isfinite(jax.tree.leaves(trial.params)[0]).all()
  )
  rate, runs, _ = trials(trainer, [1e38, 1e-2], [0], lambda params: score(model(), params, TASK, 'test')['accuracy'])
  assert rate == 1e-2
  assert [seed for seed, _ in runs] == [0]
  broken = jax.tree.map(lambda x: x * np.nan, runs[0][1].params)
  with pytest.raises(NotFinite, match='holds NaN or infinity'):
    score(model(), broken, TASK, 'test')
