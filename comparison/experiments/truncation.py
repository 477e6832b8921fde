"""Truncated back-propagation: memory against the total length, and what a short segment costs in loss."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from comparison.experiments import gate, program
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.trained import Trainer, score
from comparison.experiments.variants import VOCABULARY, Variant, columns, depth
from tasks.copying import Copying
from tasks.language import Language
from training.optimizer import make_optimizer
from training.settings import TrainSettings
from training.step import init_train_state, make_step

BATCH = 4
RATE = 4e-3  # the learning rate of every segment: they differ in nothing else


class Truncation(Experiment):
  """Bytes: one compiled program that trains on T tokens, in segments or at once. Loss: equal tokens and updates."""

  name = 'truncation'

  def cells(self, scale: Scale) -> list[Cell]:
    grids: dict[str, tuple[Any, ...]] = {
      'smoke': (32, (64, 256), 6e3, (8, 32), 4, 128, [0, 1]),
      'laptop': (128, (256, 1024, 4096), 1e5, (8, 32, 128), 150, 2048, [0, 1, 2]),
      'overnight': (
        128,
        (256, 512, 1024, 2048, 4096, 8192, 16384),
        1e5,
        (8, 32, 128, 512),
        800,
        2048,
        [0, 1, 2, 3, 4],
      ),
    }
    segment, lengths, size, segments, steps, tokens, seeds = grids.get(scale, grids['overnight'])
    memory = [
      {'depth': depth(scale), 'kind': 'bytes', 'segment': segment, 'size': size, 'length': length} for length in lengths
    ]
    loss = [
      {
        'depth': depth(scale),
        'kind': 'loss',
        'segment': s,
        'size': size,
        'steps': steps,
        'tokens': tokens,
        'seeds': seeds,
      }
      for s in segments
    ]
    return memory + loss

  def cost(self, cell: Cell) -> float:
    if cell['kind'] == 'bytes':
      return 6.0
    return 4 + 2e-10 * cell['steps'] * cell['tokens'] * cell['size'] * len(cell['seeds'])

  def run(self, cell: Cell) -> Iterable[Row]:
    admitted, refused = gate.admit([Variant('lstm')])
    yield from refused
    for variant in admitted:
      yield from (memory if cell['kind'] == 'bytes' else penalty)(variant, cell)


def memory(variant: Variant, cell: Cell) -> Iterable[Row]:
  length, segment = cell['length'], cell['segment']
  task = Copying(symbols=VOCABULARY - 2, items=1, lag=length - 2)
  model = variant.build(task.spec, params=cell['size'], depth=cell['depth'])
  optimizer = make_optimizer(TrainSettings(schedule='constant', batch_size=BATCH))
  step = make_step(model, task, optimizer)
  whole = jax.eval_shape(lambda: task.arrays('train', np.arange(BATCH)))
  pieces = jax.tree.map(lambda x: jax.ShapeDtypeStruct((length // segment, BATCH, segment), x.dtype), whole)
  fresh = jax.eval_shape(lambda: init_train_state(model, optimizer, 0))
  carried = fresh._replace(carry=jax.eval_shape(lambda: model.init_state(BATCH, segment)))
  programs = {
    'full': program.compile_program(step, fresh, whole),
    'truncated': program.compile_program(lambda state, batches: jax.lax.scan(step, state, batches), carried, pieces),
  }
  for method, compiled in programs.items():
    yield {
      'metric': 'temporary_bytes',
      'value': compiled.temporary_bytes,
      'unit': 'B',
      **columns(variant, model, length),
      'method': method,
      'segment': segment,
      'size': cell['size'],
      'length': length,
      'batch': BATCH,
    }


def penalty(variant: Variant, cell: Cell) -> Iterable[Row]:
  """Yield losses at the same tokens an update, cut into more streams where the segments are shorter."""
  segment, batch = cell['segment'], cell['tokens'] // cell['segment']
  steps = cell['steps']
  task = Language(length=min(512, cell['tokens']))
  model = variant.build(task.spec, params=cell['size'], depth=cell['depth'])
  trainer = Trainer(
    model,
    task,
    TrainSettings(steps=steps, batch_size=batch, segment=segment, warmup_steps=steps // 10, beta2=0.99),
  )
  for seed in cell['seeds']:
    params = trainer.run(RATE, seed).params
    yield {
      'metric': 'loss',
      'value': score(model, params, task, 'validation', 25)['loss'],
      'unit': 'nats',
      **columns(variant, model, segment),
      'segment': segment,
      'size': cell['size'],
      'batch': batch,
      'seed': seed,
    }
