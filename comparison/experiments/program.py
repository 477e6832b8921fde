"""Read what the compiler says of a program before it runs: its memory and its dependent steps."""

import functools
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

COMPUTATION = re.compile(r'^(?:ENTRY )?%?([\w.\-]+) \(.*\{$')
CALLED = re.compile(r'(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)')
BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')
# Ends the name of a loop over updates that need no order, which XLA for CPU writes in some settings.
SCATTER = re.compile(r'/scatter(-add)?"')
TRIPS = re.compile(r'known_trip_count"?:\{"n":"(\d+)"')


OPAQUE = ('"seqmodels_', '"cudnn_rnn')  # targets of foreign calls, as the program's text names them
MOST_TOGETHER = 16  # compilations; each holds its program's description in memory


class Program(NamedTuple):
  """A compiled function and its bytes on the device."""

  call: Callable[..., Any]
  temporary_bytes: int
  argument_bytes: int
  output_bytes: int
  text: str

  @property
  def seen_by_the_compiler(self) -> bool:
    """Whether all loops and temporaries stand in the program; those inside native kernels and cuDNN's LSTM do not."""
    return not any(target in self.text for target in OPAQUE)


class TooLarge(Exception):
  """Why a program cannot run here: it needs more memory than the device has."""


def compile_program(function: Callable[..., Any], *arguments: Any, donate: Sequence[int] = ()) -> Program:
  """Compiles ahead of time; arguments may be abstract (jax.ShapeDtypeStruct). A jitted function is taken as it is.

  Raises TooLarge where the device tells its memory and the program needs more.
  """
  jitted = function if hasattr(function, 'lower') else jax.jit(function, donate_argnums=tuple(donate))
  try:
    compiled = jitted.lower(*arguments).compile()
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    raise TooLarge(str(error).partition('\n')[0]) from error
  memory = compiled.memory_analysis()
  needed, limit = memory.temp_size_in_bytes + memory.output_size_in_bytes, device_bytes()
  if needed > limit:
    raise TooLarge(f'{needed / 1e9:.3g} GB of temporaries and outputs; {limit / 1e9:.3g} GB are there')
  return Program(
    compiled,
    memory.temp_size_in_bytes,
    memory.argument_size_in_bytes,
    memory.output_size_in_bytes,
    compiled.as_text(),
  )


def device_bytes() -> float:
  """Memory that programs may take on the device, less what is taken; infinite where the device does not tell."""
  stats = jax.devices()[0].memory_stats() or {}
  return stats['bytes_limit'] - stats.get('bytes_in_use', 0) if 'bytes_limit' in stats else float('inf')


def together(makers: Sequence[Callable[[], Any]]) -> list[Any]:
  """Call functions that compile, a few at a time: the compiler leaves half of a small machine idle. In their order;
  what does not fit the device's memory is the TooLarge that says so.

  Threads that call it at the same time share the workers, so that no more is compiled at once than there are cores.
  """
  return list(_workers().map(functools.partial(attempt, allowed=TooLarge), makers))


def attempt(make: Callable[[], Any], allowed: type[Exception] = Exception) -> Any:
  """Return the result of a call, or the exception that it raised."""
  try:
    return make()
  except allowed as reason:
    return reason


@functools.cache
def _workers() -> ThreadPoolExecutor:
  return ThreadPoolExecutor(max(2, min(MOST_TOGETHER, len(os.sched_getaffinity(0)))))


def dependent_steps(text: str) -> int:
  """Count the iterations that must follow one another: trip counts of all loops, those of nested loops multiplied.

  text: optimised HLO. A loop whose trip count the compiler does not know counts once; 0 without loops. Loops of
  different layers are added: in a training step each layer's backward loop waits for its forward loop.
  """
  bodies: dict[str, list[str]] = {}
  entry, current = '', ''
  for line in text.splitlines():
    head = COMPUTATION.match(line)
    if head:
      current = head.group(1)
      bodies[current] = []
      entry = current if line.startswith('ENTRY') else entry
    elif current:
      bodies[current].append(line)
  known: dict[str, int] = {}

  def steps(name: str) -> int:
    if name not in known:
      known[name] = 0
      known[name] = sum(of_line(line) for line in bodies.get(name, []))
    return known[name]

  def of_line(line: str) -> int:
    branches = BRANCHES.search(line)
    if branches:
      return max(steps(name.strip(' %')) for name in branches.group(1).split(','))
    inner = sum(steps(name) for name in CALLED.findall(line))
    if ' while(' not in line:
      return inner
    if SCATTER.search(line):
      return 0
    trips = TRIPS.search(line)
    return (int(trips.group(1)) if trips else 1) * max(1, inner)

  return steps(entry)
