"""Topologies by name: their generation, shape, number of devices and memory. Imports no JAX."""

import math
import re
from typing import NamedTuple

from seqmodels.errors import InputError, shown, unknown

TPU, GPU, CPU = 'tpu', 'gpu', 'cpu'
MOST_DEVICES = 16_384
MOST_SLICES = 64


class Generation(NamedTuple):
  """Devices of one kind.

  platform   tpu, gpu or cpu
  gibibytes  memory of a device of JAX, as its maker publishes it; 0: a share of this host's
  largest    chips along each axis of the largest topology; one number for devices that have no shape
  devices    of JAX, in a chip
  cores      that a marketing name counts for each chip: v5p-64 has 32 chips, v5e-64 has 64
  names      that Google Cloud or a maker uses besides
  options    of the topology description; accelerator_type: the machine that libtpu takes this one for
  """

  platform: str
  gibibytes: float
  largest: tuple[int, ...]
  devices: int = 1
  cores: int = 1
  names: tuple[str, ...] = ()
  options: tuple[tuple[str, str], ...] = ()
  accelerator_type: str = ''


# Google Cloud TPU system architecture; NVIDIA's data sheets. A chip of v4 and v5p is one device of JAX (megacore), one
# of tpu7x is two.
GENERATIONS: dict[str, Generation] = {
  'v4': Generation(
    TPU, 32, (16, 16, 16), cores=2, options=(('chip_config_name', 'megacore'),), accelerator_type='v4-8'
  ),
  'v5e': Generation(TPU, 16, (16, 16), names=('v5litepod', 'v5lite'), accelerator_type='v5litepod-4'),
  'v5p': Generation(TPU, 95, (16, 20, 28), cores=2, accelerator_type='v5p-8'),
  'v6e': Generation(TPU, 32, (16, 16), names=('v6lite', 'trillium'), accelerator_type='v6e-4'),
  'tpu7x': Generation(TPU, 96, (16, 24, 24), devices=2, cores=2, names=('v7x', 'ironwood'), accelerator_type='tpu7x-8'),
  'a100': Generation(GPU, 80, (MOST_DEVICES,), names=('a100-80gb',)),
  'a100-40gb': Generation(GPU, 40, (MOST_DEVICES,)),
  'h100': Generation(GPU, 80, (MOST_DEVICES,)),
  'h200': Generation(GPU, 141, (MOST_DEVICES,)),
  'b200': Generation(GPU, 180, (MOST_DEVICES,)),
  'cpu': Generation(CPU, 0, (1024,)),
}
# The shapes of v5e and v6e by their number of chips; there are no others.
FLAT = {math.prod(shape): shape for shape in ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))}
BY_COUNT = re.compile(r'(.+)-([0-9]{1,6})')
EXAMPLES = 'v5e:4x4, v5p:8x8x8, v5p-64, v6e:16x16, h100:8, cpu:8; two slices: v5e:4x4,slices:2'


class Topology(NamedTuple):
  """Devices that a plan is made for: `slices` times the shape, which counts chips."""

  generation: str
  shape: tuple[int, ...]
  slices: int = 1

  @property
  def about(self) -> Generation:
    return GENERATIONS[self.generation]

  @property
  def platform(self) -> str:
    return self.about.platform

  @property
  def devices(self) -> int:
    """The number of JAX's devices, over all slices."""
    return math.prod(self.shape) * self.about.devices * self.slices

  @property
  def layout(self) -> str:
    """The shape as the compiler reads it, e.g. `v5e:4x4`."""
    return f'{self.generation}:{"x".join(map(str, self.shape))}'

  @property
  def name(self) -> str:
    return self.layout + (f',slices:{self.slices}' if self.slices > 1 else '')

  def options(self) -> dict[str, object]:
    """Return the further arguments of `jax.experimental.topologies.get_topology_desc`."""
    found: dict[str, object] = dict(self.about.options)
    if self.slices > 1:
      found['num_slices'] = self.slices
    if math.prod(self.shape) == 1:
      found['chips_per_host_bounds'] = (1, 1, 1)
    return found

  def environment(self) -> dict[str, str]:
    """Return the variables without which libtpu looks for a TPU and its neighbours."""
    return {
      'TPU_SKIP_MDS_QUERY': '1',
      'TPU_WORKER_HOSTNAMES': 'localhost',
      'TPU_ACCELERATOR_TYPE': self.about.accelerator_type,
      'TPU_LOG_DIR': 'disabled',
      'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
    }


