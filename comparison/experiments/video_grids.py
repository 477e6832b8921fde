"""Predicting frames by attention to all patches so far, to some of them, and by recurrence; and the memory of each."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from comparison.experiments import program
from comparison.experiments.base import Cell, Row, Scale
from comparison.experiments.grid import Grid
from comparison.experiments.training_grids import common
from comparison.experiments.variants import Variant, columns
from tasks.video import Video
from training.optimizer import make_optimizer
from training.settings import TrainSettings
from training.step import init_train_state, make_step

BACKEND = 'xla'  # of what the memory is counted of: the compiler does not see into native kernels
STORED = 'stored_training_bytes'  # of joint attention that stores its scores


class VideoForms(Grid):
  """Test error of the next frame, and bytes of a training step on one video of as many frames and of `many_frames`.

  Forms: `joint`: attention to all patches of all frames so far. `factorised`: within a frame, and over time (Child et
  al. 2019). `hierarchical`: attention within a frame's length in the lower layer, to everything in the upper one.
  `recurrent_patches`: an LSTM over patches below, attention above. `frames`: an LSTM that reads whole frames.
  """

  name = 'video_forms'
  at_laptop = False
  takes_architectures = False
  loss_unit = ''

  def variants(self, scale: Scale) -> Sequence[Cell]:
    each = self._tokens_of_frame(scale)
    window = {'pattern': ('sliding_window', 'attention'), 'mixer': {'window': each}}
    forms: list[Cell] = [
      {'form': 'joint', 'architecture': 'transformer'},
      {'form': 'factorised', 'architecture': 'sparse', 'fields': {'mixer': {'stride': each}}},
      {'form': 'hierarchical', 'architecture': 'sliding_window', 'fields': window},
      {'form': 'recurrent_patches', 'architecture': 'lstm_residual', 'fields': {'pattern': ('lstm', 'attention')}},
      {'form': 'frames', 'architecture': 'lstm', 'reading': 'vector'},
    ]
    return forms[:2] if scale == 'smoke' else forms

  def points(self, scale: Scale) -> Sequence[Cell]:
    del scale
    return [{}]

  def common(self, scale: Scale) -> Cell:
    return common(
      scale,
      {
        'dataset': 'moving_segments', 'reading': 'patches', 'pixels': 16, 'patch': 8, 'frames': 6, 'history': 3,
        'many_frames': 12, 'depth': 2, 'size': 1.95e4, 'batch': 4, 'steps': 4, 'rates': [3e-3], 'seeds': [0],
        'scored': 20,
      },
      {},
      {
        'dataset': 'moving_mnist', 'patch': 4, 'frames': 12, 'history': 6, 'many_frames': 256, 'size': 1e5,
        'length': 176, 'batch': 16, 'steps': 800, 'rates': [3e-4, 1e-3, 3e-3, 1e-2],
        'seeds': [0, 1, 2, 3, 4], 'tuning_seeds': [0], 'scored': 500,
      },
      {'pixels': 64, 'patch': 8, 'frames': 20, 'history': 10, 'size': 1e7, 'length': 1216, 'steps': 20_000},
    )  # fmt: skip

  def _tokens_of_frame(self, scale: Scale) -> int:
    cell = self.common(scale)
    return (cell['pixels'] // cell['patch']) ** 2

  def task(self, cell: Cell) -> Video:
    return Video(
      collection=cell['dataset'], frames=cell['frames'], size=cell['pixels'], reading=cell['reading'],
      patch=cell['patch'], history=cell['history'], evaluation_examples=cell['scored'],
    )  # fmt: skip

  def run(self, cell: Cell) -> Iterable[Row]:
    yield from super().run(cell)
    if cell['form'] == 'joint':
      yield from (
        {'metric': 'baseline', 'scored': 'mse', 'unit': self.unit('mse'), 'value': values['mse'], 'baseline': name}
        for name, values in self.task(cell).baselines().items()
      )
      yield {**self.memory({**cell, 'frames': cell['many_frames']}, 'reference'), 'metric': STORED}
    for frames in (cell['frames'], cell['many_frames']):
      yield self.memory({**cell, 'frames': frames}, BACKEND)

  def memory(self, cell: Cell, backend: str) -> Row:
    """Return a row of the temporaries of a training step, gradients among them, on one video."""
    task = self.task(cell)
    variant = Variant(cell['architecture'], backend, cell['block'], fields=cell.get('fields', {}))
    model = variant.build(task.spec, params=cell['size'], depth=cell['depth'])
    optimizer = make_optimizer(TrainSettings(schedule='constant'), model.axes)
    state = jax.eval_shape(lambda: init_train_state(model, optimizer, 0))
    batch = jax.eval_shape(lambda: task.arrays('train', np.arange(1)))
    found: Any = program.compile_program(make_step(model, task, optimizer), state, batch, donate=(0,))
    flat = {name: value for name, value in cell.items() if isinstance(value, str | int | float)}
    beside = {**flat, **columns(variant, model, task.spec.length), 'length': task.spec.length}
    return {'metric': 'training_bytes', 'value': found.temporary_bytes, 'unit': 'B', **beside}
