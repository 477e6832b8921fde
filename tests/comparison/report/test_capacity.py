"""The capacity map: shares between the trivial answer and all right, of architectures that have every task."""

import itertools
import math
import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from comparison.experiments import EXPERIMENTS
from comparison.experiments.capacity_map import ARCHITECTURES
from comparison.report import capacity
from tests.comparison.claims.invented import rows

TRIVIAL = {'recall': 0.25, 'parity': 0.5, 'copying': 0.125}


def trials(name, accuracy, longer, tasks=tuple(TRIVIAL), **columns):
  found = []
  for task in tasks:
    who = {'architecture': name, 'task': task, 'state_bytes': 1024, 'selection': -1.0, 'learning_rate': 1e-3, **columns}
    for metric, value in (('accuracy', accuracy), ('accuracy_longer', longer)):
      found += rows(capacity.EXPERIMENT, metric, value=lambda seed, v=value, **_: v + 0.02 * seed, seed=[0, 1], **who)
    worse = {**who, 'selection': -2.0, 'learning_rate': 1e-2}
    found += rows(capacity.EXPERIMENT, 'accuracy', value=0.99, seed=[0, 1], **worse)  # not the best on validation
  return found


def baselines():
  return [
    row
    for task, value in TRIVIAL.items()
    for row in rows(capacity.EXPERIMENT, 'baseline', value=value, scored='accuracy', task=task)
  ]


def test_scores_are_shares_of_the_way_from_the_best_trivial_answer():
  found = capacity.entries(baselines() + trials('lstm', 0.74, 0.1))
  assert found['lstm'].scores['recall', 'accuracy'].value == pytest.approx((0.75 - 0.25) / 0.75)
  assert found['lstm'].scores['parity', 'accuracy'].value == pytest.approx(0.5)
  assert found['lstm'].scores['parity', 'accuracy_longer'] == (0.0, 0.0, 0.0)  # below the trivial answer
  assert found['lstm'].mean('accuracy') == pytest.approx((0.5 / 0.75 + 0.5 + 0.625 / 0.875) / 3)


def test_the_mean_over_the_seeds_is_cut_at_zero_and_not_each_seed():
  assert capacity.share([-0.4, 0.6]) == pytest.approx((0.1, 0.0, 1.0))
  assert capacity.share([-0.4, 0.2])[0] == 0.0
  assert capacity.share([0.3]) == (0.3, -math.inf, math.inf)
  assert capacity.share([0.2, 0.21, 0.22]) == pytest.approx((0.21, 0.21 - 4.303 * 0.01 / 3**0.5, 0.23484), rel=1e-3)


def test_an_architecture_without_one_of_the_tasks_is_not_shown():
  records = baselines() + trials('lstm', 0.9, 0.5) + trials('gru', 0.9, 0.5, tasks=('recall',))
  assert set(capacity.entries(records)) == {'lstm'}
  assert capacity.draw(records) is None  # one is no map
  assert capacity.entries([]) == {}
  assert capacity.table([]).rows == ()


def test_the_map_and_the_table_name_every_form():
  records = baselines() + trials('lstm', 0.7, 0.5) + trials('gated_deltanet', 0.8, 0.5)
  records += trials('gated_deltanet', 0.9, 0.9, reflecting=1)
  svg = capacity.draw(records).svg()
  for name in ('lstm', 'gated_deltanet', 'gated_deltanet, reflecting'):
    assert f'>{name}</text>' in svg
  table = capacity.table(records)
  assert [row[0] for row in table.rows] == ['gated_deltanet, reflecting', 'gated_deltanet', 'lstm']
  assert table.columns[:2] == ('architecture', 'state')
  assert {row[1] for row in table.rows} == {'1 KiB'}
  assert table.columns[-1] == 'seeds'
  assert {row[-1] for row in table.rows} == {'2'}
  assert re.fullmatch(r'0\.\d+ \[0\.\d+, 0\.\d+\]', table.rows[2][2])
  assert capacity.caption(records).endswith('Seeds: 2.')


def test_the_caption_names_the_colours_and_shapes_that_are_drawn():
  records = baselines() + trials('lstm', 0.7, 0.5) + trials('transformer', 0.8, 0.5) + trials('hybrid', 0.8, 0.5)
  svg = capacity.draw(records).svg()
  for colour, _ in capacity.LOOKS.values():
    assert f'stroke: {colour.lower()}' in svg
  assert set(capacity.KINDS.values()) <= set(capacity.LOOKS)
  assert set(capacity.KINDS) <= set(ARCHITECTURES)
  assert all(kind in capacity.CAPTION for kind in capacity.LOOKS)


def test_every_cell_has_the_scores_of_the_map():
  """Smoke cells are trained for a few updates: what they write is what the map reads."""
  found = []
  for cell in EXPERIMENTS[capacity.EXPERIMENT].cells('smoke'):
    found += [{'experiment': capacity.EXPERIMENT, **row} for row in EXPERIMENTS[capacity.EXPERIMENT].run(cell)]
  (entry,) = capacity.entries(found).values()
  assert {task for task, _ in entry.scores} == set(TRIVIAL)
  assert {metric for _, metric in entry.scores} == {'accuracy', 'accuracy_longer'}


def test_names_of_points_that_lie_on_each_other_do_not():
  """Twenty architectures with all but equal states and scores: every name can be read."""
  names = [f'architecture_{i}' for i in range(20)]
  found = baselines()
  for i, name in enumerate(names):
    found += trials(name, 0.9 + 0.001 * (i % 3), 0.6, state_bytes=1000 + 10 * (i % 5))
  figure = capacity.draw(found)
  renderer = FigureCanvasAgg(figure).get_renderer()
  figure.draw_without_rendering()
  texts = [text for text in figure.axes[0].texts if text.get_text() in names]
  assert len(texts) == 20
  boxes = [Text.get_window_extent(text, renderer) for text in texts]  # without the lines to the points
  assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
  inside = figure.bbox
  assert all(inside.y0 <= box.y0 and box.y1 <= inside.y1 for box in boxes)
