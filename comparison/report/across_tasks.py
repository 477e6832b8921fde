"""Models of task_quality across tasks (Agarwal et al., 2021): aggregate scores, pairs, the search behind each model."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from comparison import aggregates, statistics
from comparison.claims import base
from comparison.claims.tables import Table
from comparison.records import Row
from comparison.report import searched
from comparison.report.task_quality import NAME, is_higher
from comparison.statistics import Interval

REFERENCES = (
  'transformer',
  'lstm',
  'encoder',
  'bilstm',
  'encoder_decoder',
  'seq2seq_lstm',
)  # of pairs, the first first
SCALE = (
  'A score is normalised by its task: 0 is the weakest baseline without a model, 1 the best single trial of any model '
  'and learning rate'
)


class Task(NamedTuple):
  """A task, the metric of its test split that stands for it, and the numbers that are 0 and 1."""

  name: str
  metric: str
  baseline: str
  zero: float
  one: float

  def normalised(self, value: float) -> float:
    return (value - self.zero) / (self.one - self.zero)


class Model(NamedTuple):
  """A model: task → learning rate → the rows of its seeds, and task → the normalised scores at the best rate."""

  name: str
  rates: Mapping[str, Mapping[float, list[Row]]]
  scores: Mapping[str, list[float]]


def tables(records: Sequence[Row]) -> list[Table]:
  """Return the tables that have rows."""
  rows = [row for row in records if row.get('experiment') == NAME and 'value' in row]
  tasks, left_out = scales(rows)
  found = models(rows, tasks)
  made = [aggregate(found, tasks, left_out), pairs(found), best_of_k(found, tasks), budgets(rows)]
  return [table for table in made if table.rows]


def scales(rows: Sequence[Row]) -> tuple[dict[str, Task], list[str]]:
  """Return the tasks that can be normalised, and the names of the others.

  A task is represented by a metric of its test split that has a baseline, preferably one of which more is better.
  """
  found, left_out = {}, []
  for name in base.levels(rows, 'task'):
    here = [row for row in rows if row.get('task') == name and row.get('value') is not None]
    tried = {metric for metric in base.levels(here, 'metric') if metric.startswith('test ')}
    known = {row['scored'] for row in here if row['metric'] == 'baseline' and row.get('scored') in tried}
    if not known:
      left_out.append(name)
      continue
    metric = min(known, key=lambda metric: (not is_higher(metric), metric != 'test accuracy', metric))
    best, worst = (max, min) if is_higher(metric) else (min, max)
    weakest = worst(base.where(here, NAME, 'baseline', scored=metric), key=lambda row: row['value'])
    one = best(row['value'] for row in here if row['metric'] == metric)
    if best(one, weakest['value']) == weakest['value']:
      left_out.append(name)
      continue
    found[name] = Task(name, metric, str(weakest.get('baseline')), weakest['value'], one)
  return found, left_out


def models(rows: Sequence[Row], tasks: Mapping[str, Task]) -> list[Model]:
  """Return the models by name, each with the tasks in which a learning rate has a score for every seed."""
  trials: dict[str, dict[str, dict[float, list[Row]]]] = {}
  for row in rows:
    task = tasks.get(row.get('task', ''))
    if task and row['metric'] == task.metric and row.get('architecture') and row.get('learning_rate'):
      name = ', '.join(filter(None, (row['architecture'], row.get('block', ''))))
      trials.setdefault(name, {}).setdefault(task.name, {}).setdefault(row['learning_rate'], []).append(row)
  found = []
  for name, of_task in sorted(trials.items()):
    scores = {}
    for task_name, of_rate in of_task.items():
      kept = [row for group in of_rate.values() for row in group if row.get('selection') is not None]
      best = base.tuned(kept)
      if best and all(row['value'] is not None for row in best):
        scores[task_name] = [tasks[task_name].normalised(row['value']) for row in best]
    if scores:
      found.append(Model(name, of_task, scores))
  return found


def aggregate(found: Sequence[Model], tasks: Mapping[str, Task], left_out: Sequence[str]) -> Table:
  """Return the interquartile mean of every model."""
  rows = []
  for model in sorted(found, key=lambda model: sorted(model.scores)):
    seeds = sorted({len(values) for values in model.scores.values()})
    mean = aggregates.interquartile_mean(model.scores)
    rows.append((', '.join(sorted(model.scores)), model.name, base.show(mean), ' … '.join(map(str, seeds))))
  used = '; '.join(
    f'{task.name}: {task.metric}, {base.figure(task.zero)} ({task.baseline}) to {base.figure(task.one)}'
    for task in tasks.values()
  )
  note = (
    f'{SCALE} ({used}). Interquartile mean over tasks and seeds at the learning rates that are best on validation, '
    'with a 95 % interval of a bootstrap of the seeds within each task (in simulations it holds 90 to 96 %); one seed '
    'has no interval. Compare models of equal tasks only.'
  )
  if left_out:
    note += f' Left out, without a baseline or a trial that is better: {", ".join(left_out)}.'
  return Table('Interquartile mean across tasks', note, ('tasks', 'model', 'score', 'seeds'), tuple(rows))


def pairs(found: Sequence[Model]) -> Table:
  """Return how probably a model improves on another, for pairs with a reference, over the tasks that both have."""
  rows = []
  order = sorted(found, key=lambda model: (_rank(model.name), model.name))
  for i, first in enumerate(order):
    for second in order[i + 1 :]:
      common = sorted(first.scores.keys() & second.scores.keys())
      if common and _rank(first.name) < len(REFERENCES):
        scores = [{task: model.scores[task] for task in common} for model in (first, second)]
        share = aggregates.probability_of_improvement(*scores)
        rows.append((first.name, second.name, base.show(share), _decided(share), ', '.join(common)))
  note = (
    'Probability that a run of the first model has a better score than a run of the second, a task and seeds of both '
    'drawn at random (Mann–Whitney; ties count half), with a 95 % interval of a bootstrap of the seeds in each task. '
    'Each interval is of its pair alone: of twenty equal pairs, one is expected to be decided.'
  )
  columns = ('model', 'over', 'probability of improvement', 'better', 'tasks')
  return Table('Probability of improvement', note, columns, tuple(rows))


def best_of_k(found: Sequence[Model], tasks: Mapping[str, Task]) -> Table:
  """Return the expected score of the best of k learning rates, the mean over the tasks."""
  most = max((len(of_rate) for model in found for of_rate in model.rates.values()), default=0)
  rows = []
  for model in found:
    names = sorted(model.scores)
    curves = [_curve(model.rates[name], tasks[name]) for name in names]
    shortest = min(map(len, curves))
    means = [math.fsum(curve[k] for curve in curves) / len(curves) for k in range(shortest)]
    rows.append((', '.join(names), model.name, *map(base.figure, means), *[''] * (most - shortest)))
  note = (
    f'{SCALE}. Expected score of the best of k of the learning rates tried, chosen by validation: the mean over all '
    'subsets (Dodge et al., 2019; Tang et al., 2020), then over tasks. A learning rate at which a trial diverged is 0.'
  )
  columns = ('tasks', 'model', *(f'k = {k}' for k in range(1, most + 1)))
  return Table('Best of k learning rates', note, columns, tuple(rows))


def _curve(of_rate: Mapping[float, Sequence[Row]], task: Task) -> list[float]:
  """Return the expected normalised score of the best of 1, 2 … learning rates."""
  keys, scores = [], []
  for group in of_rate.values():
    chosen = group[0].get('selection')
    keys.append(-math.inf if chosen is None else chosen)
    values = [task.normalised(row['value']) for row in group if row.get('value') is not None]
    scores.append(math.fsum(values) / len(values) if values and chosen is not None else 0.0)
  return [statistics.expected_best(keys, k, higher=True, reported=scores) for k in range(1, len(keys) + 1)]


def budgets(rows: Sequence[Row]) -> Table:
  """Return the search behind every model."""
  note = 'Trials of all tasks. Hours of the device for training, compilation and evaluation.'
  trials = [row for row in rows if row['metric'] == 'diverged']
  return searched.table('Search behind the scores by task', note, 'task', trials)


def _rank(name: str) -> int:
  """Return the place of a model's architecture among the references; their number for another."""
  architecture = name.partition(',')[0]
  return REFERENCES.index(architecture) if architecture in REFERENCES else len(REFERENCES)


def _decided(share: Interval) -> str:
  """Return which model is better, where the interval leaves one half out."""
  return 'first' if share.low > 0.5 else 'second' if share.high < 0.5 else 'open'
