"""Training on meshes is training on one device; and what a step sends between devices is what a table says."""

import functools
import json
import os
import pathlib
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest

from seqmodels.config import ModelConfig
from seqmodels.errors import InputError
from seqmodels.mixers import MIXERS
from seqmodels.models import build
from seqmodels.spec import Spec, Tokens
from tests.models.devices import OPTIONS
from tests.training import toy
from tests.training.collectives import count, whole_sums
from tests.training.meshes import CASES, MESHES, SPLIT
from training import mesh as meshes
from training.mesh_settings import MeshSettings
from training.run import make_run
from training.settings import TrainSettings

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def found() -> dict[str, Any]:
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  command = [sys.executable, '-m', 'tests.training.meshes']
  done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


@pytest.mark.parametrize('dropout', ['0', '0.2'])
@pytest.mark.parametrize('name', CASES)
def test_the_loss_curve_is_that_of_one_device(found, name, dropout):
  curves = {mesh: found['curves'].get(f'{name} dropout={dropout} {mesh}') for mesh in MESHES}
  curves = {mesh: np.array(curve) for mesh, curve in curves.items() if curve}
  assert curves.keys() == (MESHES.keys() if dropout == '0' else {'1', '2x2x2'})
  assert all(len(curve) == 20 and np.ptp(curve) > 0.01 for curve in curves.values())
  for curve in curves.values():
    np.testing.assert_allclose(curve, curves['1'], rtol=1e-5)


@pytest.mark.parametrize(('name', 'dropout'), [(name, rate) for name, rates in SPLIT.items() for rate in rates])
def test_the_loss_curve_with_tokens_split_is_that_of_one_device(found, name, dropout):
  curve = lambda mesh: np.array(found['curves'][f'{name} dropout={dropout:g} {mesh}'])
  for mesh in SPLIT[name][dropout]:
    np.testing.assert_allclose(curve(mesh), curve('1'), rtol=1e-5)


def test_dropout_changes_the_curve(found):
  for name in CASES:
    plain, dropped = (np.array(found['curves'][f'{name} dropout={rate} 2x2x2']) for rate in ('0', '0.2'))
    assert np.abs(plain / dropped - 1).max() > 1e-3


def test_bfloat16_trains_on_a_mesh(found):
  """Its sums are rounded in another order."""
  alone, split = (np.array(found['curves'][f'bfloat16 {mesh}']) for mesh in ('1', '2x2x2'))
  np.testing.assert_allclose(split, alone, rtol=5e-3)
  plain = np.array(found['curves']['transformer dropout=0 1'])
  assert 1e-6 < np.abs(alone / plain - 1).max() < 2e-2


def test_no_gradient_of_a_matrix_is_summed_over_all_devices_at_once(found):
  """On 2×4×1, since one that is cannot become a reduce-scatter over fsdp: of its sum over data only parts are left."""
  for name, sums in found['sums'].items():
    assert sums, name
    assert set().union(*sums.values()) <= {2, 4}, (name, sums)


def test_every_device_holds_its_part(found):
  """Of parameters of 16 by 16 a few are below the size from which on they are split."""
  for name in CASES:
    params, opt_state, carry = (
      {mesh: found['shares'][f'{name} dropout=0 {mesh}'][i] for mesh in MESHES} for i in range(3)
    )
    assert params['1'] == params['8x1x1'] == opt_state['1'] == 1
    zero = name in ('lstm', 'encoder_decoder')
    for mesh in ('2x4x1', '2x2x2'):
      assert params[mesh] < 0.35
      assert opt_state[mesh] < (0.2 if zero else 0.35)
    assert opt_state['8x1x1'] < 0.2 if zero else opt_state['8x1x1'] == 1
    assert all(share in (0, 1 / 8, 1 / 4) for mesh, share in carry.items() if mesh != '1')


def test_an_evaluation_is_that_of_one_device(found):
  for name in ('transformer_xl', 'encoder_decoder'):
    alone, split = (found['evaluations'][f'{name} dropout=0 {mesh}'] for mesh in ('1', '2x2x2'))
    assert split == pytest.approx(alone, rel=1e-5)
    if name in SPLIT:
      assert found['evaluations'][f'{name} dropout=0 data:2,sequence:2'] == pytest.approx(alone, rel=1e-5)


