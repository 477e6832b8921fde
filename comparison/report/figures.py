"""Draw the plots of claims from records: a colour for each architecture, a line style for each backend."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.ticker import EngFormatter

from comparison import statistics
from comparison.claims import base, quality
from comparison.claims.base import Plot
from comparison.records import Row
from comparison.report import canvas

Series = dict[str, list[tuple[Any, statistics.Interval]]]  # label → points in the order of x

# Okabe & Ito's palette, told apart by readers with any colour vision; darker where its contrast to white is below 3.
COLOURS = {'transformer': '#0072B2', 'lstm': '#D55E00', 'gru': '#009E73', 'rnn': '#B8629A'}
OTHERS = ('#A87800', '#3A8FC0', '#757b83', '#8c6bb1')
FEW = 6  # series whose names have room beside the axes
PANELS, MOST_PANELS = ('size', 'batch'), 3  # columns that divide many series, and the most panels
GREY, NO_MODEL = '#7a828c', ', no model'  # baselines
STYLES: tuple[Any, ...] = ('-', '--', ':', '-.', (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))
WORDS = {
  'lstm': 'LSTM', 'gru': 'GRU', 'rnn': 'plain RNN', 'transformer': 'Transformer',
  'dot_product_attention': 'attention of jax.nn',
}  # fmt: skip
RUNGS = {'cpu': '-', 'xla': '--', 'reference': ':', 'cudnn': '-.'}
MARKERS = ('o', 's', '^', 'D', 'v', 'P')


Shows = Literal['regimes', 'plot', 'learning']


class Drawn(NamedTuple):
  """A figure, its SVG in the colour INK, caption and file; of: the claim that shows it, if another one does.

  shows: the regimes of a verdict, a plot of the claim, or learning curves.
  """

  picture: canvas.Picture
  svg: str
  title: str
  caption: str
  path: str
  of: int | None = None
  shows: Shows = 'plot'


def draw(plot: Plot, records: Sequence[Row]) -> canvas.Picture | None:
  """Return the figure, or None without data."""
  divided = divide(plot, records)
  if not divided:
    return None
  parts = [(title, gather(plot, rows)) for title, rows in divided]
  seeds = [of_seeds(plot, rows) for _, rows in divided]
  labels = list(dict.fromkeys(label for _, series in parts for label in series))
  below = len(labels) > FEW
  columns = 3 if len(parts) > 1 else 2
  rows = -(-len(labels) // columns) if below else 0
  figure = canvas.Picture(plot.title, (6.4 if len(parts) == 1 else 8.4, 3.5 + 0.17 * rows))
  with figure.styled():
    known = looks(labels)
    handles: dict[str, Any] = {}
    drawn = zip(figure.subplots(1, len(parts), sharey=True, squeeze=False)[0], parts, seeds, strict=True)
    for axes, (title, series), scores in drawn:
      places = list(dict.fromkeys(p[0] for points in series.values() for p in points))
      if isinstance(places[0], str):
        bars(axes, series, places, known)
      else:
        lines(axes, series, known)
        dots(axes, scores, known)
      decorate(axes, plot, places, len(parts))
      axes.set_title(title, fontsize=9)
      axes.label_outer()
      handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    legend = [handles[label] for label in labels], [in_words(label) for label in labels]
    if below:
      figure.legend(*legend, loc='outside lower center', ncols=columns, frameon=False, fontsize=8)
    elif len(labels) > 1:
      figure.legend(*legend, loc='outside right upper', frameon=False, fontsize=8)
  return figure


def divide(plot: Plot, records: Sequence[Row]) -> list[tuple[str, Sequence[Row]]]:
  """Return the title and the rows of each panel: with many series one for each size, or else for each batch.

  Few series, or series that no column divides, make one panel without a title; no rows make no panel.
  """
  whole = gather(plot, records)
  if not whole:
    return []
  if len(whole) > FEW:
    drawn = shown(plot, records)
    for column in PANELS:
      values = {row[column] for row in drawn if row.get(column) is not None}
      if not 1 < len(values) <= MOST_PANELS or column == plot.x:
        continue
      parts: list[tuple[str, Sequence[Row]]] = [
        (text(v, column), [r for r in records if r.get(column) in (v, None)]) for v in sorted(values)
      ]
      if all(0 < len(gather(plot, rows)) < len(whole) for _, rows in parts):
        return parts
  return [('', records)]


def lines(axes: Any, series: Series, known: dict[str, tuple[str, Any, str]]) -> None:
  """Draw a line for each series, with its intervals as a band."""
  for label, points in series.items():
    colour, style, marker = known[label]
    x = np.array([p[0] for p in points], float)
    y, low, high = (np.array([p[1][k] for p in points]) for k in range(3))
    axes.plot(x, y, linestyle=style, marker=marker, markersize=3.5, linewidth=1.4, color=colour, label=label)
    bounded = np.isfinite(low) & np.isfinite(high)
    if bounded.sum() > 1:
      axes.fill_between(x[bounded], low[bounded], high[bounded], color=colour, alpha=0.15, linewidth=0)


def dots(axes: Any, scores: dict[str, list[tuple[Any, float]]], known: dict[str, tuple[str, Any, str]]) -> None:
  """Draw the score of every seed."""
  for label, points in scores.items():
    axes.plot(*zip(*points, strict=True), '.', color=known[label][0], markersize=3.5, alpha=0.6, zorder=3)


def bars(axes: Any, series: Series, places: Sequence[str], known: dict[str, tuple[str, Any, str]]) -> None:
  """Draw bars side by side at every place of an axis of names."""
  width = 0.8 / len(series)
  for i, (label, points) in enumerate(series.items()):
    shift = (i - (len(series) - 1) / 2) * width
    at = [places.index(p[0]) + shift for p in points]
    axes.bar(at, [p[1].value for p in points], width, color=known[label][0], label=label)
  axes.set_xticks(range(len(places)), [place.replace(' and ', '\nand ') for place in places])


def shown(plot: Plot, records: Sequence[Row]) -> list[Row]:
  """Select the rows of a plot."""
  rows = base.where(records, plot.experiment, plot.metric, **{k: tuple(v) for k, v in plot.where.items()})
  rows = [row for row in rows if row.get(plot.x) is not None]
  return [row for row in rows if not any(row.get(column) in values for column, values in plot.without.items())]


def gather(plot: Plot, records: Sequence[Row]) -> Series:
  """Return label → (x, interval) in the order of x, at the best learning rate, averaged over seeds."""
  series = grouped(plot, records)
  named = any(isinstance(x, str) for points in series.values() for x in points)
  found = {
    label: [(x, interval(points[x])) for x in (points if named else sorted(points))]
    for label, points in sorted(series.items())
  }
  return found | (beside(plot, records, found) if plot.baselines else {})


def of_seeds(plot: Plot, records: Sequence[Row]) -> dict[str, list[tuple[Any, float]]]:
  """Return label → (x, score) of every seed, where a point is the mean of several."""
  series = grouped(plot, records)
  found = {
    label: [(x, row['value']) for x, rows in points.items() if len(rows) > 1 for row in rows]
    for label, points in series.items()
  }
  return {label: points for label, points in found.items() if points}


def grouped(plot: Plot, records: Sequence[Row]) -> dict[str, dict[Any, list[Row]]]:
  """Return label → x → the rows of one point, at the best learning rate."""
  rows = shown(plot, records)
  if any('selection' in row for row in rows):
    rows = base.tuned(rows, *plot.series, plot.x)
  varying = [column for column in plot.series if len({str(row.get(column)) for row in rows}) > 1]
  # In turn: where every size has a batch of its own, the size tells them apart already.
  for column in ('size', 'batch', 'block'):
    if column not in (*plot.series, plot.x) and many(rows, column, varying, plot.x):
      varying.append(column)
  series: dict[str, dict[Any, list[Row]]] = {}
  for row in rows:
    words = (text(row.get(column), column) for column in varying)
    label = ', '.join(word for word in words if word) or str(row.get('architecture') or plot.title)
    series.setdefault(label, {}).setdefault(row[plot.x], []).append(row)
  return series


def beside(plot: Plot, records: Sequence[Row], series: Series) -> Series:
  """Return the trivial baselines over the same x; one that does not depend on x is a level line."""
  xs = sorted({x for points in series.values() for x, _ in points})
  known = quality.baselines(records, plot.experiment, plot.metric, plot.x) if xs else {}
  return {
    f'{name}{NO_MODEL}': [
      (x, statistics.Interval.exact(value)) for x in xs if (value := quality.at(values, x)) is not None
    ]
    for name, values in known.items()
  }


def many(rows: Sequence[Row], column: str, series: Sequence[str], x: str) -> bool:
  """Return whether a column tells apart rows that would otherwise be averaged as seeds of one point."""
  groups: dict[Any, set[str]] = {}
  for row in rows:
    groups.setdefault((*(str(row.get(c)) for c in series), row[x]), set()).add(str(row.get(column)))
  return any(len(values) > 1 for values in groups.values())


def text(value: Any, column: str) -> str:
  if column == 'size' and isinstance(value, int | float):
    return f'{EngFormatter(sep="")(value)} parameters'
  if column in ('batch', 'pairs', 'depth'):
    return f'{column} {value}'
  return '' if value is None else str(value)


def interval(rows: Sequence[Row]) -> statistics.Interval:
  if len(rows) == 1:
    row = rows[0]
    value = float(row['value'])
    return statistics.Interval(value, float(row.get('low', value)), float(row.get('high', value)))
  return base.seeds(rows)


def looks(labels: Sequence[str]) -> dict[str, tuple[str, Any, str]]:
  """Choose colour, line style and marker of each series, the same in every panel."""
  taken: dict[str, list[Any]] = {}
  return {label: look(label, i, taken) for i, label in enumerate(labels)}


def look(label: str, index: int, taken: dict[str, list[Any]]) -> tuple[str, Any, str]:
  """Choose the colour by the architecture and the line style by the backend, unless `taken` has it already."""
  words = label.split(', ')
  if label.endswith(NO_MODEL):
    styles = taken.setdefault(NO_MODEL, [])
    styles.append(STYLES[2 + len(styles) % 2])
    return GREY, styles[-1], ''
  architecture = next((name for name in COLOURS if name in words), '')
  styles = taken.setdefault(architecture, [])
  usual = [RUNGS[word] for word in words if word in RUNGS]
  free = [style for style in (*usual, *STYLES) if style not in styles]
  styles.append(free[0] if free else STYLES[len(styles) % len(STYLES)])
  colour = COLOURS.get(architecture) or OTHERS[index % len(OTHERS)]
  return colour, styles[-1], MARKERS[(index + len(styles) - 1) % len(MARKERS)]


def in_words(label: str) -> str:
  """Return the name of a series as a legend writes it: `LSTM, xla, 1M parameters`."""
  return ', '.join(WORDS.get(word, word.replace('_', ' ')) for word in label.split(', '))


def decorate(axes: Any, plot: Plot, xs: Sequence[Any], panels: int) -> None:
  if plot.log_x and min(xs) > 0:
    axes.set_xscale('log', base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:,g}')
    axes.set_xticks(apart(sorted(xs), 0.08 * panels if len(xs) <= 9 else max(0.13, 0.09 * panels)))
    axes.minorticks_off()
  elif all(isinstance(x, int) for x in xs) and len(xs) <= 9:
    axes.set_xticks(sorted(xs))
  if plot.log_y:
    axes.set_yscale('log')
  elif plot.y_label == 'bytes':
    axes.yaxis.set_major_formatter(EngFormatter('B'))
  axes.set_xlabel(plot.x_label)
  axes.set_ylabel(plot.y_label or plot.metric)
  axes.grid(alpha=0.25, linewidth=0.6)
  canvas.bare(axes)


def apart(xs: Sequence[float], share: float) -> list[float]:
  """Keep values at least a share of the logarithmic axis apart, so that their labels do not collide."""
  kept: list[float] = []
  for x in xs:
    if not kept or math.log(x / kept[-1]) > share * math.log(max(xs[-1] / xs[0], 1.01)):
      kept.append(x)
  return kept
