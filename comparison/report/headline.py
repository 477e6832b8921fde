"""The headline: time of the gated RNNs over that of the Transformer, by size and length, as a picture and a table."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator

from comparison.claims import ratios
from comparison.claims.base import show
from comparison.claims.ratios import TIMED, Measure
from comparison.claims.tables import Table, parameters
from comparison.records import Row
from comparison.report import canvas
from comparison.report.figures import apart
from comparison.statistics import Interval

TITLE = 'Time of the RNN ÷ time of the Transformer'
CAPTION = (
  'Best backend of LSTM or GRU over the best of the Transformer, at equal parameters; below 1 the RNN is faster. '
  'Bands: 95 % intervals. Decoding: one sequence.'
)
# Okabe & Ito's palette where it has a contrast of 3 to white.
LOOKS = (('#0072B2', 'o'), ('#008060', 's'), ('#D55E00', '^'), ('#b04fa3', 'D'), ('#6f6f6f', 'v'))
TICKS = tuple(2.0**power for power in range(-10, 11))


def draw(records: Sequence[Row]) -> canvas.Picture | None:
  """Return the picture: a panel for each measure, a line for each size; None without data."""
  measured = {measure: by_size for measure in TIMED if (by_size := ratios.best_by_length(records, measure))}
  if not measured:
    return None
  sizes = sorted({size for by_size in measured.values() for size in by_size}, key=lambda size: size or 0)
  looks = dict(zip(sizes, itertools.cycle(LOOKS)))
  figure = canvas.Picture(TITLE, (8.4, 3.4))
  with figure.styled():
    axes = figure.subplots(1, len(measured), sharey=True, squeeze=False)[0]
    handles: dict[str, Any] = {}
    for ax, (measure, by_size) in zip(axes, measured.items(), strict=True):
      panel(ax, measure, by_size, looks)
      handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    scale(axes, [ratio for by_size in measured.values() for at in by_size.values() for ratio in at.values()])
    labels = [label(size) for size in sizes]
    legend = [handles[name] for name in labels], labels
    figure.legend(*legend, loc='outside lower center', ncols=len(labels), frameon=False, fontsize=8)
  return figure


def label(size: float | None) -> str:
  return f'{parameters(size)} parameters'


def panel(axes: Any, measure: Measure, by_size: dict[Any, dict[float, Interval]], looks: dict[Any, Any]) -> None:
  """Draw the lines of one measure with their intervals, and the line at 1."""
  axes.axhline(1.0, color=canvas.INK, linewidth=1.0)
  for size, at in by_size.items():
    colour, marker = looks[size]
    x = np.array(list(at))
    value, low, high = np.array(list(at.values())).T
    axes.plot(x, value, color=colour, marker=marker, markersize=4, linewidth=1.5, label=label(size))
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
  lengths = sorted({x for at in by_size.values() for x in at})
  axes.set_xscale('log', base=2)
  axes.xaxis.set_major_formatter(lambda value, _: f'{value:,g}')
  axes.set_xticks(apart(lengths, 0.17))
  axes.minorticks_off()
  axes.set_title(measure.name, fontsize=9)
  axes.set_xlabel(measure.axis)
  axes.grid(alpha=0.25, linewidth=0.6)
  canvas.bare(axes)


def scale(axes: Sequence[Any], drawn: Sequence[Interval]) -> None:
  """Give all panels one logarithmic axis with 1 inside, and say in the first one which side of 1 means what."""
  low, high = min(0.5, *(r.low for r in drawn)) / 1.3, max(2.0, *(r.high for r in drawn)) * 1.3
  axes[0].set_yscale('log', base=2)
  axes[0].set_ylim(low, high)
  axes[0].yaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low <= tick <= high]))
  axes[0].yaxis.set_major_formatter(lambda value, _: f'{value:g} ×' if value >= 1 else f'1/{1 / value:g} ×')
  axes[0].set_ylabel(TITLE, fontsize=8)
  for words, at, align in (('Transformer faster ↑', 1.06, 'bottom'), ('RNN faster ↓', 0.94, 'top')):
    axes[-1].text(0.98, at, words, transform=axes[-1].get_yaxis_transform(), ha='right', va=align, fontsize=8)


def table(records: Sequence[Row]) -> Table:
  """Return a row for each measure and size: the ratio at both ends of the lengths, and who is faster where."""
  rows = []
  for measure in TIMED:
    for size, at in ratios.best_by_length(records, measure).items():
      shortest, longest = min(at), max(at)
      ends = [f'{show(at[x])} at {measure.spot(x)}' for x in dict.fromkeys((shortest, longest))]
      rows.append((measure.name, parameters(size), ' → '.join(ends), faster(measure, at)))
  return Table(TITLE, CAPTION, ('measure', 'parameters', 'RNN ÷ Transformer', 'faster'), tuple(rows))


def sentence(records: Sequence[Row]) -> str:
  """Return one sentence a measure: the side that is faster at every size and length, or that it depends."""
  found = []
  for measure in TIMED:
    by_size = ratios.best_by_length(records, measure)
    winners = {size: {ratios.winner(ratio) for ratio in at.values()} for size, at in by_size.items()}
    if not winners:
      continue
    everywhere = set.union(*winners.values())
    if len(everywhere) == 1:
      found.append(f'{measure.name}: {everywhere.pop()} faster at every size and length')
    else:
      same = len({frozenset(who) for who in winners.values()}) == 1
      found.append(f'{measure.name}: depends on the {"length" if same else "size"}')
  return ' '.join(f'{text[0].upper()}{text[1:]}.' for text in found).replace('tie faster', 'a tie')


def faster(measure: Measure, at: dict[float, Interval]) -> str:
  """Return who is faster over which lengths, in their order: `Transformer at 8 … 2,048, tie at 8,192`."""
  runs = [(who, list(xs)) for who, xs in itertools.groupby(sorted(at), key=lambda x: ratios.winner(at[x]))]
  if len(runs) == 1:
    return f'{runs[0][0]}, everywhere'
  return ', '.join(f'{who} at {" … ".join(f"{x:,}" for x in dict.fromkeys((xs[0], xs[-1])))}' for who, xs in runs)
