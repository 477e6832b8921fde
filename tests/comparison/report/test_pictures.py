"""The pictures of verdicts: one scale for all claims, the threshold, and colours that can be seen on both pages."""

import dataclasses
import math
import re

import pytest
from matplotlib.figure import Figure

from comparison.articles.transformer_vs_rnn import CLAIMS
from comparison.claims.base import Verdict
from comparison.claims.points import Point, above, below, combine, combine_conditions
from comparison.report import capacity, figures, forest, headline, markdown, style
from comparison.statistics import Interval
from tests.comparison.claims.test_judges import CASES


def test_the_sides_of_a_threshold():
  assert forest.signed(above('', Interval.exact(4.0), 1.0), 4.0) == 2  # two doublings beyond a lower bound
  assert forest.signed(below('', Interval.exact(4.0), 1.0), 4.0) == -2
  assert forest.signed(above('', Interval.exact(1.0), 0.0), 1.0) is None  # no ratio to zero
  assert forest.signed(above('', Interval.exact(-1.0), 1.0), -1.0) == -math.inf
  assert forest.signed(below('', Interval.exact(0.0), 1.0), 0.0) == math.inf
  assert forest.signed(below('', Interval.exact(1.0), 1.0), math.inf) == -math.inf
  assert forest.signed(below('', Interval.exact(1.0), 1.0), math.nan) is None
  assert forest.signed(Point('', Interval.exact(1.0), True, False), 1.0) is None  # a threshold in words alone


@pytest.mark.parametrize('make', [above, below])
@pytest.mark.parametrize('value', [0.5, 2.0])
def test_a_number_is_drawn_on_the_side_of_its_verdict(make, value):
  point = make('', Interval.exact(value), 1.0)
  assert point.supports == (forest.signed(point, value) > 0)
  assert point.contradicts == (forest.signed(point, value) < 0)


@pytest.mark.parametrize(('number', 'status', 'rows'), CASES, ids=[f'{n}-{s}' for n, s, _ in CASES])
def test_the_number_that_decided_lies_on_the_side_of_its_verdict(number, status, rows):
  verdict = CLAIMS[number].judge(rows)
  decided = forest.deciding(verdict)
  at = None if decided is None else forest.signed(decided, decided.interval.value)
  if at is not None:
    assert status not in ('supported', 'fact') or at >= 0
    assert status not in ('contradicted', 'mixed') or at <= 0


def test_of_several_conditions_the_one_that_decided_is_drawn():
  error, memory = below('error', Interval.exact(1.0), 1.01), below('memory', Interval.exact(0.97), 0.5, 0.8)
  verdict = combine_conditions([(error, memory)], '')
  assert (verdict.status, verdict.about, verdict.number) == ('contradicted', 'memory', 0.97)
  assert forest.deciding(verdict) is memory
  assert verdict.points == (error, memory)
  assert row_of(combine_conditions([(memory,)], ''))[1] < 0
  open_one = combine_conditions([(error, below('memory', Interval.exact(0.6), 0.5, 0.8))], '')
  assert (open_one.status, open_one.about) == ('undecided', 'memory')
  assert open_one.reason == 'neither threshold is met for error: 1, memory: 0.6'
  assert combine_conditions([(error, below('memory', Interval.exact(0.4), 0.5))], '').about == 'error'
  assert combine_conditions([], '').status == 'undecided'


def row_of(verdict):
  """The ends of the bar, the place of the mark, and its shape."""
  axes = Figure().subplots()
  forest.row(axes, verdict, 0.0)
  bar, mark = axes.lines
  return sorted(bar.get_xdata()), mark.get_xdata()[0], mark.get_marker()


@pytest.mark.parametrize('make', [above, below])
@pytest.mark.parametrize(
  'interval',
  [
    Interval(0.5, -0.2, 1.2), Interval(2.0, 1.5, math.inf), Interval(0.5, -math.inf, math.inf),
    Interval(-1.0, -2.0, 3.0), Interval.exact(0.0), Interval.exact(2.0), Interval.exact(1e6),
  ],
)  # fmt: skip
def test_a_mark_lies_within_its_bar(make, interval):
  (low, high), at, _ = row_of(combine([make('x', interval, 1.0)], ''))
  assert -forest.WIDEST <= low <= at <= high <= forest.WIDEST


def test_a_number_of_zero_is_an_arrow_on_the_side_of_its_verdict():
  zero = Interval.exact(0.0)  # as of claim 52, whose mean is to be at most 0.05
  verdict = combine([below('mean', zero, 0.05)], '')
  assert verdict.status == 'supported'
  assert row_of(verdict) == ([forest.WIDEST, forest.WIDEST], forest.WIDEST, '>')
  verdict = combine([above('mean', zero, 0.05)], '')
  assert verdict.status == 'contradicted'
  assert row_of(verdict) == ([-forest.WIDEST, -forest.WIDEST], -forest.WIDEST, '<')


