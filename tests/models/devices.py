"""Every mixer on one, two and four CPU devices, each in one compiled program; prints deviations as JSON.

Started by `test_devices.py`, since the number of devices is fixed when JAX starts.
"""

import json
import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqmodels.config import ModelConfig
from seqmodels.context import Context, batch_axes
from seqmodels.mixers import MIXERS
from seqmodels.models import Model, build
from seqmodels.spec import Spec, Vectors

BATCH, LENGTH = 4, 65  # a segment of 64 tokens is long enough for every form in C++
OPTIONS: dict[str, dict[str, Any]] = {
  'slstm': {'heads': 2},
  'linformer': {'rank': 4},
  'conv_lstm': {'image_height': 2, 'image_width': 2},
}


def make(name: str) -> Model:
  options = {'pattern': (name,), 'width': 16, 'depth': 1, 'feedforward': 1.0, 'heads': 2}
  kind = 'causal' if MIXERS[name].can_be_causal else 'encode'
  return build(ModelConfig(**options, mixer=OPTIONS.get(name, {})), Spec(kind, Vectors(3), Vectors(2), LENGTH))


def inputs(model: Model) -> tuple[Any, ...]:
  """Return parameters, inputs, resets, padding mask and the weights of the outputs, as NumPy arrays."""
  random = np.random.default_rng(0)
  normal = lambda shape: (0.3 * random.standard_normal(shape)).astype(np.float32)
  params = jax.tree.map(lambda leaf: normal(leaf.shape), model.abstract_params)
  reset, mask = random.random((BATCH, LENGTH)) < 0.05, random.random((BATCH, LENGTH)) < 0.9
  return params, normal((BATCH, LENGTH, 3)), reset, mask, normal((BATCH, LENGTH, 2))


def whole(model: Model, *arguments: Any) -> Any:
  """Return the outputs of one call, and the gradients of parameters and inputs."""
  params, x, reset, mask, weights = arguments
  apply = lambda params, x: model.apply(params, x, context=Context(reset, mask))[0]
  outputs, pull = jax.vjp(apply, params, x)
  return apply(params, x), outputs, pull(weights)


def stepwise(model: Model, params: Any, x: jax.Array, state: Any) -> Any:
  """Return the outputs and states of a segment, and of one token after it."""
  first, state = model.apply(params, x[:, :-1], state)
  last, after = model.apply(params, x[:, -1:], state)
  return first, last, state, after


def run(function: Any, mesh: Mesh, arguments: Any, axes: Any) -> Any:
  """Run `function` with the arguments split along their batch axes (-1: on every device)."""
  shard = lambda axis: NamedSharding(mesh, PartitionSpec() if axis < 0 else PartitionSpec(*[None] * axis, 'data'))
  shardings = jax.tree.map(shard, axes)
  compiled = jax.jit(function, in_shardings=shardings).lower(*arguments).compile()
  results = compiled(*jax.tree.map(jax.device_put, arguments, shardings))
  return jax.device_get(results), 'seqmodels_' in compiled.as_text()


def deviation(found: Any, expected: Any) -> float:
  """Return the largest deviation, of each array as a part of its largest value."""

  def of(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    difference = float(np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-3))
    return difference if np.isfinite(difference) else float('inf')

  return max(jax.tree.leaves(jax.tree.map(of, found, expected)))


def measure(name: str) -> dict[str, Any]:
  """Return the deviations from one device, and whether the program on four has calls of the library in C++."""
  model = make(name)
  arguments = inputs(model)
  programs = {'whole': (lambda *a: whole(model, *a), arguments, (jax.tree.map(lambda _: -1, arguments[0]), 0, 0, 0, 0))}
  if model.spec.kind == 'causal':
    state = jax.device_get(model.init_state(BATCH, LENGTH))
    axes = programs['whole'][2][0], 0, batch_axes(model.state_spec(BATCH, LENGTH))
    programs['stepwise'] = (lambda *a: stepwise(model, *a), (*arguments[:2], state), axes)
  found: dict[str, Any] = {}
  for program, (function, values, axes) in programs.items():
    for count in (1, 2, 4) if program == 'whole' else (1, 4):
      mesh = Mesh(np.array(jax.devices()[:count]), ('data',))
      results, has_call = run(function, mesh, values, axes)
      if count == 1:
        expected, alone = results, has_call
      else:
        found[f'{program} on {count}'] = deviation(results, expected)
    found[f'{program}: in C++'] = [alone, has_call]
  return found


if __name__ == '__main__':
  jax.config.update('jax_num_cpu_devices', 4)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  names = sys.argv[1:] or list(MIXERS)
  print(json.dumps({name: measure(name) for name in names}))
