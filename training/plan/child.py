"""Make the plans of a request in a process of its own: `python -m training.plan.child`, started by `ask.ask`.

A request is JSON on stdin: {"topology": …, "compile": true or false, "configs": [config, …]}. The answers are JSON, one
a line: the fields of Figures; {"error": …} for a config that cannot be planned. Errors of the request end the process
with that line. The environment is set before the start, since it must be there when JAX is imported.
"""

import dataclasses
import json
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from seqmodels.errors import InputError, one_line
from training import mesh as meshes
from training.limits import host_bytes
from training.plan import estimate, hlo, topology
from training.plan.figures import Figures
from training.run import Run, build_run

SIZE = r'([\d.]+)([KMGT]?)'
USED = re.compile(rf'Used {SIZE} of {SIZE} hbm')
TEMPORARIES = re.compile(rf'HLO temporaries \({SIZE}\) exceeds available HBM \({SIZE}\)')
UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}
FULL = ('RESOURCE_EXHAUSTED', 'Ran out of memory')


@dataclass(frozen=True)
class Absent:
  """A device that only has a place: enough for a mesh, whose programs are traced and not lowered."""

  id: int
  platform: str
  slice_index: int
  process_index: int = 0
  device_kind: str = 'absent'


def devices_of(place: topology.Topology, compiles: bool) -> list[Any]:
  """Return the devices of a topology; without a compiler, stand-ins."""
  if not compiles:
    each = place.devices // place.slices
    platform = place.platform if place.platform == topology.CPU else Absent.device_kind
    return [Absent(i, platform, i // each) for i in range(place.devices)]
  if place.platform == topology.CPU:
    return jax.devices()
  from jax.experimental import topologies

  found = topologies.get_topology_desc(place.layout, 'tpu', **place.options())
  return list(found.devices)


def memory_of(place: topology.Topology) -> int:
  """Return the bytes of a device; CPU devices share this host."""
  return int(place.about.gibibytes * 2**30) or host_bytes() // place.devices


def compiled(run: Run, memory: int) -> Figures:
  """Return the figures of a run's compiled step on each device."""
  state = run.abstract_state()
  params = estimate.local_bytes(state.params, run.layout.params)
  optimizer = estimate.local_bytes(state.opt_state, run.layout.opt_state)
  known = Figures(meshes.words(run.mesh), False, params, optimizer, 0, 0, 0, memory, estimate.flops(run))
  known = dataclasses.replace(known, lengths=run.task.lengths())
  start = time.perf_counter()
  lowered = run.step.trace(state, run.abstract_batch()).lower()
  try:
    program = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    text = str(error)
    if not any(word in text for word in FULL):
      raise
    return refused(known, text, time.perf_counter() - start)
  seconds = time.perf_counter() - start
  found = program.memory_analysis()
  kept = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
  kept += found.generated_code_size_in_bytes
  costs = program.cost_analysis() or {}
  return dataclasses.replace(
    known,
    activations=found.temp_size_in_bytes,
    other=max(0, kept - params - optimizer),
    peak=kept + found.temp_size_in_bytes,
    compiler_flops=costs.get('flops'),
    collectives=hlo.bytes_by_kind(program.as_text()),
    seconds=seconds,
  )


def refused(known: Figures, text: str, seconds: float) -> Figures:
  """Return the figures of a program that the compiler finds too large, with what it says is needed."""
  peak, memory, activations = known.memory + 1, known.memory, 0
  if match := USED.search(text):
    peak, memory = _size(match, 1), _size(match, 3)
  elif match := TEMPORARIES.search(text):
    activations, memory = _size(match, 1), _size(match, 3)
    peak = known.params + known.optimizer + activations
  refusal = one_line(text.partition('\n')[0])
  return dataclasses.replace(known, peak=peak, memory=memory, activations=activations, seconds=seconds, refusal=refusal)


def _size(match: re.Match[str], group: int) -> int:
  return int(float(match[group]) * UNITS[match[group + 1]])


def answer(request: dict[str, Any]) -> None:
  """Print the answers of a request."""
  place = topology.parse(request['topology'])
  devices, memory = devices_of(place, request['compile']), memory_of(place)
  if len(devices) != place.devices:
    raise InputError(f'--topology={place.name} has {len(devices)} devices here, not {place.devices}')
  for config in request['configs']:
    try:
      run = build_run(config, devices=devices)
      found = compiled(run, memory) if request['compile'] else estimate.estimate(run, place.platform, memory)
      line = dataclasses.asdict(found)
    except InputError as error:
      line = {'error': one_line(error)}
    print(json.dumps(line, default=lambda x: np.asarray(x).item()), flush=True)


if __name__ == '__main__':
  try:
    answer(json.load(sys.stdin))
  except InputError as error:
    print(json.dumps({'error': one_line(error)}), flush=True)