def test_a_number_for_another_device_is_hollow_and_says_so():
  own = combine([above('ratio', Interval(0.5, 0.4, 0.6), 1.0)], '')
  foreign = dataclasses.replace(own, status='not measured here', here=own.status, elsewhere='on a GPU')
  found = []
  for verdict in (own, foreign):
    axes = Figure().subplots()
    forest.row(axes, verdict, 0.0)
    found.append((axes.lines[-1].get_markerfacecolor() == 'none', axes.texts[-1].get_text().partition(':')[0]))
  assert found == [(False, 'contradicted'), (True, 'here')]


def test_a_verdict_keeps_its_regimes():
  points = [
    above('a at 1', Interval(2.0, 1.5, 2.5), 1.0, unit='×'),
    above('a at 2', Interval(0.5, 0.4, 0.6), 1.0, unit='×'),
  ]
  verdict = combine(points, 'a at 1: 2 [1.5, 2.5] ×; a at 2: 0.5 [0.4, 0.6] ×.')
  assert verdict.points == tuple(points)
  assert forest.deciding(verdict) is points[1]
  assert forest.drawable(verdict) == points
  assert markdown.is_list(verdict)
  assert markdown.points(verdict).rows == (
    ('a at 1', '2 [1.5, 2.5] ×', '≥ 1', 'supports'), ('a at 2', '0.5 [0.4, 0.6] ×', '≥ 1', 'contradicts'),
  )  # fmt: skip
  assert markdown.sides(verdict) == 'of 2 regimes 1 support, 1 contradict'
  text = forest.regimes(verdict).svg()
  assert '>1<' in text
  assert '>2<' in text
  assert forest.regimes(combine(points[:1], '')) is None
  other = above('b', Interval.exact(3.0), 2.0, unit='×')  # another threshold is another figure
  assert other not in forest.drawable(combine([*points, other], ''))


@pytest.mark.parametrize('is_logarithmic', [False, True])
@pytest.mark.parametrize('threshold', [0.9, 1.0, 1.05, 2.0])
def test_the_threshold_has_room_on_both_sides(threshold, is_logarithmic):
  low, high = forest.room((1.0, 1.1), threshold, is_logarithmic=is_logarithmic)
  assert low < threshold < high
  assert low <= 1.0
  assert high >= 1.1


def test_labels_share_what_they_begin_and_end_with():
  labels = ['ratio at T = 8, 1M parameters', 'ratio at T = 16, 1M parameters']
  assert forest.shared(labels) == ('ratio at …, 1M parameters', ['T = 8', 'T = 16'])
  assert forest.shared(['lstm', 'lstm']) == ('', ['lstm', 'lstm'])
  assert forest.shared(['gru: growth', 'lstm: growth']) == ('growth', ['gru', 'lstm'])


def test_a_number_far_away_is_drawn_at_the_edge():
  far = combine([above('x', Interval.exact(1e6), 1.0, unit='×'), above('y', Interval.exact(2.0), 1.0, unit='×')], '')
  assert forest.clip(forest.signed(far.points[0], 1e6)) == forest.WIDEST
  assert forest.deciding(Verdict('supported', 1.0)) is None


def luminance(colour):
  parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
  linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
  return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
  """Return the contrast of two colours (WCAG 2.2)."""
  high, low = sorted((luminance(a), luminance(b)), reverse=True)
  return (high + 0.05) / (low + 0.05)


def test_lines_and_marks_can_be_seen_on_the_light_and_the_dark_page():
  papers = re.findall(r'--paper:(#\w+)', style.STYLE.replace('#fff;', '#ffffff;'))
  assert len(papers) == 2
  colours = [*figures.COLOURS.values(), *figures.OTHERS, figures.GREY, *(colour for _, colour in forest.LOOKS.values())]
  colours += [colour for colour, *_ in (*headline.LOOKS, *capacity.LOOKS.values())]
  for paper in papers:
    for colour in colours:
      assert contrast(colour, paper) >= 3, (colour, paper)


def test_words_can_be_read_on_the_light_and_the_dark_page():
  light, dark = (dict(re.findall(r'--([\w-]+):(#\w+)', part)) for part in style.STYLE.split('@media')[:2])
  light['paper'] = '#ffffff'
  for page in (light, dark):
    for name in ('ink', 'soft', 'supported', 'contradicted', 'mixed', 'undecided', 'none'):
      assert contrast(page[name], page['paper']) >= 4.5, (name, page[name])
