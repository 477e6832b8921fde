"""Find a mesh, a batch size and a rematerialisation with which a step fits. Imports no JAX."""

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from seqmodels.errors import InputError, cut
from training.mesh_settings import MESH_AXES, PARAMETER_AXES
from training.plan.figures import Figures, verdict
from training.plan.topology import Topology

REMAT = ('none', 'dots', 'block')  # the later, the more is computed again
TENSOR = (1, 2, 4, 8)
HALVINGS = 4  # of the batch: first into microbatches, then of its size
MARGIN = 1.5  # an estimate this many times the memory is believed
MOST_COMPILED, MOST_OF_EQUAL_COST = 12, 2

LONGEST = 120  # characters of a reason

Answer = Figures | InputError


class Candidate(NamedTuple):
  """Hold the fields of a config that a search changes."""

  data: int
  fsdp: int
  tensor: int
  remat: str
  batch_size: int
  accumulate: int
  sequence: int = 1

  @property
  def sizes(self) -> dict[str, int]:
    """The sizes of the mesh; that of `sequence` where it is more than 1, as a search leaves it as it is."""
    names = MESH_AXES if self.sequence != 1 else PARAMETER_AXES
    return {name: getattr(self, name) for name in names}

  def words(self) -> str:
    sizes = ','.join(f'{name}:{size}' for name, size in self.sizes.items())
    return f'--mesh={sizes} remat={self.remat} batch_size={self.batch_size} accumulate={self.accumulate}'

  def flags(self) -> str:
    """Return the flags that make a run of it."""
    fields = {'model.remat': self.remat, 'train.batch_size': self.batch_size, 'train.accumulate': self.accumulate}
    sizes = ','.join(f'{name}:{size}' for name, size in self.sizes.items())
    return ' '.join([f'--mesh={sizes}', *(f'--config.{name}={value}' for name, value in fields.items())])

  def applied(self, config: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a config with the candidate in it."""
    found = copy.deepcopy(config)
    found['mesh'] |= self.sizes
    found['model']['remat'] = self.remat
    found['train'] |= {'batch_size': self.batch_size, 'accumulate': self.accumulate}
    return found


class Found(NamedTuple):
  candidate: Candidate
  figures: Figures


def candidates(config: dict[str, Any], place: Topology, *, keeps_mesh: bool) -> Iterator[Candidate]:
  """Yield what is tried, what costs least first.

  The batch stays as it is as long as it can: all meshes and rematerialisations come before microbatches, and those
  before smaller batches. keeps_mesh: only the config's mesh.
  """
  train, model, mesh = config['train'], config['model'], config['mesh']
  meshes = [(mesh['data'], mesh['fsdp'], mesh['tensor'])] if keeps_mesh else list(_meshes(place))
  batches = [(train['batch_size'], train['accumulate'])]
  for power in range(1, HALVINGS + 1):
    batches.append((train['batch_size'], train['accumulate'] * 2**power))
  for power in range(1, HALVINGS + 1):
    batches.append((train['batch_size'] // 2**power, train['accumulate']))
  remats = REMAT[REMAT.index(model['remat']) :]
  for (size, accumulate), remat, sizes in itertools.product(batches, remats, meshes):
    shares = sizes[0] * sizes[1] if min(sizes) > 0 else 1
    if size and size % (shares * accumulate) == 0:
      data, fsdp, tensor = sizes
      yield Candidate(data, fsdp, tensor, remat, size, accumulate, mesh['sequence'])


def _meshes(place: Topology) -> Iterator[tuple[int, int, int]]:
  """Yield data × fsdp × tensor: little tensor first, and much fsdp, which needs the least memory for its traffic.

  Slices are joined by `data` alone.
  """
  for tensor in TENSOR:
    if place.devices % (tensor * place.slices):
      continue
    rest = place.devices // (tensor * place.slices)
    for fsdp in sorted({n for n in range(1, rest + 1) if rest % n == 0 and _is_even(n, rest)}, reverse=True):
      yield place.slices * rest // fsdp, fsdp, tensor


def _is_even(n: int, rest: int) -> bool:
  """Return whether a size is a power of two, or the whole rest."""
  return n == rest or n & (n - 1) == 0


def search(
  tried: Sequence[Candidate],
  estimate: Callable[[Sequence[Candidate]], Sequence[Answer]],
  compile_one: Callable[[Candidate], Answer] | None,
  say: Callable[[str], None],
) -> Found | None:
  """Return the first candidate that fits, by the compiler; by the estimate where `compile_one` is None.

  Estimates far above the memory are believed, and so is what parameters and optimizer alone need. Of the meshes that
  differ in nothing else, the MOST_OF_EQUAL_COST with the lowest estimates are compiled; at most MOST_COMPILED in all.
  """
  compiled = 0
  for _, group in itertools.groupby(tried, lambda c: (c.batch_size, c.accumulate, c.remat)):
    members = list(group)
    answers = list(zip(members, estimate(members), strict=True))
    for candidate, found in answers:
      if isinstance(found, InputError):
        say(f'{candidate.words()}: {cut(str(found), LONGEST)}')
    figures = [(c, f) for c, f in answers if isinstance(f, Figures)]
    refused = 0
    for candidate, guess in sorted(figures, key=lambda pair: pair[1].peak):
      if compile_one is None and guess.fits:
        return Found(candidate, guess)
      certain = guess.params + guess.optimizer > guess.memory
      if compile_one is None or certain or guess.peak > MARGIN * guess.memory:
        say(f'{candidate.words()}: {verdict(guess)} (estimate)')
        continue
      if refused == MOST_OF_EQUAL_COST:
        break
      if compiled == MOST_COMPILED:
        say(f'given up after {MOST_COMPILED} compilations')
        return None
      compiled, refused = compiled + 1, refused + 1
      answer = compile_one(candidate)
      if isinstance(answer, InputError):
        say(f'{candidate.words()}: {cut(str(answer), LONGEST)}')
        continue
      say(f'{candidate.words()}: {verdict(answer)} ({answer.seconds or 0:.0f} s)')
      if answer.fits:
        return Found(candidate, answer)
  return None
