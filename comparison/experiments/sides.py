"""The forms that the two sides are searched over: as many for one as for the other, in as many trials."""

from collections.abc import Sequence

from comparison.experiments.base import REFERENCES, Cell, Scale
from comparison.experiments.grid import Grid
from comparison.experiments.training_grids import GATED
from configs.architectures import architecture, whole_depth

RESIDUAL_LSTM: Cell = {'architecture': 'lstm', 'block': 'residual'}


def recurrent(scale: Scale) -> list[Cell]:
  """Return the forms of an RNN: LSTM or GRU, and how many layers."""
  depths = (2, 3) if scale == 'accelerator' else (2, 1)
  return [{'architecture': name, 'depth': depth} for depth in depths for name in ('lstm', 'gru')]


def attention(scale: Scale) -> list[Cell]:
  """Return the forms of a Transformer: how many layers, how many heads (0: by the width), which positions.

  Each depth and each number of heads stands beside the other in two of the four.
  """
  flatter, deeper, heads = (4, 8, 8) if scale == 'accelerator' else (2, 4, 4)
  chosen = ((flatter, 0, 'rotary'), (deeper, heads, 'alibi'), (flatter, heads, 'learned'), (deeper, 0, 'rotary'))
  return [{'architecture': 'transformer', 'depth': d, 'heads': h, 'position': name} for d, h, name in chosen]


class OfSides(Grid):
  """Variants are the first `forms` forms of each side, of which a judge takes the best on validation.

  So either side has the same number of trials. What is shown beside them (`beside`) is in no verdict. Architectures
  that a user names are searched over as many depths.
  """

  forms = 2
  beside: Sequence[Cell] = ()

  def variants(self, scale: Scale) -> Sequence[Cell]:
    if scale == 'smoke':
      return GATED[:2]
    return [*attention(scale)[: self.forms], *recurrent(scale)[: self.forms], *self.beside]

  def cells_of(self, scale: Scale, architectures: Sequence[str]) -> list[Cell]:
    if not self.takes_architectures or not self.cells(scale):
      return self.cells(scale)
    of_sides = [v for v in self.variants(scale) if not v.get('block') and v['architecture'] in REFERENCES]
    others = [name for name in dict.fromkeys(architectures) if name not in REFERENCES]
    return self.pairs(scale, [*of_sides, *(form for name in others for form in self.named(scale, name))])

  def named(self, scale: Scale, name: str) -> list[Cell]:
    """Return the forms of any architecture: those that the grid has, else its pattern repeated more and more often."""
    if found := [v for v in self.variants(scale) if not v.get('block') and v['architecture'] == name]:
      return found
    if scale == 'smoke':
      return [{'architecture': name}]
    pattern = architecture(name)['pattern']
    depths = dict.fromkeys(whole_depth(depth, pattern) for depth in range(1, self.forms + 1))
    return [{'architecture': name, 'depth': depth} for depth in depths]
