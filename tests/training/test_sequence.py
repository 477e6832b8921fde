"""Sequences whose tokens are split over devices: the results of one device, and what the parts send each other."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType

from seqmodels.config import ModelConfig
from seqmodels.context import Context
from seqmodels.errors import InputError
from seqmodels.kernels.cpu import library
from seqmodels.mixers import MIXERS
from seqmodels.models import build
from tests.training import toy
from tests.training.sequence import CASES, name_of
from training import evaluate as evaluating
from training import mesh as meshes
from training.activations import Constrain
from training.mesh_settings import MESH_AXES, MeshSettings
from training.plan.estimate import estimate
from training.run import make_run
from training.settings import EvalSettings, TrainSettings

ROOT = pathlib.Path(__file__).parents[2]
# All-gathers, and reduce-scatters, which are their gradients: of a mixer's call with resets, padding and a state, and
# of the gradient of everything. Two gathers are for the flags, where a mixer needs those of all tokens. A convolution
# gathers the last inputs of each part and their number, a recurrence the summaries of the parts.
COLLECTIVES = {
  'attention-rotary': (4, 2), 'sliding_window-3-relative': (6, 4), 'sparse-3-t5': (6, 4), 'transformer_xl': (5, 3),
  'linear_attention': (3, 2), 'performer': (4, 2), 'retention-rotary': (4, 1), 'ssd': (6, 5), 'ssd-4-True': (7, 5),
  'gla': (2, 2),
  'gated_delta': (6, 5), 'mlstm': (4, 3), 'min_gru': (2, 2), 'min_lstm': (2, 2), 'lru': (4, 4), 'rg_lru': (4, 3),
  'conv': (2, 1), 'attention-relative': (6, 4), 'attention both ways': (4, 2), 'linear_attention both ways': (7, 4),
  'min_gru both ways': (5, 4), 'conv both ways': (5, 2), 'linformer-16 both ways': (12, 8),
  'sliding_window-3 both ways': (6, 4), 'sparse-3 both ways': (6, 4),
}  # fmt: skip
FEWER = {'linformer-16 both ways': 8}  # gathers of the same program, where the compiler finds that four are alike


two_devices = pytest.mark.skipif(
  jax.device_count() < 2 or jax.default_backend() != 'cpu', reason='needs two CPU devices'
)


@pytest.fixture(scope='module')
def found() -> dict[str, Any]:
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  command = [sys.executable, '-m', 'tests.training.sequence']
  done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


@pytest.mark.parametrize('name', list(map(name_of, CASES)))
def test_four_parts_are_one_call(found, name):
  row = found[name]
  assert row['has_state'] == ('both ways' not in name)
  assert max(row['outputs'], row['state'], row['gradients']) < 1e-5, row


@pytest.mark.parametrize('name', list(map(name_of, CASES)))
def test_what_the_parts_send_each_other(found, name):
  gathers, scatters = COLLECTIVES[name]
  if found[name]['collectives']['all-gather'] == FEWER.get(name):
    gathers = FEWER[name]
  assert found[name]['collectives'] == {'all-gather': gathers, 'all-reduce': 1, 'reduce-scatter': scatters}


def test_every_mixer_that_can_be_split_is_here():
  assert {case.name for case in CASES} == {name for name, mixer in MIXERS.items() if mixer.can_be_split}
  assert {name for name in MIXERS if not MIXERS[name].can_be_split} == {'rnn', 'lstm', 'gru', 'slstm', 'conv_lstm'}


@pytest.mark.parametrize(
  'name', ['last', 'mean', 'source', 'no attention', 'odd', 'odd mean', 'odd source', 'odd no attention']
)
def test_a_model_on_two_by_two_devices_is_one_on_one(found, name):
  assert found['models'][name] < 1e-5


@two_devices
def test_what_cannot_be_split_is_one_line():
  names = ', '.join(name for name in MIXERS if MIXERS[name].can_be_split)
  allowed = f'allowed: mesh.sequence=1, or a pattern of {names}'
  for mixer, length, settings, expected in (
    ('lstm', 8, {}, f'mesh.sequence=2: lstm cannot be split over time; {allowed}'),
    ('attention', 8, {'segment': 3, 'memory': 8}, 'mesh.sequence=2 must divide train.segment=3'),
  ):
    train = TrainSettings(batch_size=2, **settings)
    with pytest.raises(InputError) as caught:
      make_run(toy.model(mixer), toy.Toy(length), train, mesh_settings=MeshSettings(sequence=2))
    assert str(caught.value) == expected
  mesh = meshes.make_mesh(MeshSettings(sequence=2))
  for mixer, settings, expected in (
    ('gru', EvalSettings(), 'mesh.sequence=2: gru cannot be split over time'),
    ('min_gru', EvalSettings(segment=3, memory=8, streams=4), 'mesh.sequence=2 must divide eval.segment=3'),
  ):
    with pytest.raises(InputError, match=expected):
      evaluating.check(toy.model(mixer), toy.Toy(), settings, mesh)


@two_devices
def test_a_plan_divides_what_has_all_tokens():
  task = toy.Toy(64)
  model = build(ModelConfig(pattern=('attention',), width=16, heads=2, depth=1, feedforward=1.0), task.spec)
  runs = [make_run(model, task, TrainSettings(batch_size=4), mesh_settings=MeshSettings(sequence=n)) for n in (1, 2)]
  one, two = (estimate(run, 'cpu', 2**30) for run in runs)
  assert 0.45 < two.activations / one.activations < 0.6
  assert (two.params, two.optimizer, two.flops) == (one.params, one.optimizer, one.flops / 2)
  exchanged = 2 * 4 * 64 * 16 * 4  # keys and values of four rows
  assert not one.collectives
  assert two.collectives == {'all-gather': exchanged, 'reduce-scatter': exchanged, 'all-reduce': one.params}


def traced(model: Any, **sizes: int) -> Any:
  """Return the shapes of a model's outputs on a mesh that need not be there."""
  shape = tuple(sizes.get(name, 1) for name in MESH_AXES)
  mesh = AbstractMesh(shape, MESH_AXES, axis_types=(AxisType.Auto,) * len(shape))
  tokens = jax.ShapeDtypeStruct((4, 8), jnp.int32)
  apply = lambda params, tokens: model.apply(params, tokens, context=Context(constrain=Constrain(mesh)))[0]
  return jax.eval_shape(apply, model.abstract_params, tokens)


def test_a_mixer_that_cannot_be_split_is_refused_in_a_call_too():
  assert traced(toy.model('lstm'), sequence=1).shape == traced(toy.model('min_gru'), sequence=4).shape
  with pytest.raises(InputError, match='mixer LSTM needs all tokens on one device'):
    traced(toy.model('lstm'), sequence=4)
  assert traced(toy.model('min_gru'), sequence=3).shape == (4, 8, toy.SIZE)  # nine, of which one is padding


@pytest.mark.skipif(not library.load(), reason='the kernels for CPUs are not built')
def test_kernels_in_cpp_are_for_meshes_that_split_nothing_else():
  traced(toy.model('min_gru', kernels='cpu'), sequence=4)
  traced(toy.model('min_gru'), data=2, sequence=4)
  with pytest.raises(InputError, match=r'model\.kernels=cpu cannot compute diagonal: a mesh that splits'):
    traced(toy.model('min_gru', kernels='cpu'), data=2, sequence=4)
