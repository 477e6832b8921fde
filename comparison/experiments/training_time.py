"""Time, memory and dependent steps of one training step, over the length at a constant number of tokens."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import compress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from comparison.experiments import gate, program, timing
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.variants import (
  DEVICE_LADDER,
  DEVICE_OTHERS,
  ENDS,
  FULL_LADDER,
  LADDER,
  LONG_LADDER,
  NEWTON_RUNGS,
  OTHER_RUNGS,
  REFERENCES,
  VOCABULARY,
  Variant,
  columns,
  depth,
  random_params,
)
from seqmodels.models import Model
from tasks.copying import Copying
from training.optimizer import make_optimizer
from training.settings import TrainSettings
from training.step import init_train_state, make_step

LADDERS: dict[str, Sequence[Variant]] = {
  'ends': ENDS,
  'laptop': LADDER,
  'full': FULL_LADDER,
  'long': LONG_LADDER,
  'others': (*REFERENCES, *OTHER_RUNGS),
  'newton': (*REFERENCES, *NEWTON_RUNGS),
  'device': DEVICE_LADDER,
  'device_others': DEVICE_OTHERS,
}
ADDED = ('others', 'newton', 'device_others')  # ladders beside those that hold the rungs of a verdict
MATERIALISED_TO = 1024  # tokens to which a batch's scores are worth trying to keep on a device
STEPWISE_TO = 512  # tokens to which the slow rung `scan` is worth its time on a device


def ladder(cell: Cell) -> Sequence[Variant]:
  """Return the variants to measure: a ladder of backends, or the architectures that were named."""
  if 'architectures' in cell:
    return [Variant(name) for name in cell['architectures']]
  rungs = LADDERS[cell['ladder']]
  short = cell['ladder'] != 'device' or cell['length'] <= STEPWISE_TO
  return [rung for rung in rungs if short or rung != Variant('lstm', 'reference')]


def adds_rungs(cell: Cell) -> bool:
  """Return whether a cell measures further rungs beside those of the other cells."""
  return cell['ladder'] in ADDED


def is_reference(variant: Variant, cell: Cell) -> bool:
  """Return whether another cell has this rung's own rows: here it is measured for its pairs with the others alone."""
  return adds_rungs(cell) and variant in REFERENCES


class TrainingTime(Experiment):
  """A whole step (forward, backward, AdamW) of every rung of the ladder, interleaved; batch × length is constant.

  The task is copying: any task with as many tokens would take as long.
  """

  name = 'training_time'
  version = 5
  takes_architectures = True
  adds = staticmethod(adds_rungs)

  def cells(self, scale: Scale) -> list[Cell]:
    grids: dict[str, list[tuple[float, int, tuple[int, ...], str, str, float]]] = {
      'smoke': [(6e3, 256, (64, 128), 'ends', 'float32', 0.5)],
      'laptop': [(2e5, 2048, (32, 256, 1024), 'laptop', 'float32', 4.0)],
      'overnight': [
        (1e6, 8192, (32, 64, 128, 256, 512, 1024, 2048), 'full', 'float32', 20.0),
        (1e7, 2048, (128, 1024), 'full', 'float32', 30.0),
        (1e6, 16384, (4096, 16384), 'long', 'float32', 120.0),
        (1e7, 16384, (16384,), 'long', 'float32', 240.0),
        (1e6, 8192, (64, 1024, 2048), 'others', 'float32', 20.0),
        (1e7, 2048, (1024,), 'others', 'float32', 30.0),
        (1e6, 8192, (64, 1024), 'newton', 'float32', 20.0),
      ],
      'accelerator': [  # what tells most comes first, where time on a device is short
        (size, 65536, lengths, ladder, 'bfloat16', 4.0)
        for lengths, ladder in (
          ((512, 1024), 'device'),
          ((256, 2048), 'device'),
          ((4096, 8192), 'device'),
          ((64,), 'device'),
          ((1024, 8192), 'device_others'),
          ((1024, 8192), 'newton'),
        )
        for size in (1e7, 5e7)
      ],
    }
    return [
      {
        'depth': depth(scale),
        'size': size,
        'tokens': tokens,
        'length': length,
        'ladder': ladder,
        'dtype': dtype,
        'seconds': seconds,
      }
      for size, tokens, lengths, ladder, dtype, seconds in grids[scale]
      for length in lengths
    ]

  def cost(self, cell: Cell) -> float:
    return 4 * len(ladder(cell)) + cell['seconds']

  def run(self, cell: Cell) -> Iterable[Row]:
    return self.prepare(cell)()

  def prepare(self, cell: Cell) -> Callable[[], Iterable[Row]]:
    variants, refused = gate.admit(ladder(cell), cell['dtype'])
    if cell['ladder'] == 'device':
      variants = [s for s in variants if cell['length'] <= MATERIALISED_TO or s != Variant('transformer', 'reference')]
    task = Copying(symbols=VOCABULARY - 2, items=1, lag=cell['length'] - 2)
    point = {'size': cell['size'], 'length': cell['length'], 'batch': cell['tokens'] // cell['length']}
    models = [s.build(task.spec, params=cell['size'], depth=cell['depth'], dtype=cell['dtype']) for s in variants]
    compilations = [partial(training_step, model, task, point['batch']) for model in models]
    made = program.together([partial(program.attempt, compilation) for compilation in compilations])
    return partial(self._measure, cell, refused, variants, models, made, point)

  def _measure(
    self, cell: Cell, refused: list[Row], variants: list[Variant], models: list[Model], made: list[Any], point: Row
  ) -> Iterable[Row]:
    yield from refused
    runs, missing = gate.running(variants, made)
    yield from missing
    steps, beside = {}, {}
    variants = list(compress(variants, runs))
    for variant, model, (compiled, call) in zip(variants, compress(models, runs), compress(made, runs), strict=True):
      beside[variant.name] = {**columns(variant, model, cell['length']), **point}
      steps[variant.name] = call
      if is_reference(variant, cell):
        continue
      if not compiled.seen_by_the_compiler:
        continue
      more: dict[str, tuple[float, str]] = {'temporary_bytes': (compiled.temporary_bytes, 'B')}
      if variant not in NEWTON_RUNGS:  # whose iterations depend on the data
        more['sequential_steps'] = (max(1, program.dependent_steps(compiled.text)), 'steps')
      for metric, (value, unit) in more.items():
        yield {'metric': metric, 'value': value, 'unit': unit, **beside[variant.name]}
    measured = timing.interleave(steps, repeats=30, seconds=cell['seconds'])
    for variant in variants:
      metric = 'reference_seconds' if is_reference(variant, cell) else 'step_seconds'
      yield timing.timing_row(measured[variant.name], metric=metric, **beside[variant.name])


def training_step(model: Model, task: Copying, batch_size: int):
  """Return the compiled step, and a call that takes one step on from where the last call ended."""
  settings = TrainSettings(schedule='constant', batch_size=batch_size, weight_decay=0.1)
  optimizer = make_optimizer(settings, model.axes)
  empty = jax.eval_shape(lambda: init_train_state(model, optimizer, 0))
  state = jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), empty)
  opt_state = optimizer.with_learning_rate(state.opt_state, settings.learning_rate)
  state = state._replace(params=random_params(model), opt_state=opt_state)
  batch = jax.device_put(task.arrays('train', np.arange(batch_size)))
  compiled = program.compile_program(make_step(model, task, optimizer), state, batch)

  def call():
    nonlocal state
    state, metrics = compiled.call(state, batch)
    return metrics

  return compiled, call