def test_a_checkpoint_goes_on_on_another_mesh_with_other_layers(found):
  """Saved on 2×2×2 after half of the steps, with unrolled layers."""
  alone, split = (np.array(found['resumed'][key]) for key in ('1 scan', '2x4x1 unroll'))
  np.testing.assert_allclose(alone, split, rtol=1e-5)
  np.testing.assert_allclose(alone, np.array(found['resumed']['uninterrupted']), rtol=1e-5)


@dataclass(frozen=True)
class Task(toy.Toy):
  kind: str = 'causal'

  @property
  def spec(self) -> Spec:
    return Spec(self.kind, Tokens(8), Tokens(8), self.length)


WIDTH = 24


@functools.cache
def program(name: str, **sizes: int) -> str:
  """Return the compiled program of a training step of one residual block."""
  task = Task(kind='causal' if MIXERS[name].can_be_causal else 'encode')
  model: dict[str, Any] = {'width': WIDTH, 'heads': 2, 'feedforward': 2.0, 'depth': 1, 'mixer': OPTIONS.get(name, {})}
  built = build(ModelConfig(pattern=(name,), kernels='xla', **model), task.spec)
  settings = MeshSettings(min_size=64, max_replicated=0.5, **sizes)
  run = make_run(built, task, TrainSettings(batch_size=8), mesh_settings=settings)
  return run.trace_step().lower().compile().as_text()


# All-gathers and all-reduces of a step on two devices. The gathers are those of the parameters split over fsdp, one
# each; of their gradients' sums each device keeps its part (below).
FSDP = {
  'rnn': (6, 7), 'lstm': (7, 8), 'gru': (7, 8),
  'attention': (8, 9), 'sliding_window': (8, 9), 'sparse': (8, 9), 'transformer_xl': (10, 11),
  'linear_attention': (8, 9), 'performer': (8, 9), 'linformer': (8, 9), 'retention': (9, 10),
  'ssd': (11, 12), 'gla': (11, 12), 'gated_delta': (10, 11), 'mlstm': (10, 11),
  'min_gru': (5, 6), 'min_lstm': (6, 7), 'lru': (6, 7), 'rg_lru': (9, 10), 'slstm': (8, 8), 'conv': (5, 6),
  'conv_lstm': (6, 7),
}  # fmt: skip
# With heads, feed-forward and vocabulary split, sums of activations take the place of gathers. Recurrent weights are
# gathered once a call, and so are the heads of attention in the form for CPUs, which joins them with the batch.
TENSOR = {
  'lstm': (3, 7), 'gru': (4, 7), 'attention': (8, 9), 'transformer_xl': (0, 9), 'linear_attention': (0, 9),
  'gated_delta': (0, 9), 'ssd': (0, 11), 'min_gru': (6, 11), 'slstm': (9, 11),
  'conv_lstm': (3, 7),
}  # fmt: skip
# In the loop over time: the gradient of the decays, a sum over the batch. Accelerators have no such loop.
IN_LOOPS = {'lru': {'loop all-reduce': 1}}
two_devices = pytest.mark.skipif(
  jax.device_count() < 2 or jax.default_backend() != 'cpu', reason='needs two CPU devices'
)


@two_devices
@pytest.mark.parametrize('name', MIXERS)
def test_a_step_gathers_each_parameter_once(name):
  assert count(program(name, fsdp=2)) == named(FSDP[name]) | IN_LOOPS.get(name, {})


@two_devices
@pytest.mark.parametrize('name', MIXERS)
def test_a_device_reads_its_part_of_the_sum_of_gradients_alone(name):
  """XLA for CPU has no reduce-scatter; those for TPUs and GPUs make one of a sum whose readers all cut it first.

  Of matrices: vectors and taps of convolutions are small.
  """
  assert not whole_sums(program(name, fsdp=2), WIDTH**2)


