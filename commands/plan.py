"""--mode=plan: print what a config's training step needs on devices that are not there."""

import sys
from collections.abc import Sequence
from typing import Any

from seqmodels.errors import InputError
from training import workdir as workdirs
from training.mesh_settings import CHOSEN, MESH_AXES
from training.plan import ask, figures
from training.plan import search as searching
from training.plan.topology import Topology

TIMEOUT = 1800  # seconds, of --compile_timeout


def main(config: Any, *, topology: Topology, search: bool = False, compile_timeout: int = TIMEOUT) -> None:
  """Compile the training step for a topology and print its needs on each device; estimate them without a compiler.

  search: try meshes, batch sizes and rematerialisation until the step fits. Exits with 1 where the step does not fit,
  by an estimate too, and where a search finds nothing. Raises InputError for a config that cannot be spread so.
  """
  plain = workdirs.plain(config)
  if reason := ask.why_no_compiler(topology):
    print(f'{reason}; what follows are estimates', file=sys.stderr)
  if search:
    _search(plain, topology, not reason, compile_timeout)
    return
  found = ask.ask(topology, [plain], compiles=not reason, timeout=compile_timeout)[0]
  if isinstance(found, InputError):
    raise found
  _print(topology, found)
  if not found.fits:
    sys.exit(1)


def _search(config: workdirs.Config, topology: Topology, compiles: bool, timeout: int) -> None:
  def estimate(candidates: Sequence[searching.Candidate]) -> list[searching.Answer]:
    return ask.ask(topology, [candidate.applied(config) for candidate in candidates], compiles=False, timeout=timeout)

  def compile_one(candidate: searching.Candidate) -> searching.Answer:
    return ask.ask(topology, [candidate.applied(config)], compiles=True, timeout=timeout)[0]

  mesh = config['mesh']
  keeps_mesh = any(mesh[name] != (CHOSEN if name == 'data' else 1) for name in MESH_AXES)
  tried = list(searching.candidates(config, topology, keeps_mesh=keeps_mesh))
  found = searching.search(tried, estimate, compile_one if compiles else None, lambda line: print(line, flush=True))
  if found is None:
    sys.exit(f'error: --search: nothing that was tried fits {topology.name}; use more devices, or a smaller model')
  print(f'found: {found.candidate.flags()}')
  _print(topology, found.figures)


def _print(topology: Topology, found: figures.Figures) -> None:
  mark = '  (estimate)' if found.is_estimate else ''
  print(f'{topology.name}: {topology.devices} devices, mesh {found.mesh}; on each device:{mark}')
  print('\n'.join(figures.lines(found)))