def parse(text: str) -> Topology:
  """Return the topology that `--topology=text` names: <generation>:<shape>[,slices:<n>] or a name such as v5p-64.

  Raises InputError for a generation that is not known, and for a shape that does not exist.
  """
  name, *rest = (part.strip() for part in text.lower().split(','))
  slices = _slices(text, rest)
  head, colon, shape_text = name.partition(':')
  if not colon and (match := BY_COUNT.fullmatch(head)) and _find(match[1]):
    generation = _find(match[1])
    shape = _by_count(text, generation, int(match[2]))
  else:
    generation = _find(head)
    if not generation:
      raise unknown('--topology', head, [*GENERATIONS])
    shape = _shape(text, generation, shape_text)
  topology = Topology(generation, shape, slices)
  if slices > 1 and topology.platform != TPU:
    raise InputError(f'--topology={shown(text)}: slices are for TPUs')
  if topology.devices > MOST_DEVICES:
    raise InputError(f'--topology={shown(text)} has {topology.devices:,} devices; allowed: at most {MOST_DEVICES:,}')
  return topology


def _find(name: str) -> str:
  """Return the generation that a name means; '' for none."""
  return next((key for key, about in GENERATIONS.items() if name == key or name in about.names), '')


def _slices(text: str, rest: list[str]) -> int:
  if not rest:
    return 1
  name, _, count = rest[0].partition(':')
  if len(rest) > 1 or name != 'slices' or not (_is_number(count) and 0 < int(count) <= MOST_SLICES):
    raise InputError(f'--topology={shown(text)} may end in ,slices:<1 to {MOST_SLICES}> and in nothing else')
  return int(count)


def _by_count(text: str, generation: str, count: int) -> tuple[int, ...]:
  """Return the shape of a name such as v5p-64, whose number counts cores or chips."""
  about = GENERATIONS[generation]
  if about.platform != TPU:
    raise InputError(f'--topology={shown(text)} must be {generation}:<number of devices>')
  counts = _counts(generation)
  if count not in counts:
    near = ', '.join(f'{generation}-{n}' for n in sorted(sorted(counts, key=lambda n: abs(n - count))[:3]))
    raise InputError(f'--topology={shown(text)} does not exist; nearest: {near}; or a shape: {_example(generation)}')
  return counts[count]


def _counts(generation: str) -> dict[int, tuple[int, ...]]:
  """Return the shapes of a generation by the number in their marketing names: those of a power of two of chips."""
  about = GENERATIONS[generation]
  if len(about.largest) == 2:
    return {chips * about.cores: shape for chips, shape in FLAT.items()}
  found: dict[int, tuple[int, ...]] = {}
  shape = [2, 2, 1]
  while all(size <= most for size, most in zip(sorted(shape), about.largest, strict=True)):
    found[math.prod(shape) * about.cores] = (2, 2, 1) if 1 in shape else tuple(sorted(shape))
    shape[shape.index(min(shape))] *= 2
  return found


def _shape(text: str, generation: str, shape_text: str) -> tuple[int, ...]:
  about = GENERATIONS[generation]
  parts = shape_text.split('x')
  if len(parts) != len(about.largest) or not all(
    part.isascii() and part.isdecimal() and len(part) < 7 for part in parts
  ):
    form = 'x'.join('abc'[: len(about.largest)]) if len(about.largest) > 1 else '<number of devices>'
    raise InputError(f'--topology={shown(text)} must be {generation}:{form}, as in {_example(generation)}')
  shape = tuple(map(int, parts))
  if about.platform != TPU:
    if not 0 < shape[0] <= about.largest[0]:
      raise InputError(f'--topology={shown(text)} must have from 1 to {about.largest[0]:,} devices')
  elif len(shape) == 2:
    if tuple(sorted(shape)) not in FLAT.values():
      allowed = ', '.join('x'.join(map(str, sizes)) for sizes in FLAT.values())
      raise InputError(f'--topology={shown(text)} does not exist; allowed: {generation}: {allowed}')
    shape = tuple(sorted(shape))
  elif not _exists(shape, about.largest):
    most = 'x'.join(map(str, about.largest))
    raise InputError(
      f'--topology={shown(text)} does not exist; allowed: 2x2x1 and shapes of 2s and multiples of 4, up to {most}'
    )
  return shape


def _is_number(text: str) -> bool:
  return text.isascii() and text.isdecimal() and len(text) < 7


def _exists(shape: tuple[int, ...], largest: tuple[int, ...]) -> bool:
  fits = all(size <= most for size, most in zip(sorted(shape), largest, strict=True))
  return shape == (2, 2, 1) or (fits and all(size == 2 or (size > 0 and size % 4 == 0) for size in shape))


def _example(generation: str) -> str:
  size = {1: '8', 2: '4x4', 3: '4x4x4'}[len(GENERATIONS[generation].largest)]
  return f'{generation}:{size}'
