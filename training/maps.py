"""The memory maps of this process, of which every compiled program of a CPU takes three or more.

Linux allows a process 65,530 (`vm.max_map_count`), and the compiler crashes at one that is refused: a process that
keeps some ten thousand programs ends by a segmentation fault (JAX 0.10.2).
"""

import pathlib

import jax

MAPS, LIMIT = pathlib.Path('/proc/self/maps'), pathlib.Path('/proc/sys/vm/max_map_count')


def share() -> float:
  """Return how much of the maps that this process may have it has; 0.0 where the system does not say."""
  try:
    with MAPS.open('rb') as maps:
      return sum(1 for _ in maps) / int(LIMIT.read_text())
  except (OSError, ValueError, ZeroDivisionError):
    return 0.0


def let_programs_go(above: float = 0.5) -> bool:
  """Drop the programs in JAX's caches if more than the share `above` of the maps is taken; return whether it is."""
  full = share() > above
  if full:
    jax.clear_caches()
  return full
