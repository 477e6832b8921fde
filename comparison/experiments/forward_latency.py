"""Latency, memory and FLOPs of the forward pass of one sequence, over its length."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import compress
from typing import Any

import jax
import numpy as np

from comparison.experiments import gate, program, timing
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.training_time import adds_rungs, is_reference, ladder
from comparison.experiments.variants import VOCABULARY, Variant, columns, depth, random_params, token_spec
from seqmodels.models import Model, sizing


class ForwardLatency(Experiment):
  """One sequence (batch 1) through every rung of the ladder, interleaved at each length."""

  name = 'forward_latency'
  version = 5
  takes_architectures = True
  adds = staticmethod(adds_rungs)

  def cells(self, scale: Scale) -> list[Cell]:
    short, middle, long = (8, 96), (128, 512, 1000), (2048, 4096, 8192)
    grids: dict[str, list[tuple[float, tuple[int, ...], str, str, float, int]]] = {
      'smoke': [(6e3, (8, 128), 'ends', 'float32', 0.5, 8192)],
      'laptop': [(2e5, (*short, *middle, *long), 'laptop', 'float32', 2.0, 4096)],
      'overnight': [
        (2e5, (8, 32, 96, 128, 256, 512, 1000, 1500, 2048, 4096, 8192, 16384), 'full', 'float32', 6.0, 8192),
        (4e6, (*short, *middle, 2048, 8192), 'full', 'float32', 6.0, 8192),
        (2e5, (96, 512, 1000, 4096, 16384), 'others', 'float32', 6.0, 4096),
        (4e6, (96, 1000, 8192), 'others', 'float32', 6.0, 4096),
        (2e5, (96, 1000, 4096), 'newton', 'float32', 6.0, 4096),
        (4e6, (1000,), 'newton', 'float32', 6.0, 4096),
      ],
      'accelerator': [  # what tells most comes first, where time on a device is short
        (size, lengths, ladder, 'bfloat16', 2.0, 8192)
        for lengths, ladder in (
          ((512, 1024), 'device'),
          ((256, 2048, 64), 'device'),
          ((4096, 8192), 'device'),
          ((1024, 8192), 'device_others'),
          ((16, 16384), 'device'),
          ((1024, 8192), 'newton'),
        )
        for size in (1e7, 5e7)
      ],
    }
    return [
      {
        'depth': depth(scale),
        'size': size,
        'length': length,
        'ladder': ladder,
        'dtype': dtype,
        'seconds': seconds,
        'materialised_to': limit,
      }
      for size, lengths, ladder, dtype, seconds, limit in grids[scale]
      for length in lengths
    ]

  def cost(self, cell: Cell) -> float:
    return 2 * len(ladder(cell)) + cell['seconds']

  def run(self, cell: Cell) -> Iterable[Row]:
    return self.prepare(cell)()

  def prepare(self, cell: Cell) -> Callable[[], Iterable[Row]]:
    length = cell['length']
    variants, refused = gate.admit(ladder(cell), cell['dtype'])
    # Beyond the limit the scores alone would not fit the memory of a small machine.
    variants = [s for s in variants if length <= cell['materialised_to'] or not materialises(s)]
    spec, fields = token_spec(length), {'params': cell['size'], 'depth': cell['depth'], 'dtype': cell['dtype']}
    models = [variant.build(spec, **fields) for variant in variants]
    made = program.together([partial(program.attempt, partial(forward, model, length)) for model in models])
    return partial(self._measure, cell, refused, variants, models, made)

  def _measure(
    self, cell: Cell, refused: list[Row], variants: list[Variant], models: list[Model], made: list[Any]
  ) -> Iterable[Row]:
    length = cell['length']
    yield from refused
    runs, missing = gate.running(variants, made)
    yield from missing
    calls, beside = {}, {}
    variants = list(compress(variants, runs))
    for variant, model, (compiled, call) in zip(variants, compress(models, runs), compress(made, runs), strict=True):
      beside[variant.name] = {
        **columns(variant, model, length),
        'size': cell['size'],
        'length': length,
        'batch': 1,
      }
      calls[variant.name] = call
      if is_reference(variant, cell):
        continue
      flops = sizing.sequence_flops(model, length)
      if compiled.seen_by_the_compiler:
        yield {'metric': 'temporary_bytes', 'value': compiled.temporary_bytes, 'unit': 'B', **beside[variant.name]}
      yield {'metric': 'flops', 'value': flops, 'unit': 'FLOP', **beside[variant.name]}
    measured = timing.interleave(calls, repeats=60, seconds=cell['seconds'])
    for variant in variants:
      metric = 'reference_seconds' if is_reference(variant, cell) else 'forward_seconds'
      yield timing.timing_row(measured[variant.name], metric=metric, **beside[variant.name])


def materialises(variant: Variant) -> bool:
  """Return whether all scores exist at once."""
  return variant == Variant('transformer', 'reference')


def forward(model: Model, length: int, batch: int = 1):
  """Return the compiled forward pass, and a call of it on fixed tokens that waits for the result (latency)."""
  params = random_params(model)
  tokens = jax.device_put(np.random.default_rng(0).integers(0, VOCABULARY, (batch, length), dtype=np.int32))
  compiled = program.compile_program(lambda p, x: model.apply(p, x)[0], params, tokens)
  return compiled, lambda: jax.block_until_ready(compiled.call(params, tokens))
