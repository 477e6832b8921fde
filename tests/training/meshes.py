"""Train small models on meshes of eight CPU devices, and print what was found as JSON.

Started by `test_meshes.py`, since the number of devices is fixed when JAX starts.
"""

import json
import pathlib
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np

from seqmodels.config import ModelConfig
from seqmodels.models import Model, build
from tasks.base import Task
from tasks.reversal import Reversal
from tests.training.collectives import group_sizes
from tests.training.toy import Toy
from training.checkpoint import Checkpoints
from training.evaluate import evaluate
from training.mesh_settings import MeshSettings
from training.run import Run, make_run
from training.settings import EvalSettings, TrainSettings

STEPS, BATCH = 20, 16
MESHES = {'1': (1, 1, 1), '8x1x1': (8, 1, 1), '2x4x1': (2, 4, 1), '2x2x2': (2, 2, 2)}
# Of eight tokens, or of segments of four: a part has four, two or one. The encoder–decoder's five and six are padded.
SEQUENCES = {'sequence:4': {'data': 1, 'sequence': 4}, 'data:2,sequence:2': {'data': 2, 'sequence': 2}}
BOTH, FOUR, TWO = tuple(SEQUENCES), ('sequence:4',), ('data:2,sequence:2',)
# On these of them, by the rate of dropout: with it where two parts of the batch draw as well.
SPLIT = {
  'transformer': {0.0: FOUR, 0.2: TWO},
  'transformer_xl': {0.0: BOTH},
  'gated_delta': {0.0: FOUR},
  'encoder_decoder': {0.0: BOTH, 0.2: TWO},
}
SEGMENTS = {'segment': 4, 'memory': 8}
# name → model, training. Each has what the others have not: accumulation, remat, zero, scanned layers, a carry.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
  'transformer': ({'pattern': ('attention',), 'position': 'rotary', 'heads': 4, 'kv_heads': 2}, {'accumulate': 2}),
  'lstm': ({'pattern': ('lstm',), 'block': 'plain', 'feedforward': 0.0}, SEGMENTS),
  'transformer_xl': ({'pattern': ('transformer_xl',), 'position': 'transformer_xl', 'heads': 4}, SEGMENTS),
  'gated_delta': ({'pattern': ('gated_delta',), 'heads': 2, 'remat': 'block', 'layers': 'scan', 'depth': 2}, SEGMENTS),
  'encoder_decoder': ({'pattern': ('attention',), 'position': 'rotary', 'heads': 2, 'remat': 'dots'}, {}),
}
ZERO = ('lstm', 'encoder_decoder')
DRAWN = ('lstm',)  # on every mesh, with decompositions
EVALUATED = ('transformer_xl', 'encoder_decoder')


def settings(name: str, mesh: str) -> MeshSettings:
  sizes = SEQUENCES.get(mesh) or dict(zip(('data', 'fsdp', 'tensor'), MESHES[mesh], strict=True))
  return MeshSettings(**sizes, zero=int(name in ZERO), min_size=64, max_replicated=0.3)


def make(name: str, mesh: str, **fields: Any) -> Run:
  config, training = CASES[name]
  task: Task = Reversal(symbols=7, length=5) if name == 'encoder_decoder' else Toy()
  model: Model = build(ModelConfig(**{'width': 16, 'depth': 1, 'feedforward': 2.0} | config | fields), task.spec)
  train = TrainSettings(steps=STEPS, batch_size=BATCH, learning_rate=3e-3, **training)
  return make_run(model, task, train, mesh_settings=settings(name, mesh))


def train(run: Run, state: Any, steps: int, batches: Any = None) -> tuple[Any, list[float]]:
  """Return the state after so many steps, and the loss of each. batches: that go on; None: from the first."""
  batches, losses = batches or run.batches(), []
  compiled = run.trace_step().lower().compile()
  for _ in range(steps):
    state, metrics = compiled(state, next(batches))
    jax.block_until_ready(state)
    losses.append(float(metrics['loss']))
  return state, losses


def shares(run: Run, state: Any) -> list[float]:
  """Return the part of parameters, of optimizer state and of the carry that the first device holds."""

  def share(tree: Any) -> float:
    leaves = jax.tree.leaves(tree)
    return sum(leaf.addressable_shards[0].data.size for leaf in leaves) / max(1, sum(leaf.size for leaf in leaves))

  assert jax.tree.map(lambda a: a.sharding, state.params) == run.layout.params
  return [share(tree) for tree in (state.params, state.opt_state, state.carry)]


def resume(name: str) -> dict[str, Any]:
  """Train half on eight devices, save; go on from there on one device, with layers run in the other way."""
  whole, half = make(name, '2x2x2', depth=2), STEPS // 2
  batches = whole.batches()
  state, losses = train(whole, whole.initial_state(), half, batches)
  with tempfile.TemporaryDirectory() as folder:
    checkpoints = Checkpoints(pathlib.Path(folder))
    checkpoints.save(half, state, {'batches': batches.get_state()})
    checkpoints.wait()
    found = {'uninterrupted': losses + train(whole, state, STEPS - half, batches)[1]}
    for mesh, layers in (('1', 'scan'), ('2x4x1', 'unroll')):
      run = make(name, mesh, layers=layers, depth=2)
      restored, batches = checkpoints.restore(half, run.abstract_state()), run.batches()
      batches.set_state(restored.extra['batches'])
      found[f'{mesh} {layers}'] = losses + train(run, run.place(restored.tree), STEPS - half, batches)[1]
    checkpoints.close()
  return found


def main() -> None:
  found: dict[str, Any] = {'curves': {}, 'shares': {}, 'evaluations': {}, 'sums': {}}
  for name in CASES:
    for dropout in (0.0, 0.2):
      sequences = SPLIT.get(name, {}).get(dropout, ())
      for mesh in (*(MESHES if not dropout else ('1', '2x2x2')), *sequences):
        start = time.monotonic()
        run, key = make(name, mesh, dropout=dropout), f'{name} dropout={dropout:g} {mesh}'
        if name in DRAWN or mesh == '1':
          state = run.initial_state()
          if mesh == '1':
            initial = jax.device_get(state)
        else:  # as drawn on one device, which spares a program
          state = run.place(initial)
        state, found['curves'][key] = train(run, state, STEPS)
        found['shares'][key] = shares(run, state)
        if name in EVALUATED and not dropout and mesh in ('1', '2x2x2', 'data:2,sequence:2'):
          evaluation = run.task.evaluations()['validation']
          reads = EvalSettings(segment=4, memory=8, streams=8) if run.settings.segment else EvalSettings()
          task = run.task
          found['evaluations'][key] = evaluate(run.model, state.params, task, evaluation, reads, run.mesh)
        print(f'{key}: {time.monotonic() - start:.1f} s', file=sys.stderr)
  for name in ('transformer', 'lstm'):
    text = make(name, '2x4x1', kernels='xla').trace_step().lower().compile().as_text()
    found['sums'][name] = {kind: sorted(sizes) for kind, sizes in group_sizes(text, 16 * 16).items()}
  for mesh in ('1', '2x2x2'):
    run = make('transformer', mesh, dtype='bfloat16', remat='dots')
    state, found['curves'][f'bfloat16 {mesh}'] = train(run, run.initial_state(), STEPS)
    assert all(leaf.dtype == 'float32' for leaf in jax.tree.leaves(state.params))
  found['resumed'] = resume('lstm')
  print(json.dumps(found, default=lambda x: np.asarray(x).tolist()))


if __name__ == '__main__':
  jax.config.update('jax_num_cpu_devices', 8)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  main()
