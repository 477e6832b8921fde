"""How much training the models of task_quality take to a target: a performance profile (Dolan & Moré, 2002)."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from comparison.claims import base
from comparison.claims.tables import Table
from comparison.records import Row
from comparison.report.task_quality import NAME

SHARE = 0.9  # of the way from the highest loss at the beginning to the lowest at the end, of any model
WITHIN = (1.0, 2.0, 4.0)  # times as much as the least
TITLE = 'Training to a target'
NOTE = (
  f'The target of a task is a training loss: {100 * SHARE:g} % of the way from the highest at the beginning to the '
  'lowest at the end, of any model. A model is taken at the learning rate that is best on validation; its loss is the '
  'mean over the seeds in equal parts of the updates, straight lines between their middles. Shares of the tasks in '
  'which it reaches the target, and in which it takes at most so many times the least that a model takes: of training '
  'FLOPs (no time is read: a profile in seconds would be one of the device), and of updates. Compare models of equal '
  'tasks only.'
)


class Course(NamedTuple):
  """The loss of a model over the updates, at the middles of their parts, and its FLOPs a token."""

  updates: np.ndarray
  losses: np.ndarray
  flops: float

  def reaches(self, target: float) -> float:
    """Return the updates until the loss is first at the target; infinite if it never is."""
    there = np.flatnonzero(self.losses <= target)
    if not len(there):
      return math.inf
    i = int(there[0])
    if not i:
      return float(self.updates[0])
    (a, b), (x, y) = self.losses[i - 1 : i + 1], self.updates[i - 1 : i + 1]
    return float(x + (a - target) / (a - b) * (y - x))


def table(records: Sequence[Row]) -> Table:
  """Return a row for each model; empty without the courses of two models of a task."""
  needed: dict[str, dict[str, tuple[float, float]]] = {}  # model → task → FLOPs and updates, over the least
  for task, of_model in courses(records).items():
    if len(of_model) > 1:
      for name, ratios in over_the_least(of_model).items():
        needed.setdefault(name, {})[task] = ratios
  rows = []
  for name, of_task in sorted(needed.items()):
    of_tasks = np.array(list(of_task.values()))
    shares = [np.mean(of_tasks[:, measure] <= limit + 1e-9) for measure in (0, 1) for limit in WITHIN]
    reached = int(np.isfinite(of_tasks[:, 0]).sum())
    rows.append((', '.join(sorted(of_task)), name, f'{reached} of {len(of_task)}', *(f'{s:.2f}' for s in shares)))
  limits = ['the least' if limit == 1 else f'≤ {limit:g} ×' for limit in WITHIN]
  columns = [f'{measure} {limit}' for measure in ('FLOPs', 'updates') for limit in limits]
  return Table(TITLE, NOTE, ('tasks', 'model', 'reached', *columns), tuple(sorted(rows)))


def courses(records: Sequence[Row]) -> dict[str, dict[str, Course]]:
  """Return task → model → its course at the best learning rate; a model that diverged at every rate has none."""
  found: dict[str, dict[str, Course]] = {}
  rows = [row for row in base.where(records, NAME, 'train_loss') if len(row.get('curve') or ()) > 1]
  for task in base.levels(rows, 'task'):
    groups: dict[str, list[Row]] = {}
    for row in base.tuned([row for row in rows if row['task'] == task], 'architecture', 'block'):
      groups.setdefault(', '.join(filter(None, (row['architecture'], row.get('block', '')))), []).append(row)
    found[task] = {name: _course(group) for name, group in groups.items()}
  return found


def _course(rows: Sequence[Row]) -> Course:
  parts = min(len(row['curve']) for row in rows)
  losses = np.mean([row['curve'][:parts] for row in rows], axis=0)
  middles = (np.arange(parts) + 0.5) * float(rows[0]['updates']) / parts
  return Course(middles, losses, float(rows[0]['flops_per_token']))


def over_the_least(of_model: Mapping[str, Course]) -> dict[str, tuple[float, float]]:
  """Return model → FLOPs and updates to the target, over the least of any model. All read as many tokens an update."""
  lowest = min(course.losses[-1] for course in of_model.values())
  highest = max(course.losses[0] for course in of_model.values())
  target = highest + SHARE * (lowest - highest)
  updates = {name: course.reaches(target) for name, course in of_model.items()}
  flops = {name: updates[name] * course.flops for name, course in of_model.items()}
  least = min(flops.values()), min(updates.values())
  return {name: (flops[name] / least[0], updates[name] / least[1]) for name in of_model}
