"""Rules from the names of axes to mesh axes: parameters, optimizer state, states, and what is refused.

The meshes are abstract: nothing here needs devices.
"""

import dataclasses
import math

import jax
import pytest
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as P

from seqmodels.config import ModelConfig
from seqmodels.context import LAYERS
from seqmodels.errors import InputError
from seqmodels.mixers import MIXERS
from seqmodels.models import build
from seqmodels.spec import Spec, Tokens
from tests.models.devices import OPTIONS
from training import mesh_report
from training.activations import Constrain
from training.mesh_settings import MESH_AXES, MeshSettings
from training.optimizer import OPTIMIZERS, make_optimizer
from training.settings import TrainSettings
from training.sharding import RULES, make_layout, place
from training.trees import flatten

# Axes of parameters that no rule names: they are whole, or split over fsdp where nothing else of a parameter can be.
OTHERS = {
  'layers', 'head_dim', 'key_dim', 'value_dim', 'gate', 'branch', 'complex', 'recurrent', 'head_input', 'taps',
  'position', 'rank', 'distance', 'bucket', 'features', 'key_value', 'embed_out', 'stream', 'kernel_height',
  'kernel_width',
}  # fmt: skip
TRANSFORMER = {'pattern': ('attention',), 'width': 32, 'heads': 4, 'depth': 4, 'position': 'rotary'}


def mesh(data=1, fsdp=1, tensor=1, sequence=1) -> AbstractMesh:
  return AbstractMesh((data, fsdp, sequence, tensor), MESH_AXES, axis_types=(AxisType.Auto,) * 4)


def model(vocabulary=16, **fields):
  kind = 'causal' if all(MIXERS[name].can_be_causal for name in fields['pattern']) else 'encode'
  tokens = Tokens(vocabulary)
  return build(ModelConfig(**fields), Spec(kind, tokens, tokens, 16))


def entries(model, mesh, **settings):
  placed = place(model, mesh, MeshSettings(**{'min_size': 1} | settings))
  return {path: P(*found.entries) for path, found in placed.items()}


def layout(model, mesh, optimizer='adamw', **settings):
  transform = make_optimizer(TrainSettings(optimizer=optimizer), model.axes).transform
  state = jax.eval_shape(transform.init, model.abstract_params)
  return state, make_layout(model, state, mesh, MeshSettings(**{'min_size': 1} | settings))


def test_a_transformer_by_hand():
  found = entries(model(**TRANSFORMER), mesh(2, 4, 2))
  block = 'stack/group_0/'
  assert found['embed/embedding'] == P('tensor', 'fsdp')
  assert found['output/kernel'] == P('fsdp', 'tensor')
  assert found['output/bias'] == P(('tensor', 'fsdp'))
  assert found[f'{block}mixer/query/kernel'] == P(None, 'fsdp', 'tensor', None)
  assert found[f'{block}mixer/output/kernel'] == P(None, 'tensor', None, 'fsdp')
  assert found[f'{block}mlp/up/kernel'] == P(None, 'fsdp', 'tensor')
  assert found[f'{block}mlp/down/kernel'] == P(None, 'tensor', 'fsdp')
  assert found[f'{block}norm_mlp/scale'] == P(None, 'fsdp')
  large = entries(model(**TRANSFORMER), mesh(2, 4, 2), min_size=512)
  assert large[f'{block}norm_mlp/scale'] == P(None, None)
  assert large['output/bias'] == P('tensor')


def test_one_device_splits_nothing():
  assert all(not any(spec) for spec in entries(model(**TRANSFORMER), mesh()).values())


