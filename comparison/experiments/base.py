"""The contract of experiments: a name, a grid of cells per scale, a function from a cell to records; no verdicts."""

import abc
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

Scale = Literal['smoke', 'laptop', 'overnight', 'accelerator', 'config']  # config: that of a config, in a sweep
SCALES: tuple[Scale, ...] = ('smoke', 'laptop', 'overnight', 'accelerator')

REFERENCES = ('lstm', 'transformer')  # one a side, beside which named architectures are measured

Cell = dict[str, Any]  # flat, JSON-able; its content is its key, so whatever changes the result stands in it
Row = dict[str, Any]  # what `run` yields: the measured columns; the runner adds identity, device, versions, time


class Experiment(abc.ABC):
  """Measures one thing over a grid. Timings that are compared with each other belong into one cell, interleaved.

  A row holds `metric`, `value`, `unit` and, where they apply, `architecture`, `backend`, `parameters`, `length`,
  `batch`, `seed`, `dtype`, `low` and `high` (a 95 % interval), `samples` (the repeats behind it, in the order measured,
  so that ratios can be formed pair by pair) and any further coordinate of the figure (`lag`, `pairs`, `position` …).
  """

  name: str
  version: int = 1  # raise it when the measurement changes: finished cells of older versions are run again
  takes_architectures: bool = False  # a cell has an `architecture`, or a `ladder` of them, that may be any other

  @abc.abstractmethod
  def cells(self, scale: Scale) -> list[Cell]:
    """Return the grid of a scale; empty where the scale is too small for the measurement."""

  def cells_of(self, scale: Scale, architectures: Sequence[str]) -> list[Cell]:
    """Return the grid with these architectures beside the REFERENCES, each in the block of its own.

    Timings of one cell are interleaved, so that a ratio to a reference means the same whenever it is measured. A cell
    that is in both grids is the same cell. An experiment that does not take architectures keeps its grid.
    """
    own = self.cells(scale)
    if not self.takes_architectures or not own:
      return own
    own = [cell for cell in own if not self.adds(cell)]
    names = list(dict.fromkeys((*REFERENCES, *architectures)))
    if 'ladder' in own[0]:
      return [{**cell, 'ladder': 'named', 'architectures': names} for cell in own]
    of_one = [cell for cell in own if cell['architecture'] == own[0]['architecture'] and not cell.get('block')]
    return [{**cell, 'architecture': name} for name in names for cell in of_one]

  @staticmethod
  def adds(cell: Cell) -> bool:
    """Return whether a cell adds to what others of the grid measure, such as further rungs or a second budget."""
    del cell
    return False

  @abc.abstractmethod
  def run(self, cell: Cell) -> Iterable[Row]: ...

  def prepare(self, cell: Cell) -> Callable[[], Iterable[Row]]:
    """Return a function that measures the cell; where an experiment can compile apart, it has done so before.

    Several cells may be prepared at a time, in threads, while nothing is being measured.
    """
    return lambda: self.run(cell)

  def cost(self, cell: Cell) -> float:
    """About how long a cell takes, in seconds on any one machine: only the proportions matter, for the time left."""
    del cell
    return 1.0