def test_sums_that_are_read_whole_are_found():
  """As compiled of LSTMs whose weights were multiplied by constants behind the sum."""
  cut, scaled = ('%part = f32[2,4] dynamic-slice(%x.1, %zero)', '%y = f32[4,4] multiply(%x.1, %x.1)')
  for lines, expected in ((cut, []), (scaled, ['f32[4,4]']), (f'{cut}\n  {scaled}', ['f32[4,4]'])):
    text = f"""
%fused (x: f32[4,4]) -> f32[2,4] {{
  %x.0 = f32[4,4] parameter(0)
  %x.1 = f32[4,4] bitcast(%x.0)
  {lines}
}}

ENTRY %main (a: f32[4,4]) -> f32[2,4] {{
  %a = f32[4,4] parameter(0)
  %sums = (f32[2], f32[4,4]) all-reduce(%b, %a), channel_id=1
  %sum.0 = f32[2] get-tuple-element(%sums), index=0
  %sum = f32[4,4] get-tuple-element(%sums), index=1
  ROOT %r = f32[2,4] fusion(%sum), kind=kLoop, calls=%fused
}}
"""
    assert whole_sums(text, 16) == expected


@two_devices
@pytest.mark.parametrize('name', TENSOR)
def test_a_step_with_split_heads_sends_nothing_in_loops(name):
  assert count(program(name, tensor=2)) == named(TENSOR[name])


def named(row: tuple[int, int]) -> dict[str, int]:
  return {name: number for name, number in zip(('all-gather', 'all-reduce'), row, strict=True) if number}


@pytest.mark.parametrize(
  ('sizes', 'count', 'platform', 'expected'),
  [
    ({}, 8, 'cpu', (1, 1, 1, 1)),
    ({}, 8, 'gpu', (8, 1, 1, 1)),
    ({'data': -1}, 8, 'cpu', (8, 1, 1, 1)),
    ({'fsdp': 4}, 8, 'gpu', (2, 4, 1, 1)),
    ({'fsdp': 4}, 8, 'cpu', (1, 4, 1, 1)),
    ({'fsdp': -1, 'tensor': 2}, 8, 'gpu', (1, 4, 1, 2)),
    ({'data': 2, 'fsdp': -1}, 8, 'cpu', (2, 4, 1, 1)),
    ({'data': 1}, 8, 'gpu', (1, 1, 1, 1)),
    ({'data': -1, 'sequence': 4}, 8, 'cpu', (2, 1, 4, 1)),
    ({'sequence': 4}, 4, 'cpu', (1, 1, 4, 1)),
  ],
)
def test_sizes_of_a_mesh(sizes, count, platform, expected):
  assert meshes.resolve(MeshSettings(**sizes), count, platform) == expected


@pytest.mark.parametrize(
  ('sizes', 'expected'),
  [
    ({'data': 3}, 'mesh.data=3: 3 must divide the 8 available devices'),
    ({'fsdp': 4, 'tensor': 4}, 'mesh.fsdp=4, mesh.tensor=4: 16 devices are more than the 8 available'),
    ({'data': -1, 'fsdp': 3}, 'mesh.fsdp=3: 3 must divide the 8 available devices'),
  ],
)
def test_sizes_that_do_not_divide_the_devices(sizes, expected):
  with pytest.raises(InputError) as caught:
    meshes.resolve(MeshSettings(**sizes), 8, 'cpu')
  assert str(caught.value) == expected


@two_devices
def test_what_a_mesh_does_not_divide_is_one_line():
  model, task = toy.model('attention', width=12, heads=3, block='residual'), toy.Toy()
  for sizes, batch, expected in (
    ({'fsdp': 2}, 5, r'train.batch_size=5 must be a multiple of 2 devices \(fsdp:2\)'),
    ({'tensor': 2}, 4, 'mesh.tensor=2 must divide heads=3 of params/stack/group_0/mixer/'),
  ):
    with pytest.raises(InputError, match=expected) as caught:
      make_run(model, task, TrainSettings(batch_size=batch), mesh_settings=MeshSettings(**sizes))
    assert '\n' not in str(caught.value)


@two_devices
def test_a_mesh_can_be_tried_on_a_model_without_large_arrays():
  run = make_run(toy.model(), toy.Toy(), TrainSettings(batch_size=4), mesh_settings=MeshSettings(fsdp=2))
  assert run.about_mesh().startswith('mesh fsdp:2 | params: ')
  assert run.about_mesh().count('100.0% on every device') == 2
