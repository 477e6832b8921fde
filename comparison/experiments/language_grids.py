"""Small language models of several sizes, and what a generated token costs with each."""

from collections.abc import Iterable, Sequence

from comparison.experiments import gate, timing
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.decoding import STEPS, Decoder, build, copier
from comparison.experiments.grid import Grid
from comparison.experiments.training_grids import GATED, common
from comparison.experiments.variants import Variant, columns, depth
from seqmodels.models import sizing
from tasks.base import Task
from tasks.language import Language

SIZES: dict[Scale, tuple[float, ...]] = {
  'smoke': (6e3,),
  'laptop': (),
  'overnight': (5e4, 1e5, 2e5),
  'accelerator': (1e6, 3e6, 1e7),
}
LENGTH: dict[Scale, int] = {'smoke': 16, 'laptop': 16, 'overnight': 256, 'accelerator': 512}


class SmallLanguageModels(Grid):
  """Characters of the Penn Treebank, predicted by an LSTM and by a Transformer of several sizes.

  Beside them, at the middle size, the LSTM in the residual block.
  """

  name = 'small_language_models'
  baselines_beside = 'transformer'

  def variants(self, scale: Scale) -> Sequence[Cell]:
    del scale
    return GATED[:2]

  def points(self, scale: Scale) -> Sequence[Cell]:
    return [{'size': size} for size in SIZES[scale]]

  def cells(self, scale: Scale) -> list[Cell]:
    found = super().cells(scale)
    middle = found[len(SIZES[scale]) // 2 : len(SIZES[scale]) // 2 + 1] if scale != 'smoke' else []
    return found + [{**cell, 'architecture': 'lstm', 'block': 'residual'} for cell in middle]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {'dataset': 'embedded', 'length': LENGTH[scale], 'batch': 4, 'steps': 4, 'rates': [3e-3], 'seeds': [0]},
      {},
      {
        'dataset': 'ptb', 'batch': 16, 'steps': 2500, 'rates': [1e-3, 3e-3, 1e-2, 3e-2], 'seeds': [0, 1, 2],
        'tuning_seeds': [0],
      },
      {'batch': 64, 'steps': 10_000},
    )  # fmt: skip

  def task(self, cell: Cell) -> Task:
    return Language(corpus=cell['dataset'], unit='character', length=cell['length'])


class GenerationCost(Experiment):
  """Time and FLOPs of one generated token behind as many others as SmallLanguageModels reads, sizes interleaved."""

  name = 'generation_cost'

  def cells(self, scale: Scale) -> list[Cell]:
    seconds = {'smoke': 0.2, 'overnight': 120.0}.get(scale, 30.0)
    cell = {'sizes': list(SIZES[scale]), 'position': LENGTH[scale], 'depth': depth(scale), 'seconds': seconds}
    return [cell] if SIZES[scale] else []

  def cost(self, cell: Cell) -> float:
    return 20 + cell['seconds']

  def run(self, cell: Cell) -> Iterable[Row]:
    """Yield `token_seconds` and `token_flops` of each architecture and size."""
    variants, refused = gate.admit([Variant(variant['architecture'], 'auto') for variant in GATED[:2]])
    yield from refused
    calls, setups, beside = {}, {}, {}
    position = cell['position']
    for variant in variants:
      for size in cell['sizes']:
        model = build(variant, {**cell, 'size': size, 'dtype': 'float32'}, position)
        decoder = Decoder(model, 1, position + STEPS)
        name = f'{variant.name} {size:g}'
        calls[name], setups[name] = decoder.advance, copier(decoder.walk([position])[position])
        beside[name] = {**columns(variant, model, position), 'size': size, 'position': position, 'batch': 1}
        flops = sizing.flops_per_token(model, 1, position)
        yield {'metric': 'token_flops', 'value': flops, 'unit': 'FLOPs', **beside[name]}
    for name, samples in timing.interleave(calls, setups=setups, repeats=300, seconds=cell['seconds']).items():
      yield timing.timing_row([s / STEPS for s in samples], metric='token_seconds', **beside[name])
