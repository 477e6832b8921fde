"""Bytes that training needs, by the compiler and without running anything: with and without what saves memory."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from comparison.experiments import program
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.memory import tree_bytes
from comparison.experiments.variants import VOCABULARY, Variant, columns
from tasks.copying import Copying
from training.optimizer import make_optimizer
from training.settings import TrainSettings
from training.step import init_train_state, make_step

# Name of a form → architecture, kernels, remat, and the segment of truncated back-propagation (0: none).
FORMS: dict[str, tuple[str, str, str, int]] = {
  'reference': ('transformer', 'reference', 'none', 0),
  'reference, remat': ('transformer', 'reference', 'block', 0),
  'xla': ('transformer', 'xla', 'none', 0),
  'xla, remat': ('transformer', 'xla', 'block', 0),
  'full': ('lstm', 'xla', 'none', 0),
  'full, remat': ('lstm', 'xla', 'block', 0),
  'truncated': ('lstm', 'xla', 'none', 512),
}
# Whatever the size, scores that are stored have left all consumer cards behind where SHORT ends.
SHORT, LONG = (1024, 2048, 4096, 8192, 16384), (32_768, 65_536, 131_072)
LONG_FORMS = [name for name in FORMS if not name.startswith('reference')]


class TrainingBytes(Experiment):
  """Parameters, Adam's moments, gradients and temporaries of one step on one sequence, in float32.

  The compiler is that of this device: others lay out their temporaries otherwise. There is no bfloat16: XLA for CPU
  widens it, so that its bytes say nothing of a device that has it (jax 0.10: 100M parameters on 4,096 tokens, reference
  59.0 GB against 55.6 in float32; LSTM 3.69 in both).
  """

  name = 'training_bytes'
  version = 2

  def cells(self, scale: Scale) -> list[Cell]:
    of_each: list[tuple[tuple[int, ...], list[str]]] = [(SHORT, list(FORMS)), (LONG, LONG_FORMS)]
    large = 7e9, 32, (2048,), ['xla', 'xla, remat']
    grids: dict[str, list[tuple[float, int, tuple[int, ...], list[str]]]] = {
      'smoke': [(6e3, 1, (64,), ['reference', 'truncated'])],
      'laptop': [(1e8, 12, (4096,), ['reference', 'xla', 'truncated'])],
      'overnight': [
        *((size, layers, *grid) for size, layers in ((1e7, 6), (1e8, 12), (1e9, 24)) for grid in of_each),
        large,
      ],
      'accelerator': [*((1e8, 12, *grid) for grid in of_each), large],
    }
    return [
      {'size': size, 'depth': layers, 'length': length, 'form': name}
      for size, layers, lengths, names in grids[scale]
      for length in lengths
      for name in names
    ]

  def cost(self, cell: Cell) -> float:
    return 10.0

  def run(self, cell: Cell) -> Iterable[Row]:
    architecture, kernels, remat, segment = FORMS[cell['form']]
    variant = Variant(architecture, kernels, fields={'remat': remat, 'layers': 'scan'})
    length = min(cell['length'], segment or cell['length'])
    task = Copying(symbols=VOCABULARY - 2, items=1, lag=length - 2)
    model = variant.build(task.spec, params=cell['size'], depth=cell['depth'])
    optimizer = make_optimizer(TrainSettings(schedule='constant'), model.axes)
    state = jax.eval_shape(lambda: init_train_state(model, optimizer, 0))
    batch = jax.eval_shape(lambda: task.arrays('train', np.arange(1)))
    temporary = program.compile_program(make_step(model, task, optimizer), state, batch, donate=(0,)).temporary_bytes
    parts: dict[str, Any] = {
      'parameter_bytes': tree_bytes(state.params),
      'moment_bytes': tree_bytes(state.opt_state),
      'temporary_bytes': temporary,  # gradients among them
    }
    beside = {**columns(variant, model, length), **cell, 'batch': 1}
    for metric, value in parts.items():
      yield {'metric': metric, 'value': value, 'unit': 'B', **beside}
    yield {'metric': 'training_bytes', 'value': sum(parts.values()), 'unit': 'B', **beside}
