"""The number of a split: against a NumPy loop, at any batch size, on one device and on two."""

import dataclasses
import math

import jax
import numpy as np
import pytest

import tasks
from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.models import build
from tasks.base import Shard
from tasks.pipeline import cut
from tests.training import toy
from training import mesh as meshes
from training.evaluate import (
  NotFinite,
  batches,
  check_segment,
  evaluate,
  evaluate_examples,
  possible_evaluations,
)  # fmt: skip
from training.mesh_settings import MeshSettings
from training.settings import EvalSettings
from training.trees import first_not_finite, flatten


@pytest.fixture(scope='module')
def trained():
  model = toy.model()
  return model, model.init(jax.random.key(0))


def test_metrics_do_not_depend_on_the_batch_size(trained):
  model, params = trained
  task = toy.Toy()
  expected = by_hand(model, params, task, 'validation')
  for size, mesh in ((1, None), (7, None), (64, None), (7, meshes.make_mesh(MeshSettings(data=2)))):
    got = evaluate(model, params, task, task.evaluations()['validation'], EvalSettings(size), mesh)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
      np.testing.assert_allclose(got[name], value, rtol=1e-6)


def test_the_numbers_of_a_split_are_those_of_its_examples(trained):
  model, params = trained
  task = toy.Toy()
  evaluation = task.evaluations()['validation']
  whole = evaluate(model, params, task, evaluation, EvalSettings(7))
  for size in (7, 64):
    found = evaluate_examples(model, params, task, evaluation, EvalSettings(size))
    for name, (sums, weights) in found.items():
      np.testing.assert_allclose(sums.sum() / weights.sum(), whole[name], rtol=1e-6)
    one = evaluate_examples(model, params, task, evaluation, EvalSettings(1))
    for name, pair in found.items():
      np.testing.assert_allclose(pair[:, pair[1] > 0], one[name][:, one[name][1] > 0], rtol=1e-5)


def test_a_batch_is_no_larger_than_the_split():
  task = tasks.make('recall', {'vocabulary': 16, 'pairs': 2, 'length': 8, 'evaluation_examples': 21})
  model = build(ModelConfig(pattern=('gru',), width=8, depth=1), task.spec)
  shapes = []
  for size, devices in ((20_000, 1), (20_000, 2), (4, 1)):
    found = batches(
      model, task, task.evaluations()['test'], EvalSettings(size), meshes.make_mesh(MeshSettings(data=devices))
    )
    shapes.append(next(iter(found)).inputs.shape)
  assert shapes == [(21, 8), (22, 8), (4, 8)]


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_named(trained, value):
  model, params = trained
  task = toy.Toy()
  name, leaf = list(flatten(params).items())[1]
  broken = jax.tree.map(lambda x: x.at[(0,) * x.ndim].set(value) if x is leaf else x, params)
  with pytest.raises(NotFinite, match=f'^params/{name} holds NaN or infinity$'):
    evaluate(model, broken, task, task.evaluations()['validation'], EvalSettings())
  assert first_not_finite({'params': jax.tree.map(np.asarray, broken)}) == f'params/{name}'


def test_an_evaluation_replaces_options(trained):
  model, params = trained
  task = toy.Toy()
  got = evaluate(model, params, task, task.evaluations()['longer'], EvalSettings(5))
  assert got['loss'] == pytest.approx(
    by_hand(model, params, dataclasses.replace(task, length=12), 'test')['loss'], rel=1e-6
  )
  assert got['loss'] != pytest.approx(by_hand(model, params, task, 'test')['loss'], rel=1e-3)


def test_a_metric_without_weight_is_nan(trained, monkeypatch):
  model, params = trained
  make = toy.batch
  monkeypatch.setattr(toy, 'batch', lambda *args: make(*args)._replace(weights=np.zeros((5, 8), np.float32)))
  assert math.isnan(evaluate(model, params, toy.Toy(), toy.Toy().evaluations()['validation'], EvalSettings(5))['loss'])


class Pieces(toy.Toy):
  """The stand-in task, read in segments if asked for."""

  def dataset(self, split, batch_size, *, seed=0, shard=Shard(), segment=None):
    whole = super().dataset(split, batch_size, seed=seed, shard=shard)
    if segment is None:
      return whole
    pieces = -(-self.length // segment)
    return toy.Stream(lambda i: cut(whole.make(i // pieces), i % pieces, segment), whole.count * pieces)


def test_segments_with_a_memory_as_long_as_the_sequence_equal_whole_sequences():
  task = Pieces()
  model = toy.model('transformer_xl')
  params = jax.tree.map(lambda a: 3 * a, model.init(jax.random.key(1)))
  validation = task.evaluations()['validation']
  whole = evaluate(model, params, task, validation, EvalSettings())
  mesh = meshes.make_mesh(MeshSettings(data=2))
  segments = {
    memory: evaluate(model, params, task, validation, EvalSettings(segment=3, memory=memory, streams=6), mesh)
    for memory in (0, 3)
  }
  assert segments[0] == pytest.approx(whole, rel=1e-5)
  assert segments[3]['loss'] != pytest.approx(whole['loss'], rel=1e-3)
  with pytest.raises(InputError, match=r'eval.streams=7 .*2 devices'):
    evaluate(model, params, task, validation, EvalSettings(segment=3, streams=7), mesh)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'memory': 8}, 'eval.memory=8 needs eval.segment'),
    ({'segment': 8, 'memory': 4}, 'eval.memory=4 must be at least eval.segment=8'),
    ({'streams': 0}, 'eval.streams=0 must be greater than 0'),
    ({'streams': 4}, 'eval.streams=4 has no effect with eval.segment=0'),
  ],
)
def test_refuses_settings(fields, message):
  with pytest.raises(InputError, match=message):
    EvalSettings(**fields)


def by_hand(model, params, task, split):
  """Sums over all positions of all examples in float64, one batch of everything."""
  batch = next(iter(task.dataset(split, toy.EXAMPLES)))
  outputs, _ = jax.jit(model.apply)(params, batch.inputs)
  logits, weights = np.asarray(outputs, np.float64), np.asarray(batch.weights, np.float64)
  log_p = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
  loss = right = 0.0
  for i in range(weights.shape[0]):
    for t in range(weights.shape[1]):
      loss -= weights[i, t] * log_p[i, t, batch.targets[i, t]]
      right += weights[i, t] * (np.argmax(logits[i, t]) == batch.targets[i, t])
  return {'loss': loss / weights.sum(), 'accuracy': right / weights.sum()}


def test_learned_positions_leave_out_longer_evaluations():
  task = tasks.make('recall', {'vocabulary': 32, 'pairs': 2, 'length': 16})
  names = {
    position: set(possible_evaluations(build(ModelConfig(width=8, depth=1, position=position), task.spec), task))
    for position in ('learned', 'none')
  }
  assert names['none'] - names['learned'] == {'longer'}


def test_a_memory_beyond_a_table_of_learned_positions_is_refused():
  task = tasks.make('recall', {'vocabulary': 32, 'pairs': 2, 'length': 16})
  model = build(ModelConfig(width=8, depth=1, position='learned'), task.spec)
  check_segment('eval', 8, 16, model, task)
  for segment, memory, field in ((8, 17, 'memory'), (17, 0, 'segment')):
    with pytest.raises(InputError, match=rf'eval.{field}=17 must be at most 16 with model.position=learned'):
      check_segment('eval', segment, memory, model, task)