@pytest.mark.parametrize('name', MIXERS)
def test_no_mixer_is_replicated_and_no_layer_dimension_split(name):
  """With 4 layers, which is more than other axes have; on fsdp alone, on tensor alone, and on both."""
  built = model(pattern=(name,), width=16, depth=4, heads=2, feedforward=1.0, mixer=OPTIONS.get(name, {}))
  axes, shapes = flatten_axes(built), flatten(built.abstract_params)
  assert {axis for names in axes.values() for axis in names} <= {axis for axis, _ in RULES} | OTHERS
  for sizes in ((1, 2, 1), (1, 1, 2), (2, 2, 2)):
    placed = place(built, mesh(*sizes), MeshSettings(min_size=1))
    for path, found in placed.items():
      if LAYERS in found.names:
        assert found.entries[found.names.index(LAYERS)] is None, path
      even = 'taps' not in axes[path] and any(
        n % 2 == 0 for axis, n in zip(axes[path], shapes[path].shape, strict=True) if axis != LAYERS
      )
      if sizes == (1, 2, 1) and even:
        assert any('fsdp' in (entry or ()) for entry in found.entries), path
  whole = sum(shapes[path].size for path, found in placed.items() if not any(found.entries) and 'taps' not in path)
  assert whole < 0.01 * sum(leaf.size for leaf in shapes.values())


