"""Every mixer that can be split over time, on four CPU devices and on one; prints what was found as JSON.

Started by `test_sequence.py`, since the number of devices is fixed when JAX starts.
"""

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType, Mesh

from seqmodels.config import ModelConfig
from seqmodels.context import Context
from seqmodels.mixers import MIXERS
from seqmodels.models import build
from seqmodels.spec import Spec, Vectors
from tests.cases import B, Case, D
from tests.training.collectives import count
from training.activations import Constrain
from training.mesh_settings import MESH_AXES

PARTS, LENGTH = 4, 16  # four tokens a part
# The options of a mixer, where the default ones would leave something out.
OPTIONS: dict[str, tuple[tuple[str, Any], ...]] = {
  'attention': (('position', 'rotary'),),
  'sliding_window': (('window', 3), ('position', 'relative')),
  'sparse': (('stride', 3), ('position', 't5')),
  'retention': (('position', 'rotary'),),
}
CASES = (
  *(Case(name, OPTIONS.get(name, ())) for name, m in MIXERS.items() if m.can_be_split and m.can_be_causal),
  Case('attention', (('position', 'relative'),)),
  Case('ssd', (('heads', 4), ('negative_eigenvalues', True))),
  *(Case(name, causal=False) for name in ('attention', 'linear_attention', 'min_gru', 'conv')),
  Case('linformer', (('length', LENGTH),), causal=False),
  Case('sliding_window', (('window', 3),), causal=False),
  Case('sparse', (('stride', 3),), causal=False),
)


def name_of(case: Case) -> str:
  return str(case) if case.causal else f'{case} both ways'


def flags() -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yield resets and padding: none; at borders and inside; a part of padding; anywhere."""
  reset, mask = np.zeros((B, LENGTH), bool), np.ones((B, LENGTH), bool)
  yield reset, mask
  borders = reset.copy()
  borders[0, [4, 8, 11]] = borders[1, [3, 12]] = True
  yield borders, mask
  padding = mask.copy()
  padding[0, 4:8] = padding[1, :4] = padding[1, 14:] = False
  yield reset, padding
  random = np.random.default_rng(0)
  yield random.random(mask.shape) < 0.15, random.random(mask.shape) < 0.8


def measured(case: Case, constrain: Constrain | None) -> Any:
  """Return a jitted function that gives outputs, last state, and gradients of parameters, inputs and first state."""

  def apply(params: Any, x: Any, state: Any, context: Context) -> Any:
    return nnx.merge(case.graph, params)(x, state, context)

  def loss(params: Any, x: Any, state: Any, context: Context, weight: Any) -> Any:
    run = apply if constrain is None else functools.partial(constrain.in_parts, apply)
    y, end = run(params, x, state, context)
    y = context.documents.keep(y)
    return jnp.sum(y * weight) + weighted(end), (y, end)

  def run(params: Any, x: Any, state: Any, reset: Any, mask: Any, weight: Any) -> Any:
    differentiate = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True, allow_int=True)
    (_, (y, end)), gradients = differentiate(params, x, state, Context(reset, mask), weight)
    return y, end, [leaf for leaf in jax.tree.leaves(gradients) if leaf.dtype == jnp.float32]

  return jax.jit(run)


def weighted(state: Any) -> jax.Array:
  """Return a sum of a state's numbers, each with a weight of its own: as exact for a large state as for a small one."""
  random = np.random.default_rng(2)
  leaves = [leaf for leaf in jax.tree.leaves(state) if leaf.dtype == jnp.float32]
  return sum((jnp.sum(leaf * random.normal(size=leaf.shape).astype(np.float32)) for leaf in leaves), jnp.zeros(()))


def deviation(found: Any, expected: Any) -> float:
  """Return the largest deviation of a leaf, as a part of the leaf's largest number, at least 1."""
  largest = 0.0
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    difference = float(np.abs(np.asarray(a, np.float64) - b).max(initial=0))
    scale = max(1.0, float(np.abs(b[np.abs(b) < 1e29]).max(initial=0)))  # not 'no weight'
    largest = max(largest, difference / scale if np.isfinite(difference) else float('inf'))
  return largest


