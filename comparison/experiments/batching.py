"""Time of a forward pass over the number of sequences in it, and the peak of the device beside it."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import compress
from typing import Any

import jax

from comparison.experiments import gate, program, timing
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.forward_latency import forward
from comparison.experiments.training_time import ladder
from comparison.experiments.variants import columns, depth, token_spec
from seqmodels.models import Model, sizing
from training import peaks

Maker = Callable[[], Any]


class Batching(Experiment):
  """Batches of one length through every rung of the ladder, all sizes of batches interleaved in one cell."""

  name = 'batching'
  version = 2
  takes_architectures = True

  def cells(self, scale: Scale) -> list[Cell]:
    grids: dict[str, list[tuple[float, int, tuple[int, ...], str, str, float]]] = {
      'smoke': [(6e3, 16, (1, 4), 'ends', 'float32', 0.5)],
      'laptop': [(2e5, 256, (1, 8, 32), 'laptop', 'float32', 8.0)],
      'overnight': [
        (2e5, 256, (1, 2, 8, 32, 128), 'full', 'float32', 40.0),
        (4e6, 256, (1, 2, 8, 32), 'full', 'float32', 60.0),
      ],
      'accelerator': [(size, 256, (1, 8, 32, 128, 512), 'device', 'bfloat16', 10.0) for size in (1e7, 5e7)],
    }
    names = ('size', 'length', 'batches', 'ladder', 'dtype', 'seconds')
    return [
      {'depth': depth(scale), **dict(zip(names, (s, n, list(b), *rest), strict=True))}
      for s, n, b, *rest in grids[scale]
    ]

  def cost(self, cell: Cell) -> float:
    return 2 * len(ladder(cell)) * len(cell['batches']) + cell['seconds']

  def run(self, cell: Cell) -> Iterable[Row]:
    return self.prepare(cell)()

  def prepare(self, cell: Cell) -> Callable[[], Iterable[Row]]:
    variants, refused = gate.admit(ladder(cell), cell['dtype'])
    fields = {'params': cell['size'], 'depth': cell['depth'], 'dtype': cell['dtype']}
    built = [variant.build(token_spec(cell['length']), **fields) for variant in variants]
    pairs = [(v, m, batch) for v, m in zip(variants, built, strict=True) for batch in cell['batches']]
    makers: list[Maker] = [partial(forward, model, cell['length'], batch) for _, model, batch in pairs]
    made = program.together([partial(program.attempt, make) for make in makers])
    return partial(self._measure, cell, refused, pairs, made)

  def _measure(self, cell: Cell, refused: list[Row], pairs: list[tuple[Any, Model, int]], made: list[Any]):
    yield from refused
    runs, missing = gate.running([variant for variant, _, _ in pairs], made)
    yield from missing
    calls, beside = {}, {}
    for (variant, model, batch), (_, call) in zip(compress(pairs, runs), compress(made, runs), strict=True):
      name = f'{variant.name} × {batch}'
      calls[name] = call
      beside[name] = {
        **columns(variant, model, cell['length']), 'size': cell['size'], 'length': cell['length'], 'batch': batch,
        'flops': batch * sizing.sequence_flops(model, cell['length']),
      }  # fmt: skip
    measured = timing.interleave(calls, repeats=30, seconds=cell['seconds'])
    for name, samples in measured.items():
      yield timing.timing_row(samples, metric='batch_seconds', **beside[name])
    peak = peaks.known_peak(jax.devices()[0].device_kind) or peaks.measured_peak(jax.devices()[0], cell['dtype'])
    yield {
      'metric': 'peak_flops', 'value': peak.flops, 'unit': 'FLOP/s', 'source': peak.source, 'size': cell['size'],
      'dtype': cell['dtype'],
    }  # fmt: skip
