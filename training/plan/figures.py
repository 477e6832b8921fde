"""Hold and print the figures of a plan, those of one device. Imports no JAX."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figures:
  """The needs of a training step on each device; bytes and FLOPs of one step.

  mesh            the axes above 1, in words
  is_estimate     whether no compiler was asked
  params, optimizer, activations   bytes; activations: all temporaries, gradients among them
  other           bytes of the batch, the carried state, the program, and of padding to the device's tiles
  peak            bytes in use at most, as far as they are known
  memory          bytes that the device has
  flops           of the model by formula, without rematerialised work
  compiler_flops  of the program; the compilers count the body of a loop once. None: not known
  collectives     bytes moved by kind; those of loops as often as they run
  seconds         to compile; None for an estimate
  lengths         to which batches are padded, of which the largest is planned; empty where all have one shape
  refusal         why the compiler gave up, where the program does not fit; collectives and other are then unknown
  """

  mesh: str
  is_estimate: bool
  params: int
  optimizer: int
  activations: int
  other: int
  peak: int
  memory: int
  flops: float
  compiler_flops: float | None = None
  collectives: dict[str, int] = field(default_factory=dict)
  seconds: float | None = None
  lengths: tuple[int, ...] = ()
  refusal: str = ''

  @property
  def fits(self) -> bool:
    return not self.refusal and self.peak <= self.memory


def gigabytes(count: float) -> str:
  """Return bytes in GiB, or in a smaller unit where they are few."""
  for power, unit in ((3, 'GiB'), (2, 'MiB'), (1, 'KiB')):
    if count >= 2 ** (10 * power) / 10:
      return f'{count / 2 ** (10 * power):,.2f} {unit}'
  return f'{count:.0f} B'


def verdict(figures: Figures) -> str:
  """Return `fits` or `does not fit`, with what is needed of what there is."""
  words = 'fits' if figures.fits else 'does not fit'
  return f'{words}: needs {gigabytes(figures.peak)} of {gigabytes(figures.memory)}'


def lines(figures: Figures) -> list[str]:
  """Return the table of a plan; each line of an estimate says that it is one."""
  unknown = 'not known'
  moved = ', '.join(f'{kind} {gigabytes(count)}' for kind, count in figures.collectives.items())
  rows: list[tuple[str, Any]] = [
    ('parameters', gigabytes(figures.params)),
    ('optimizer state', gigabytes(figures.optimizer)),
    ('activations', gigabytes(figures.activations) if figures.activations or not figures.refusal else unknown),
    ('other', unknown if figures.refusal else gigabytes(figures.other)),
    ('peak', gigabytes(figures.peak)),
    ('memory', verdict(figures)),
    ('FLOPs by formula', f'{figures.flops:.4g} a step'),
  ]
  if figures.compiler_flops is not None:
    rows.append(('FLOPs by compiler', f'{figures.compiler_flops:.4g}, the body of a loop once'))
  rows.append(('collectives', unknown if figures.refusal else f'{moved} a step' if moved else 'none'))
  if figures.refusal:
    rows.append(('compiler', figures.refusal))
  if figures.seconds is not None:
    rows.append(('compile time', f'{figures.seconds:.1f} s'))
  if len(figures.lengths) > 1:
    *others, largest = figures.lengths
    rows.append(('batch', f'{largest} tokens a row, the largest bucket; others: {", ".join(map(str, others))}'))
  mark = '  (estimate)' if figures.is_estimate else ''
  return [f'{name:<18} {value}{mark}' for name, value in rows]
