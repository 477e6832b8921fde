"""Train small models on meshes of eight CPU devices, and print what was found as JSON.

Started by `test_meshes.py`, since the number of devices is fixed when JAX starts.
"""

import json
import sys
import time
from typing import Any

import jax

from seqmodels.config import ModelConfig
from seqmodels.models import Model, build
from tasks.base import Task
from tasks.reversal import Reversal
from tests.training.toy import Toy
from training.mesh_settings import MeshSettings
from training.run import Run, make_run
from training.settings import TrainSettings

STEPS, BATCH = 20, 8
MESHES = {'1': (1, 1, 1), '8x1x1': (8, 1, 1), '2x4x1': (2, 4, 1), '2x2x2': (2, 2, 2)}
SEGMENTS = {'segment': 4, 'memory': 8}
# name → model, training
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
  'transformer': ({'pattern': ('attention',), 'position': 'rotary', 'kv_heads': 2, 'heads': 4}, {'accumulate': 1}),
  'lstm': ({'pattern': ('lstm',), 'block': 'plain', 'feedforward': 0.0}, SEGMENTS),
  'transformer_xl': ({'pattern': ('transformer_xl',), 'position': 'transformer_xl', 'heads': 4}, SEGMENTS),
  'gated_delta': ({'pattern': ('gated_delta',), 'heads': 2}, SEGMENTS),
  'encoder_decoder': ({'pattern': ('attention',), 'position': 'rotary', 'heads': 2}, {}),
}


def settings(name: str, **fields: Any) -> MeshSettings:
  data, fsdp, tensor = MESHES[name]
  return MeshSettings(data=data, fsdp=fsdp, tensor=tensor, **({'min_size': 64} | fields))


def make(name: str, **fields: Any) -> tuple[Model, Task, TrainSettings]:
  config, training = CASES[name]
  task = Reversal(symbols=7, length=5) if name == 'encoder_decoder' else Toy()
  model = build(ModelConfig(**{'width': 16, 'depth': 2, 'feedforward': 2.0} | config | fields), task.spec)
  return model, task, TrainSettings(steps=STEPS, batch_size=BATCH, learning_rate=3e-3, **training)


def curve(run: Run) -> list[float]:
  """Return the loss of every step."""
  state, batches, losses = run.initial_state(), run.batches(), []
  compiled = run.trace_step().lower().compile()
  for _ in range(STEPS):
    state, metrics = compiled(state, next(batches))
    jax.block_until_ready(state)
    losses.append(float(metrics['loss']))
  return losses


def main(names: list[str]) -> None:
  found: dict[str, Any] = {}
  for name in names or CASES:
    for dropout in (0.0, 0.2):
      for mesh in MESHES:
        start = time.monotonic()
        run = make_run(*make(name, dropout=dropout), mesh_settings=settings(mesh))
        found[f'{name} {dropout} {mesh}'] = curve(run)
        print(
          name,
          dropout,
          mesh,
          round(time.monotonic() - start, 1),
          found[f'{name} {dropout} {mesh}'][-1],
          file=sys.stderr,
        )
  print(json.dumps(found))


if __name__ == '__main__':
  jax.config.update('jax_num_cpu_devices', 8)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  main(sys.argv[1:])
