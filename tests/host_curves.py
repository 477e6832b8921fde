"""Train the models of tests/training/meshes.py in one process and in several, and compare their loss curves.

  python -m tests.host_curves [2x2 4x1 2x2s …]

Processes × devices of each, all cases, dropout off and on. With an s: the cases whose tokens can be split, on a mesh
that splits them over all devices. Prints the largest relative difference from one process with one device.
"""

import json
import os
import socket
import subprocess
import sys
from typing import Any

DROPOUTS = (0.0, 0.1)
PATIENCE = 1800.0  # seconds, for all cases on a machine that does other work
Curves = dict[str, list[float]]


def curves(
  processes: int,
  devices: int,
  cases: tuple[str, ...] = (),
  dropouts: tuple[float, ...] = DROPOUTS,
  *,
  sequence: bool = False,
  seconds: float = 240,
) -> Curves:
  """Return the losses by "case dropout" of a group of processes that is started for this.

  sequence: split the tokens over all devices, instead of the rows and parameters. seconds: the longest they may take.
  """
  with socket.socket() as free:
    free.bind(('localhost', 0))
    address = f'localhost:{free.getsockname()[1]}'
  environ = os.environ | {'JAX_NUM_CPU_DEVICES': str(devices), 'JAX_PLATFORMS': 'cpu'}
  what = json.dumps([cases, dropouts, sequence])
  commands = [
    [sys.executable, '-m', 'tests.host_curves', 'member', address, str(i), str(processes), what]
    for i in range(processes)
  ]
  group = [
    subprocess.Popen(c, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for c in commands
  ]
  try:
    outputs = [process.communicate(timeout=seconds) for process in group]
  finally:
    for process in group:
      process.kill()
  for process, (_, err) in zip(group, outputs, strict=True):
    if process.returncode:
      raise RuntimeError(err[-2000:])
  return json.loads(outputs[0][0].splitlines()[-1])


def member(address: str, index: int, count: int, cases: list[str], dropouts: list[float], sequence: bool) -> None:
  """Train as one process of a group, on a mesh of all devices; the first prints the losses."""
  from training import processes, runtime

  runtime.prepare()
  processes.start(processes.Settings(address, index, count) if count > 1 else processes.Settings())
  import jax

  from tests.training import meshes
  from training.mesh import put_batch

  number = jax.device_count()
  if sequence:
    meshes.SEQUENCES['all'] = {'data': 1, 'sequence': number}
  meshes.MESHES['all'] = (number // 2, 2, 1) if number % 2 == 0 else (number, 1, 1)
  found: Curves = {}
  for case in cases or list(meshes.SPLIT if sequence else meshes.CASES):
    for dropout in dropouts:
      run: Any = meshes.make(case, 'all', dropout=dropout)
      state, batches, losses = run.initial_state(), run.batches(), []
      compiled = run.trace_step().lower().compile()
      for _ in range(meshes.STEPS):
        state, metrics = compiled(state, put_batch(next(batches), run.mesh))
        jax.block_until_ready(state)
        losses.append(float(metrics['loss']))
      found[f'{case} {dropout:g}'] = losses
  if processes.is_first():
    print(json.dumps(found))


def deviations(alone: Curves, group: Curves) -> dict[str, float]:
  """Return the largest relative difference of every curve."""
  return {
    name: max(abs(a - b) / abs(a) for a, b in zip(alone[name], losses, strict=True)) for name, losses in group.items()
  }


if __name__ == '__main__':
  if sys.argv[1:2] == ['member']:
    member(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *json.loads(sys.argv[5]))
  else:
    reference = curves(1, 1, seconds=PATIENCE)
    for text in sys.argv[1:] or ('2x2', '4x1'):
      number, each = map(int, text.removesuffix('s').split('x'))
      found = curves(number, each, sequence=text.endswith('s'), seconds=PATIENCE)
      for name, value in deviations(reference, found).items():
        print(f'{text}  {name}  {value:.1e}', flush=True)
