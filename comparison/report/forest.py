"""The pictures of verdicts: a forest of all claims on one scale, and the regimes of one claim with its threshold."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl

from comparison.claims.base import Point, Verdict
from comparison.report import canvas, markdown
from comparison.report.page import Page, by_section

TITLE = 'All verdicts: how far the deciding number lies from its threshold'
CAPTION = (
  'Factor between the number that decided and the threshold of support, on a logarithmic scale: right of the line it '
  'lies on the side that supports the statement, left of it on the other. Bars: 95 % intervals; small ticks: the other '
  'regimes of the claim. Arrows: beyond 16 ×, or not above zero. Hollow, "here": the number of this device for a '
  'statement about another, which has no verdict. A claim without a mark has no single threshold above zero, or no '
  'number here.'
)
WIDEST = 4.0  # doublings that the scale shows on each side
# Shape and colour of a status, with a contrast of 3 to white and to the dark page.
LOOKS: dict[str, tuple[str, str]] = {
  'supported': ('o', '#1f8f56'), 'contradicted': ('X', '#d0493c'), 'mixed': ('D', '#a87800'),
  'undecided': ('s', '#7a828c'), 'fact': ('^', '#7a828c'), 'not judged': ('v', '#7a828c'),
  'not measured here': ('', '#7a828c'),
}  # fmt: skip
SHADE = '#1f8f56'  # of the side that supports
MARKS = (' at ', ', ', ': ')  # where labels may be cut
SIZE = 8.5  # of letters, in points
MOST = 20  # regimes that a figure has room for


def draw(page: Page) -> canvas.Picture | None:
  """Return the forest of all claims: a row each, grouped by section; None without a number."""
  groups = by_section(page)
  count = sum(len(sections) + 1 for sections in groups.values())
  if not any(section.verdict.number is not None for section in page.sections):
    return None
  figure = canvas.Picture(TITLE, (8.4, 0.9 + 0.21 * count), SIZE)
  with figure.styled():
    axes = figure.subplots()
    names: dict[float, str] = {}
    y = 0.0
    for title, sections in groups.items():
      axes.text(-0.01, y, title, transform=axes.get_yaxis_transform(), ha='right', va='center', weight='bold')
      y += 1
      for section in sections:
        row(axes, section.verdict, y)
        names[y] = textwrap.shorten(f'{section.claim.number}. {section.claim.title}', 44, placeholder=' …')
        names[y] += f'  {markdown.MARKS[section.verdict.here or section.verdict.status]}'
        y += 1
    axes.set_ylim(y - 0.4, -0.6)
    axes.set_yticks(list(names), list(names.values()))
    axes.tick_params(axis='y', length=0)
    axes.set_xlim(-WIDEST - 0.3, WIDEST + 0.3)
    steps = range(-int(WIDEST), int(WIDEST) + 1)
    axes.set_xticks(steps, [f'{2 ** abs(step)} ×' if step else '1' for step in steps])
    axes.axvspan(0, WIDEST + 0.3, color=SHADE, alpha=0.08, linewidth=0)
    axes.axvline(0, color=canvas.INK, linewidth=1)
    axes.set_xlabel('← on the other side | factor to the threshold | on the side that supports →')
    axes.grid(axis='x', alpha=0.25, linewidth=0.6)
    canvas.bare(axes, 'left')
  return figure


def row(axes: Any, verdict: Verdict, y: float) -> None:
  """Draw one claim: its regimes, the deciding number with its interval, and number and verdict in words."""
  status = verdict.here or verdict.status
  marker, colour = LOOKS[status]
  decided = deciding(verdict)
  for point in verdict.points:
    at = signed(point, point.interval.value)
    if at is not None and point is not decided:
      axes.plot([clip(at)], [y], '|', color=colour, markersize=5, alpha=0.7)
  if decided is not None and (at := signed(decided, decided.interval.value)) is not None:
    ends = [clip(end) for x in decided.interval[1:] if (end := signed(decided, x)) is not None]
    axes.plot(ends, [y] * len(ends), color=colour, linewidth=1.6)
    beyond = abs(at) > WIDEST
    shape = ('>' if at > 0 else '<') if beyond else marker
    inside = 'none' if verdict.here else colour
    axes.plot([clip(at)], [y], shape, color=colour, markerfacecolor=inside, markersize=5.5)
  words = ': '.join(filter(None, ('here' if verdict.here else '', status, markdown.number(verdict))))
  axes.text(1.01, y, textwrap.shorten(words, 46, placeholder=' …'), transform=axes.get_yaxis_transform(),
            va='center', fontsize=8)  # fmt: skip


def deciding(verdict: Verdict) -> Point | None:
  """Return the regime that the number of a verdict is of."""
  return next((point for point in verdict.points if point.label == verdict.about), None)


def signed(point: Point, x: float) -> float | None:
  """Return the doublings between x and the threshold, positive on the side that supports; None without a scale.

  A number of zero or below is infinitely far below any threshold.
  """
  if point.threshold is None or point.threshold <= 0 or math.isnan(x):
    return None
  return point.side * (math.log2(x / point.threshold) if x > 0 else -math.inf)


def clip(x: float) -> float:
  return min(max(x, -WIDEST), WIDEST)


def drawable(verdict: Verdict) -> list[Point]:
  """Return the regimes that have the unit and the threshold of the deciding one, which a figure can show together."""
  decided = deciding(verdict)
  if decided is None or decided.threshold is None:
    return []
  same = [p for p in verdict.points if (p.unit, p.threshold, p.side) == (decided.unit, decided.threshold, decided.side)]
  return [point for point in same if all(map(math.isfinite, point.interval))]


def regimes(verdict: Verdict) -> canvas.Picture | None:
  """Return the regimes of a verdict with its threshold and the shaded side that supports; None for fewer than two."""
  points = drawable(verdict)
  if len(points) < 2:
    return None
  shown, threshold, side = points[:MOST], points[0].threshold, points[0].side
  assert threshold is not None
  start, labels = shared([point.label for point in shown])
  lines = ['\n'.join(textwrap.wrap(label, 46)) or '–' for label in labels]
  height = 1.0 + 0.16 * sum(line.count('\n') + 1.5 for line in lines)
  figure = canvas.Picture(verdict.about, (6.4, height), SIZE)
  with figure.styled():
    axes = figure.subplots()
    ends = [threshold, *(end for point in shown for end in point.interval[1:])]
    logarithmic = points[0].unit == '×' and min(ends) > 0 and max(ends) > 4 * min(ends)  # of less, powers are too few
    for y, point in enumerate(shown):
      status = 'supported' if point.supports else 'contradicted' if point.contradicts else 'undecided'
      marker, colour = LOOKS[status]
      axes.plot(point.interval[1:], [y, y], color=colour, linewidth=4, alpha=0.35, solid_capstyle='butt')
      axes.plot([point.interval.value], [y], marker, color=colour, markersize=5.5)
    if logarithmic:
      axes.set_xscale('log', base=2)
      axes.xaxis.set_major_formatter(lambda value, _: f'{value:g}' if value >= 1 else f'1/{1 / value:g}')
      axes.xaxis.set_major_locator(mpl.ticker.LogLocator(base=2, numticks=7))
    low, high = room(axes.get_xlim(), threshold, is_logarithmic=logarithmic)
    axes.axvspan(*((threshold, high) if side > 0 else (low, threshold)), color=SHADE, alpha=0.1, linewidth=0)
    axes.axvline(threshold, color=canvas.INK, linewidth=1.2)
    axes.set_xlim(low, high)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(range(len(shown)), lines, fontsize=8)
    axes.tick_params(axis='y', length=0)
    axes.set_xlabel(' '.join(filter(None, (start, f'({points[0].unit})' if points[0].unit else ''))), fontsize=8)
    axes.grid(axis='x', alpha=0.25, linewidth=0.6)
    canvas.bare(axes, 'left')
  return figure


def room(limits: tuple[float, float], threshold: float, *, is_logarithmic: bool) -> tuple[float, float]:
  """Return the ends of an axis that shows the threshold with room on both sides."""
  low, high = limits
  if is_logarithmic:
    return min(low, threshold / 1.3), max(high, threshold * 1.3)
  margin = 0.12 * (max(high, threshold) - min(low, threshold))
  return min(low, threshold - margin), max(high, threshold + margin)


def caption(verdict: Verdict) -> str:
  """Return what the figure of the regimes shows."""
  points = drawable(verdict)
  more = f' The first {MOST} of {len(points)} regimes.' if len(points) > MOST else ''
  return (
    f'Deciding number by regime; the line is the threshold {points[0].threshold:g}, the shaded side supports. Bars: '
    f'95 % intervals; ● supports, ✖ contradicts, ■ neither.{more}'
  )


def shared(labels: Sequence[str]) -> tuple[str, list[str]]:
  """Return the words that all labels begin and end with, and the rest of each label."""
  start = beginning(labels)
  start = start[: max((start.rfind(mark) + len(mark) for mark in MARKS if mark in start), default=0)]
  rest = [label[len(start) :] for label in labels]
  end = beginning([label[::-1] for label in rest])[::-1]
  end = end[min((end.find(mark) for mark in MARKS if mark in end), default=len(end)) :]
  return f'{start}…{end}' if start and end else (start or end).strip(' ,:'), [r[: len(r) - len(end)] for r in rest]


def beginning(texts: Sequence[str]) -> str:
  """Return the letters that all texts begin with."""
  first, last = min(texts), max(texts)
  same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
  return first[:same]