def compare(case: Case, constrain: Constrain) -> dict[str, Any]:
  """Return the largest deviations of outputs, states and gradients over all flags, and the collectives."""
  case = case.differentiable
  random = np.random.default_rng(1)
  x, weight = (random.normal(size=(B, LENGTH, D)).astype(np.float32) for _ in range(2))
  start = case.init_state(2 * LENGTH) if case.causal else None
  one, several, found = measured(case, None), measured(case, constrain), {}
  arguments = case.params, x, start, *next(flags()), weight
  compiled = several.lower(*arguments).compile()
  carried = jax.device_get(one(*arguments))[1]  # a state that is not empty
  first, *_ = sets = list(flags())
  for state, (reset, mask) in ((start, first), *((carried, each) for each in sets)):
    arguments = case.params, x, state, reset, mask, weight
    expected = jax.device_get(one(*arguments))
    actual = jax.device_get(compiled(*arguments))
    for name, a, b in zip(('outputs', 'state', 'gradients'), actual, expected, strict=True):
      found[name] = max(found.get(name, 0.0), deviation(a, b))
  return found | {'collectives': count(compiled.as_text()), 'has_state': case.causal}


def models() -> Iterator[tuple[str, Any, ModelConfig]]:
  """Yield what differs around the mixers: positions, dropout, readouts, a source."""
  fields: dict[str, Any] = {'width': 16, 'heads': 2, 'depth': 1, 'feedforward': 1.0}
  vectors, length = Vectors(3), 8
  dropped = ModelConfig(pattern=('attention',), position='learned', dropout=0.3, **fields)
  yield 'last', Spec('causal', vectors, vectors, length, readout='last'), dropped
  sinusoids = ModelConfig(pattern=('min_gru',), position='sinusoidal', **fields)
  yield 'mean', Spec('encode', vectors, vectors, length, readout='mean'), sinusoids
  source = Spec('seq2seq', vectors, vectors, 4, source=vectors, source_length=length)
  yield 'source', source, ModelConfig(pattern=('attention',), position='rotary', dropout=0.3, **fields)
  bottleneck = ModelConfig(pattern=('min_gru',), cross_attention=False, **fields)
  yield 'no attention', source, bottleneck
  # Two parts are made of these with padding.
  yield 'odd', Spec('causal', vectors, vectors, 7, readout='last'), dropped
  yield 'odd mean', Spec('encode', vectors, vectors, 7, readout='mean'), sinusoids
  source = dataclasses.replace(source, length=5, source_length=7)
  yield 'odd source', source, ModelConfig(pattern=('attention',), position='rotary', dropout=0.3, **fields)
  yield 'odd no attention', source, bottleneck


def compare_model(spec: Spec, config: ModelConfig, mesh: Mesh) -> float:
  """Return the largest deviation of outputs and of parameters' gradients."""
  model, random = build(config, spec), np.random.default_rng(0)
  normal = lambda *shape: random.normal(size=shape).astype(np.float32)
  params = jax.tree.map(lambda leaf: 0.5 * normal(*leaf.shape), model.abstract_params)
  flag = lambda length, share: random.random((4, length)) < share
  inputs, reset, mask = normal(4, spec.length, 3), flag(spec.length, 0.2), flag(spec.length, 0.8)
  source = (normal(4, spec.source_length, 3), flag(spec.source_length, 0.7)) if spec.source else (None, None)

  def run(constrain: Any, params: Any) -> Any:
    context = Context(reset, mask, jax.random.key(0), constrain=constrain)

    def loss(params: Any) -> Any:
      y = model.apply(params, inputs, context=context, source=source[0], source_mask=source[1])[0]
      y = y if y.ndim == 2 else context.documents.keep(y)
      return jnp.sum(jnp.sin(y)), y

    return jax.value_and_grad(loss, has_aux=True)(params)

  (_, y), gradients = jax.device_get(jax.jit(functools.partial(run, None))(params))
  (_, actual), found = jax.device_get(jax.jit(functools.partial(run, Constrain(mesh)))(params))
  return max(deviation(actual, y), deviation(found, gradients))


def make_mesh(data: int, sequence: int) -> Mesh:
  devices = np.array(jax.devices()).reshape(data, 1, sequence, 1)
  return Mesh(devices, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))


def main(names: list[str]) -> None:
  constrain, found = Constrain(make_mesh(1, PARTS)), {}
  for case in CASES:
    if not names or name_of(case) in names:
      start = time.monotonic()
      found[name_of(case)] = compare(case, constrain)
      print(f'{name_of(case)}: {time.monotonic() - start:.1f} s', file=sys.stderr)
  if not names:
    found['models'] = {name: compare_model(spec, config, make_mesh(2, 2)) for name, spec, config in models()}
  print(json.dumps(found))


if __name__ == '__main__':
  jax.config.update('jax_num_cpu_devices', PARTS)
  jax.config.update('jax_numpy_rank_promotion', 'raise')
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  main(sys.argv[1:])
