"""The profile of training to a target, from invented courses, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from comparison import report
from comparison.report import targets
from comparison.report.targets import Course
from tests.comparison.report.test_report import IDENTITY


def rows(task, name, curve, flops=10.0, *, best=True, seeds=(0,)):
  """A model at two learning rates, of which one is the better on validation."""
  own = {'experiment': 'task_quality', 'metric': 'train_loss', 'task': task, 'architecture': name, 'block': 'plain'}
  own |= {'cell': f'{task} {name}', 'updates': 400, 'flops_per_token': flops, 'value': curve[-1], 'size': 1e4}
  return [
    {**IDENTITY, **own, 'learning_rate': rate, 'selection': selection, 'seed': seed, 'curve': values}
    for rate, selection, values in ((1e-3, -1.0 if best else None, curve), (1e-2, -2.0, [9.0] * len(curve)))
    for seed in seeds
  ]


FAST = [5.0, 1.0, 0.0, 0.0]  # below 0.5, the target, from the second part on: after 50 + 100 · (1 + 0.5) updates
SLOW = [5.0, 4.0, 3.0, 0.5]  # at the target at the end, after 350


def test_updates_to_the_target_are_interpolated():
  course = Course(np.array([50.0, 150.0, 250.0, 350.0]), np.array(FAST), 1.0)
  assert course.reaches(5.0) == 50
  assert course.reaches(0.5) == 200
  assert course.reaches(3.0) == 100
  assert course.reaches(-0.1) == math.inf


def test_the_least_is_one_and_others_are_multiples():
  of_model = {
    name: targets._course(rows('a', name, curve, flops)[:1])
    for name, curve, flops in (('fast', FAST, 40.0), ('slow', SLOW, 10.0))
  }
  found = targets.over_the_least(of_model)
  assert found['fast'] == pytest.approx((200 * 40 / (350 * 10), 1.0))
  assert found['slow'] == pytest.approx((1.0, 350 / 200))


def test_the_table_counts_tasks_at_the_best_learning_rate():
  never = [5.0, 4.0, 4.0, 4.0]
  records = rows('copying', 'lstm', FAST, 40.0, seeds=(0, 1)) + rows('copying', 'transformer', SLOW)
  records += rows('adding', 'lstm', FAST) + rows('adding', 'transformer', never)
  records += rows('alone', 'lstm', FAST) + rows('recall', 'gru', FAST, best=False)
  table = targets.table(records)
  assert table.columns == (
    'tasks', 'model', 'reached', 'FLOPs the least', 'FLOPs ≤ 2 ×', 'FLOPs ≤ 4 ×', 'updates the least', 'updates ≤ 2 ×',
    'updates ≤ 4 ×',
  )  # fmt: skip
  assert table.rows == (
    ('adding, copying', 'lstm, plain', '2 of 2', '0.50', '0.50', '1.00', '1.00', '1.00', '1.00'),
    ('adding, copying', 'transformer, plain', '1 of 2', '0.50', '0.50', '0.50', '0.00', '0.50', '0.50'),
  )


def test_rows_without_courses_make_no_table_and_with_them_it_is_on_the_page():
  records = rows('copying', 'lstm', FAST) + rows('copying', 'transformer', SLOW)
  bare = [{k: v for k, v in row.items() if k != 'curve'} for row in records]
  assert targets.table(bare).rows == targets.table([]).rows == ()
  page = report.assemble(records, [1])
  assert targets.TITLE in [table.title for table in page.tables]
