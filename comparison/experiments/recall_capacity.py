"""How many pairs a model recalls: multi-query associative recall over pairs, with the bytes of state beside."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from comparison.experiments import gate
from comparison.experiments.base import Cell, Experiment, Row, Scale
from comparison.experiments.trained import Trainer, equal_flops, has_second_budget, metric, score, trials, updates
from comparison.experiments.variants import Variant, columns
from tasks.recall import Recall
from training.settings import TrainSettings


class RecallCapacity(Experiment):
  """Parameters matched; the same learning rates, updates and seeds for every architecture.

  A cell trains on up to `pairs` pairs, the number drawn anew for each example, since models of every kind learn many
  pairs sooner beside few; it is tested on each number of `tested`, fillers standing where the other pairs would.
  """

  name = 'recall_capacity'
  takes_architectures = True
  adds = staticmethod(has_second_budget)
  version = 4

  def cells(self, scale: Scale) -> list[Cell]:
    smoke: dict[str, Any] = {
      'pairs': 2,
      'tested': [2],
      'vocabulary': 16,
      'length': 8,
      'size': 6e3,
      'batch': 32,
      'steps': 4,
      'rates': [3e-3],
      'seeds': [0, 1],
    }
    laptop = smoke | {
      'pairs': 8,
      'tested': [1, 2, 4, 8],
      'vocabulary': 32,
      'length': 32,
      'size': 25e3,
      'steps': 500,
      'rates': [4e-3, 1e-2],
      'seeds': [0, 1, 2],
    }
    # So few keys and so many updates that recurrent networks find out what a key is for; with 16 keys and 5,000 updates
    # of 32 sequences they still guess among the values shown.
    overnight = laptop | {
      'vocabulary': 18,
      'batch': 64,
      'steps': 8000,
      'rates': [3e-3, 8e-3],
      'seeds': [0, 1, 2, 3, 4],
    }
    accelerator = overnight | {
      'pairs': 64,
      'tested': [1, 2, 4, 8, 16, 32, 64],
      'vocabulary': 512,
      'length': 256,
      'size': 2e5,
      'steps': 20_000,
      'rates': [1e-3, 3e-3],
    }
    classical = [('transformer', ''), ('lstm', ''), ('gru', ''), ('rnn', '')]
    variants, grid = {
      'smoke': (classical[:2], smoke | {'depth': 1}),
      'laptop': (classical[:3], laptop | {'depth': 2}),
      'overnight': ([*classical, ('lstm', 'residual')], overnight | {'depth': 2}),
      'accelerator': ([*classical, ('lstm', 'residual')], accelerator | {'depth': 2}),
    }[scale]
    cells = [{'architecture': a, 'block': b, **grid} for a, b in variants]
    if scale in ('smoke', 'laptop'):
      return cells
    return cells + [{'block': '', **grid, **budget} for budget in equal_flops('transformer')]

  def cost(self, cell: Cell) -> float:
    return 4 + 6e-6 * cell['length'] * cell['batch'] * cell['steps'] * len(cell['rates']) * len(cell['seeds'])

  def run(self, cell: Cell) -> Iterable[Row]:
    admitted, refused = gate.admit([Variant(cell['architecture'], '', cell['block'])])
    yield from refused
    task = make_task(cell)
    for variant in admitted:
      model = variant.build(task.spec, params=cell['size'], depth=cell['depth'])
      steps = updates(model, cell)
      trainer = Trainer(model, task, settings(steps, cell['batch']))
      rate, runs, mean = trials(
        trainer, cell['rates'], cell['seeds'], lambda p, m=model: score(m, p, task, 'validation')['accuracy']
      )
      for pairs in cell['tested']:
        fewer = with_pairs(task, pairs)
        for seed, run in runs:
          yield {
            'metric': metric('accuracy', cell),
            'value': score(model, run.params, fewer, 'test')['accuracy'],
            'unit': 'share',
            **columns(variant, model, cell['length']),
            'size': cell['size'],
            'pairs': pairs,
            'length': cell['length'],
            'batch': cell['batch'],
            'learning_rate': rate,
            'selection': mean,
            'updates': steps,
            'seed': seed,
          }


def make_task(cell: Cell) -> Recall:
  return Recall(
    train_examples=0,
    evaluation_examples=500,
    vocabulary=cell['vocabulary'],
    pairs=cell['pairs'],
    fewest_pairs=1,
    length=cell['length'],
    distance='uniform',
  )


def with_pairs(task: Recall, pairs: int) -> Recall:
  """The task with that number of pairs in every example."""
  return dataclasses.replace(task, fewest_pairs=pairs, most_pairs=pairs)


def settings(steps: int, batch: int) -> TrainSettings:
  return TrainSettings(steps=steps, batch_size=batch, schedule='cosine', warmup_steps=steps // 10, clip=1.0)