def flatten_axes(built):
  leaves = jax.tree_util.tree_leaves_with_path(built.axes, is_leaf=lambda node: isinstance(node, tuple))
  return {jax.tree_util.keystr(path, simple=True, separator='/'): names for path, names in leaves}


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
@pytest.mark.parametrize('zero', [0, 1])
def test_optimizer_state_follows_its_parameter(optimizer, zero):
  built = model(pattern=('attention', 'lstm'), width=128, heads=4, depth=4)
  on = mesh(2, 4, 2)
  state, found = layout(built, on, optimizer, zero=zero)
  specs = {path: sharding.spec for path, sharding in flatten(found.params).items()}
  shapes = {path: leaf.shape for path, leaf in flatten(built.abstract_params).items()}
  placed, followed = flatten(found.opt_state), 0
  for path, leaf in flatten(state).items():
    parameter = next((p for p in sorted(specs, key=len, reverse=True) if f'/{path}'.endswith(f'/{p}')), None)
    if parameter is None or leaf.shape in ((), (1,)):
      assert placed[path].is_fully_replicated
      continue
    followed += 1
    share = math.prod(leaf.shape) // math.prod(placed[path].shard_shape(leaf.shape))
    if leaf.shape == shapes[parameter]:
      expected = on.size // 2 if not zero else on.size
      if not zero:
        assert placed[path].spec == specs[parameter], path
    else:  # a factored moment, which has lost an axis
      assert len(leaf.shape) == len(shapes[parameter]) - 1
      expected = 2
    assert share >= min(expected, 2), path
    assert not any(placed[path].spec[: 1 if 'group_' in path else 0]), path  # layers
  assert followed >= (0 if optimizer == 'sgd' else len(specs) // 2)
  total = lambda tree, shardings: sum(
    math.prod(shardings[path].shard_shape(leaf.shape)) for path, leaf in flatten(tree).items()
  )
  count = sum(leaf.size for leaf in jax.tree.leaves(state))
  loss = 2 if optimizer == 'adafactor' else 1  # a factored moment is split once, not twice, where an axis is missing
  assert total(state, placed) <= 1.1 * loss * count / (16 if zero else 8)


def test_gradients_lie_as_the_optimizer_reads_them():
  built = model(**TRANSFORMER)
  assert layout(built, mesh(2, 2))[1].gradients == layout(built, mesh(2, 2))[1].params
  _, found = layout(built, mesh(2, 2), zero=1)
  assert found.gradients == flatten_like(found.gradients, found.opt_state[1].mu)
  assert found.params == layout(built, mesh(2, 2))[1].params


def flatten_like(tree, other):
  return jax.tree.unflatten(jax.tree.structure(tree), jax.tree.leaves(other))


def test_states_and_activations_lie_by_their_names():
  constrain = Constrain(mesh(2, 2, 2))
  built = model(pattern=('attention', 'gated_delta', 'lstm'), width=32, depth=3, heads=4)
  found = {path: sharding.spec for path, sharding in flatten(constrain.states(built.state_spec(8, 16))).items()}
  rows = ('data', 'fsdp')
  assert found['stack/group_0/end'] == P(None, rows)
  assert found['stack/group_0/k/blocks/0'] == P(None, rows, 'tensor', None, None)
  assert found['stack/group_2/h'] == P(None, rows, 'tensor')
  assert constrain.sharding(('batch', 'time', 'embed'), (8, 3, 32)).spec == P(rows, 'sequence', None)
  assert constrain.sharding(('batch', 'time', 'vocab'), (8, 3, 16)).spec == P(rows, 'sequence', 'tensor')
  assert constrain.sharding(('batch', 'time', 'vocab'), (6, 3, 15)).spec == P(None, 'sequence', None)  # not divided


def test_rules_of_the_user_come_first():
  built = model(**TRANSFORMER)
  rules = 'embed/embedding=vocab:fsdp; norm.*= ; query/kernel=head_dim:tensor,heads:fsdp'
  found, before = (entries(built, mesh(2, 2, 2), rules=r) for r in (rules, ''))
  assert found['embed/embedding'] == P('fsdp', None)
  assert found['norm/scale'] == P(None)
  assert found['stack/group_0/norm_mixer/scale'] == P(None, None)
  assert found['stack/group_0/mixer/query/kernel'] == P(None, None, 'fsdp', 'tensor')
  changed = {path for path in found if found[path] != before[path]}
  assert changed == {path for path in found if 'norm' in path or 'query/kernel' in path or path == 'embed/embedding'}


@pytest.mark.parametrize(
  ('sizes', 'settings', 'expected'),
  [
    ((1, 1, 8), {}, 'mesh.tensor=8 must divide heads=4 of params/stack/group_0/mixer/'),
    ((1, 2, 1), {'rules': 'embedding=layers:fsdp'}, 'mesh.rules: params/embed/embedding has the axes vocab, embed'),
    ((1, 3, 1), {'rules': 'embedding=vocab:fsdp'}, 'mesh.rules: fsdp=3 must divide vocab=16 of params/embed/embedding'),
    ((1, 2, 1), {'rules': 'embeding=vocab:fsdp'}, "mesh.rules: 'embeding' is found in no path"),
    ((1, 2, 1), {'rules': 'embed=;embedding=vocab:fsdp'}, "mesh.rules: 'embedding' is found in no path"),
  ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(sizes, settings, expected):
  with pytest.raises(InputError) as caught:
    entries(model(**TRANSFORMER), mesh(*sizes), **settings)
  assert expected in str(caught.value)
  assert '\n' not in str(caught.value)


def report(built, on, **fields):
  state, found = layout(built, on, **fields)
  settings = MeshSettings(**{'min_size': 1} | fields)
  trees = {'params': (built.abstract_params, found.params), 'opt_state': (state, found.opt_state)}
  return mesh_report.summary(trees, on, settings)


def test_the_report_adds_up_and_too_much_replicated_is_refused():
  built = model(**TRANSFORMER)
  size = 4 * sum(leaf.size for leaf in jax.tree.leaves(built.abstract_params))
  local = (size + 4 * (3 * 4 + 1) * 32) // 4  # norms and a bias have no axis on tensor: halves, not quarters
  assert report(built, mesh(2, 2, 2)).startswith(
    f'mesh data:2 fsdp:2 tensor:2 | params: {size / 1000:.3g} kB, {local / 1000:.3g} kB a device, 0.0% on every device'
  )
  assert f'params: {size / 1000:.3g} kB, {size / 1000:.3g} kB a device, 100.0%' in report(built, mesh(8))
  large = model(**TRANSFORMER | {'width': 1024})
  with pytest.raises(InputError) as caught:
    report(large, mesh(1, 2), rules='mlp/(up|down)/kernel=')
  message = str(caught.value)
  assert message.startswith('mesh.max_replicated=0.1: 0.')
  assert 'whole on every device of the mesh fsdp:2; the largest is params/stack/group_0/mlp/down/kernel' in message
  assert '\n' not in message
  assert 'fsdp:2' in report(large, mesh(1, 2), rules='mlp/(up|down)/kernel=', max_replicated=0.9)
  assert 'fsdp:2' in report(built, mesh(1, 2), rules='mlp/(up|down)/kernel=')  # of less than 64 MB


def test_settings_are_plain_fields():
  """As config.json holds them."""
  assert MeshSettings(**dataclasses.asdict(MeshSettings(fsdp=2, rules='a=b:fsdp'))) == MeshSettings(
    fsdp=2, rules='a=b:fsdp'
  )
