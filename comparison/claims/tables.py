"""A table of texts, and how sizes and quantities are written in it."""

from dataclasses import dataclass

PREFIXES = ((1e9, 'G'), (1e6, 'M'), (1e3, 'k'))


@dataclass(frozen=True)
class Table:
  title: str
  note: str
  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  best: frozenset[tuple[int, int]] = frozenset()  # rows and columns of the best scores
  trained: str = ''  # seeds and budget of the models behind it, where it is of some of a page's alone


def parameters(size: float | None) -> str:
  """`200k`, `1M`; a dash where the size is not known."""
  if size is None:
    return '–'
  factor, prefix = next((step for step in PREFIXES if size >= step[0]), (1.0, ''))
  return f'{size / factor:g}{prefix}'


def quantity(value: float, unit: str) -> str:
  """Return the number with a suitable prefix: 1.23 ms, 512 MiB."""
  steps: dict[str, tuple[tuple[float, str], ...]] = {
    's': ((1.0, 's'), (1e-3, 'ms'), (1e-6, 'µs')),
    'B': ((2.0**30, 'GiB'), (2.0**20, 'MiB'), (2.0**10, 'KiB'), (1.0, 'B')),
  }
  factors = steps[unit]
  for (factor, prefix), (smaller, _) in zip(factors, (*factors[1:], (0.0, '')), strict=True):
    if value >= factor or value >= 999.5 * smaller > 0:  # 1,000 KiB are 0.977 MiB: three digits do not show 1,000
      return f'{value / factor:.3g} {prefix}'
  return f'{value:.3g} {unit}'
