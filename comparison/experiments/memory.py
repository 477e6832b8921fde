"""Bytes that the compiler and the types know without running anything: states, attention scores, optimiser."""

from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from comparison.experiments import program
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.variants import VOCABULARY, Variant, columns, depth, token_spec
from seqmodels import models
from seqmodels.kernels import attention
from seqmodels.mixers.attention import Attention
from seqmodels.models import sizing
from tasks.copying import Copying
from training.optimizer import make_optimizer
from training.settings import TrainSettings
from training.step import init_train_state, make_step

WINDOW = 256
STATES = (
  Variant('lstm'),
  Variant('gru'),
  Variant('rnn'),
  Variant('transformer'),
)


class StateBytes(Experiment):
  """Measure the bytes of each state by its shapes; for attention also with grouped keys and a window."""

  name = 'state_bytes'
  version = 2

  def cells(self, scale: Scale) -> list[Cell]:
    sizes = {'smoke': (2e5,), 'laptop': (2e5, 1e6), 'overnight': (2e5, 1e6, 1e7), 'accelerator': (1e7, 5e7)}[scale]
    return [
      {'depth': depth(scale), 'size': size, 'lengths': [1, 10, 100, 1000, 10_000], 'batches': [1, 32]} for size in sizes
    ]

  def run(self, cell: Cell) -> Iterable[Row]:
    for variant in STATES:
      model = variant.build(token_spec(1000), params=cell['size'], depth=cell['depth'])
      yield from self._rows(cell, variant, model, '')
      if variant.architecture == 'transformer':
        yield from self._rows(cell, variant, model, 'multi-head')
        heads = attention_mixer(model).heads
        grouped = variant.build(
          token_spec(1000), params=cell['size'], depth=cell['depth'], heads=2 * heads, kv_heads=heads // 2 or 1
        )
        yield from self._rows(cell, variant, grouped, 'grouped-query')
        window = Variant('sliding_window').build(
          token_spec(1000), width=model.config.width, depth=cell['depth'], heads=heads, mixer={'window': WINDOW}
        )
        yield from self._rows(cell, variant, window, 'window')

  def _rows(self, cell: Cell, variant: Variant, model: models.Model, form: str) -> Iterable[Row]:
    if variant.architecture == 'transformer' and not form:
      return
    for batch in cell['batches']:
      for length in cell['lengths']:
        row = {
          **columns(variant, model, length),
          'metric': 'state_bytes',
          'value': sizing.state_bytes(model, batch, length),
          'unit': 'B',
          'backend': form,
          'size': cell['size'],
          'length': length,
          'batch': batch,
        }
        if form:
          row['formula'] = cache_formula(model, min(length, WINDOW) if form == 'window' else length, batch)
        yield row


def attention_mixer(model: models.Model) -> Attention:
  mixer = model.network().stack.layer(0).mixer
  assert isinstance(mixer, Attention)
  return mixer


def cache_formula(model: models.Model, length: int, batch: int) -> int:
  """2·L·n·d_kv·B numbers, in bytes: a key and a value for each layer, token and sequence."""
  mixer = attention_mixer(model)
  width = mixer.kv_heads * mixer.head_dim
  return 2 * model.config.depth * length * width * batch * jnp.dtype(model.config.dtype).itemsize


class AttentionScores(Experiment):
  """Temporary bytes of one attention layer by the compiler, without running it; key width 64, one sequence."""

  name = 'attention_scores'

  def cells(self, scale: Scale) -> list[Cell]:
    lengths = {'smoke': (256,), 'laptop': (512, 2048), 'overnight': (512, 1024, 2048, 4096, 8192)}
    heads = 4 if scale == 'smoke' else 32
    return [{'length': length, 'heads': heads} for length in lengths.get(scale, lengths['overnight'])]

  def cost(self, cell: Cell) -> float:
    return 8.0

  def run(self, cell: Cell) -> Iterable[Row]:
    heads, length = cell['heads'], cell['length']
    array = jax.ShapeDtypeStruct((1, length, heads, 64), jnp.float32)
    for backend in ('reference', 'xla'):
      layer = partial(attention.attention, kernels=backend)
      gradient = jax.grad(lambda q, k, v, layer=layer: jnp.sum(layer(q, k, v)), argnums=(0, 1, 2))
      for name, function in (('forward', layer), ('training', gradient)):
        yield {
          'metric': 'temporary_bytes',
          'value': program.compile_program(function, array, array, array).temporary_bytes,
          'unit': 'B',
          'architecture': 'transformer',
          'backend': backend,
          'pass': name,
          'length': length,
          'heads': heads,
          'batch': 1,
          'formula': 4 * heads * length**2,
        }


class OptimizerBytes(Experiment):
  """Where the bytes of a training step are: parameters, Adam's moments, gradients, activations, other temporaries."""

  name = 'optimizer_bytes'
  version = 2

  def cells(self, scale: Scale) -> list[Cell]:
    grids = {
      'smoke': (6e3, 64, 4),
      'laptop': (1e6, 256, 16),
      'overnight': (1e7, 512, 16),
      'accelerator': (5e7, 1024, 32),
    }
    size, length, batch = grids[scale]
    return [{'depth': depth(scale), 'size': size, 'length': length, 'batch': batch}]

  def cost(self, cell: Cell) -> float:
    return 8.0

  def run(self, cell: Cell) -> Iterable[Row]:
    task = Copying(symbols=VOCABULARY - 2, items=1, lag=cell['length'] - 2)
    batch = jax.eval_shape(lambda: task.arrays('train', np.arange(cell['batch'])))
    for variant in (Variant('lstm', 'xla'), Variant('transformer', 'xla')):
      model = variant.build(task.spec, params=cell['size'], depth=cell['depth'])
      optimizer = make_optimizer(TrainSettings(schedule='constant', batch_size=cell['batch']))
      state = jax.eval_shape(lambda m=model, o=optimizer: init_train_state(m, o, 0))
      temporary = program.compile_program(make_step(model, task, optimizer), state, batch).temporary_bytes
      parameters = tree_bytes(state.params)
      beside = {**columns(variant, model, cell['length']), **cell}
      parts = {
        'parameters': parameters,
        "Adam's moments": tree_bytes(state.opt_state),
        'gradients': parameters,
        'activations and other temporaries': max(0, temporary - parameters),
      }
      for part, value in parts.items():
        yield {'metric': 'bytes', 'part': part, 'value': value, 'unit': 'B', **beside}
      for metric, part in (
        ('moment_copies', "Adam's moments"),
        ('activation_copies', 'activations and other temporaries'),
      ):
        yield {'metric': metric, 'value': parts[part] / parameters, 'unit': '× parameters', **beside}


def tree_bytes(tree: object) -> int:
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
